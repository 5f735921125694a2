//! Beginning of every test of a PostgreSQL store: a gateway, a server, and a place in it.

use datastream_e2e::Database;
use tempfile::TempDir;

use super::collector::{Collector, folder};
use super::database::Postgres;
use super::place::Place;
use super::support::dev::Dev;
use super::traffic::gateway;

/// A gateway and a PostgreSQL server, and all that leads from one to the other.
pub(crate) struct IntoPostgres {
    /// The gateway.
    pub(crate) dev: Dev,
    /// The server.
    pub(crate) server: Database,
    /// The table `events` in the server.
    pub(crate) place: Place,
    /// The folder in which the collector is started.
    pub(crate) folder: TempDir,
    /// The URL of the stream of everything.
    url: String,
}

impl IntoPostgres {
    /// Starts both; the topic has this many partitions.
    pub(crate) async fn start(partitions: u32) -> Self {
        let (dev, url) = gateway(partitions).await;
        let server = Database::start().unwrap();
        let place = Place::Postgres(Postgres::connect(&server).await, "events".to_owned());
        Self {
            dev,
            server,
            place,
            folder: folder(),
            url,
        }
    }

    /// The connection of the test.
    pub(crate) fn postgres(&self) -> &Postgres {
        let Place::Postgres(postgres, _) = &self.place else {
            unreachable!()
        };
        postgres
    }

    /// Runs statements on it.
    pub(crate) async fn execute(&self, statements: &str) {
        let done = self.postgres().client.batch_execute(statements);
        done.await.unwrap();
    }

    /// The configuration of a collector that begins with the earliest event.
    pub(crate) fn config(&self) -> String {
        self.place.stream(&self.url, "    start: earliest")
    }

    /// The same, with these settings of the store.
    pub(crate) fn config_with(&self, settings: &str) -> String {
        let config = self.config();
        let with = config.replace("table: events", &format!("table: events, {settings}"));
        assert_ne!(config, with);
        with
    }

    /// Starts a collector with this configuration.
    pub(crate) fn collector(&self, config: &str) -> Collector {
        Collector::start(self.folder.path(), config)
    }
}
