//! A table in PostgreSQL: one transaction per batch, which moves the stream's position, too.

mod connect;
mod sql;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use datastream_gateway::position::{Position, Seq};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret as _;
use tokio::time::timeout;
use tokio_postgres::{Config, Statement, Transaction};

use super::{Batch, Mark, Store, StoreError};
use crate::collect::config::PostgresPlan;
use connect::Session;
use sql::Sql;

/// How long the server may take for one batch; then the connection is given up, and with it the batch, which is stored
/// by the next one.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a lock may be held by the session of a process that is gone, before it counts as held by a living one.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_RETRY: Duration = Duration::from_millis(250);

/// The store of one stream, with a connection of its own.
pub(in crate::collect) struct PostgresStore {
    plan: PostgresPlan,
    stream: String,
    sql: Sql,
    open: Option<Open>,
}

/// A connection on which the stream is locked.
struct Open {
    session: Session,
    insert: Statement,
    remember: Statement,
}

impl PostgresStore {
    /// The store of this stream.
    pub(in crate::collect) fn new(plan: PostgresPlan, stream: &str) -> Self {
        Self {
            sql: Sql::new(&plan.table),
            plan,
            stream: stream.to_owned(),
            open: None,
        }
    }

    /// Host, database and table, without the password.
    fn place(&self) -> String {
        let config: Config = self.plan.url.expose_secret().parse().unwrap_or_default();
        let host = match config.get_hosts() {
            [tokio_postgres::config::Host::Tcp(host), ..] => host.clone(),
            [tokio_postgres::config::Host::Unix(path), ..] => path.display().to_string(),
            [] => "no host".to_owned(),
        };
        let database = config.get_dbname().unwrap_or("the default database");
        format!(
            "table {} of PostgreSQL at {host}/{database}",
            self.plan.table
        )
    }

    fn error(&self, error: &tokio_postgres::Error) -> StoreError {
        let reason = format!("{}: {}", self.place(), connect::describe(error));
        StoreError {
            reason,
            passes: connect::passes(error),
        }
    }

    async fn open_session(&mut self) -> Result<Option<Position>, StoreError> {
        self.open = None;
        let session = Session::connect(&self.plan).await.map_err(|e| StoreError {
            reason: format!("{}: {}", self.place(), e.reason),
            ..e
        })?;
        self.lock(&session).await?;
        let opened = async {
            let client = &session.client;
            client.batch_execute(sql::DURABLE).await?;
            let there = client
                .query_one(sql::TABLE_EXISTS, &[&self.plan.table])
                .await?;
            if !there.get::<_, bool>(0) {
                client.batch_execute(&self.sql.create()).await?;
            }
            let insert = client.prepare(&self.sql.insert()).await?;
            let remember = client.prepare(&self.sql.remember()).await?;
            let row = client
                .query_opt(&self.sql.position(), &[&self.stream])
                .await?;
            let seq_start = row.map(|row| row.get(0));
            Ok((insert, remember, seq_start))
        };
        let (insert, remember, seq_start) = opened.await.map_err(|e| self.error(&e))?;
        self.open = Some(Open {
            session,
            insert,
            remember,
        });
        super::sqlite::position(&self.place(), &self.stream, seq_start)
    }

    /// Keeps other collectors away for as long as the session lives.
    async fn lock(&self, session: &Session) -> Result<(), StoreError> {
        let name = format!("datastream collect {} {}", self.plan.table, self.stream);
        let locked = timeout(LOCK_PATIENCE, async {
            loop {
                let row = session.client.query_one(sql::LOCK, &[&name]).await?;
                if row.get::<_, bool>(0) {
                    return Ok(());
                }
                tokio::time::sleep(LOCK_RETRY).await;
            }
        });
        let Ok(result) = locked.await else {
            let reason = format!(
                "{}: another collector stores stream {:?}: stop it, or use another name or table",
                self.place(),
                self.stream
            );
            return Err(StoreError::lasting(reason));
        };
        result.map_err(|e| self.error(&e))
    }

    /// Does something in one transaction.
    async fn transaction(&mut self, work: Work) -> Result<(), StoreError> {
        let place = self.place();
        let Some(mut open) = self.open.take() else {
            return Err(StoreError::passing(format!("{place}: not connected")));
        };
        let done = async {
            let Open {
                session,
                insert,
                remember,
            } = &mut open;
            let transaction = session.client.transaction().await?;
            let seq_start = match &work {
                Work::Append(batch) => {
                    self.insert(&transaction, insert, batch).await?;
                    Seq::starting_at(&batch.after)
                }
                Work::Mark(mark) => {
                    let seq_start = mark.seq_start();
                    if let Some(gap) = &mark.gap {
                        let gaps = self.sql.gap();
                        transaction
                            .execute(&gaps, &[&self.stream, &gap.from, &seq_start.as_str()])
                            .await?;
                    }
                    seq_start
                }
            };
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
                [&self.stream, &seq_start.as_str()];
            transaction.execute(remember, &parameters).await?;
            transaction.commit().await
        };
        match timeout(PATIENCE, done).await {
            Ok(Ok(())) => {
                self.open = Some(open);
                Ok(())
            }
            Ok(Err(error)) => Err(self.error(&error)),
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                let reason = format!("{place}: a batch was not stored within {seconds} s");
                Err(StoreError::passing(reason))
            }
        }
    }

    async fn insert(
        &self,
        transaction: &Transaction<'_>,
        insert: &Statement,
        batch: &Batch,
    ) -> Result<u64, tokio_postgres::Error> {
        let events = batch.events.as_slice();
        let column = |text: fn(&crate::collect::event::Event) -> &str| -> Vec<&str> {
            events.iter().map(text).collect()
        };
        let number = |number: fn(&crate::collect::event::Event) -> u64| -> Vec<i64> {
            events.iter().map(|event| number(event) as i64).collect()
        };
        let received: Vec<_> = events
            .iter()
            .map(|event| SystemTime::from(event.received))
            .collect();
        transaction
            .execute(
                insert,
                &[
                    &self.stream,
                    &number(|event| event.identity.partition.into()),
                    &number(|event| event.identity.offset),
                    &column(|event| &event.seq),
                    &column(|event| &event.kind),
                    &column(|event| &event.dsn),
                    &received,
                    &column(|event| event.body.as_str()),
                ],
            )
            .await
    }
}

/// What is done in a transaction.
enum Work {
    Append(Arc<Batch>),
    Mark(Mark),
}

impl Store for PostgresStore {
    fn describe(&self) -> String {
        self.place()
    }

    fn open(&mut self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        self.open_session().boxed()
    }

    fn append(&mut self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.transaction(Work::Append(batch)).boxed()
    }

    fn mark(&mut self, mark: Mark) -> BoxFuture<'_, Result<(), StoreError>> {
        self.transaction(Work::Mark(mark)).boxed()
    }
}
