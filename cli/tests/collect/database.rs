//! A connection of the test to a PostgreSQL server.

use datastream_e2e::Database;
use tokio_postgres::{Client, NoTls};

/// The connection, and what a collector has to know.
pub(crate) struct Postgres {
    /// URL for the configuration of a collector.
    pub(crate) url: String,
    /// The connection of the test.
    pub(crate) client: Client,
}

impl Postgres {
    /// Connects to a server that runs.
    pub(crate) async fn connect(server: &Database) -> Self {
        let url = server.url();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        Self { url, client }
    }

    /// The first column of a query; nothing while there is no table.
    pub(crate) async fn texts(&self, query: &str) -> Vec<String> {
        let rows = self.client.query(query, &[]).await.unwrap_or_default();
        rows.iter().map(|row| row.get(0)).collect()
    }
}
