//! A table in PostgreSQL: one transaction per batch, which moves the stream's position, too.

mod connect;
mod lock;
mod sql;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use datastream_protocol::position::Seq;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::{Statement, Transaction};

use super::{Batch, Mark, Opened, Store, StoreError};
use crate::config::PostgresPlan;
use connect::Session;
use lock::LockError;
use sql::Sql;

/// Time that the server may take for one batch; then the connection is given up, and with it the batch, which is stored by the
/// next one.
const PATIENCE: Duration = Duration::from_mins(1);
/// Encodings that take every event: SQL_ASCII stores bytes as they come.
const ENCODINGS: [&str; 2] = ["UTF8", "SQL_ASCII"];

/// The store of one stream, with a connection of its own.
pub(crate) struct PostgresStore {
    plan: PostgresPlan,
    stream: String,
    sql: Sql,
    /// Host, database and table, as far as known: the URL may be in a file.
    place: String,
    open: Option<Open>,
}

/// A connection on which the stream is locked.
struct Open {
    session: Session,
    insert: Statement,
    remember: Statement,
    position: Statement,
    /// The table, whatever has its name later.
    table: u32,
    /// The number that is remembered for the stream.
    seq_start: Option<String>,
}

/// A fault of a call.
enum Fault {
    Postgres(tokio_postgres::Error),
    /// The tables, or the position in them, are not those that this process knows.
    Replaced,
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl PostgresStore {
    /// The store of this stream.
    pub(crate) fn new(plan: PostgresPlan, stream: &str) -> Self {
        Self {
            sql: Sql::new(&plan.table),
            place: place(&plan),
            plan,
            stream: stream.to_owned(),
            open: None,
        }
    }

    fn error(&self, fault: impl Into<Fault>) -> StoreError {
        let place = &self.place;
        match fault.into() {
            Fault::Postgres(error) => StoreError {
                reason: format!("{place}: {}", connect::describe(&error)),
                kind: connect::kind(&error),
            },
            Fault::Replaced => StoreError::lasting(format!(
                "{place}: the table was replaced, or the position of stream {:?} in {}_streams was changed by somebody else",
                self.stream, self.plan.table
            )),
        }
    }

    async fn open_session(&mut self) -> Result<Opened, StoreError> {
        self.open = None;
        self.place = place(&self.plan);
        let session = Session::connect(&self.plan).await;
        let session = session.map_err(|e| e.within(&self.place))?;
        self.check_encoding(&session).await?;
        self.lock(&session).await?;
        let table = self.tables(&session).await?;
        let prepared = async {
            let client = &session.client;
            let insert = client.prepare(&self.sql.insert()).await?;
            let remember = client.prepare(&self.sql.remember()).await?;
            let position = client.prepare(&self.sql.position()).await?;
            let row = client
                .query_one(&position, &[&self.plan.table, &self.stream])
                .await?;
            let seq_start: Option<String> = row.get(1);
            Ok::<_, tokio_postgres::Error>((insert, remember, position, seq_start))
        };
        let (insert, remember, position, seq_start) = prepared.await.map_err(|e| self.error(e))?;
        let stored = super::sqlite::position(&self.place, &self.stream, seq_start.clone())?;
        self.open = Some(Open {
            session,
            insert,
            remember,
            position,
            table,
            seq_start,
        });
        Ok(Opened::at(stored))
    }

    /// Makes the tables and columns that are missing, and says which the table is.
    async fn tables(&self, session: &Session) -> Result<u32, StoreError> {
        let client = &session.client;
        let find = async || {
            let row = client.query_one(sql::TABLE, &[&self.plan.table]).await?;
            Ok::<_, tokio_postgres::Error>(row.get::<_, Option<u32>>(0))
        };
        let made = async {
            if let Some(table) = find().await? {
                return Ok::<_, tokio_postgres::Error>(table);
            }
            client.batch_execute(&self.sql.create()).await?;
            Ok(find().await?.unwrap_or_default())
        };
        let table = made.await.map_err(|e| self.error(e))?;
        let columns = client.query_one(sql::LATER_COLUMNS, &[&table]).await;
        let columns: i64 = columns.map_err(|e| self.error(e))?.get(0);
        if columns < sql::LATER_COLUMNS_COUNT {
            let add = self.sql.add_columns();
            client.batch_execute(&add).await.map_err(|e| {
                let error = self.error(e);
                let reason = format!(
                    "{}; the table of an earlier version lacks columns: run {add}",
                    error.reason
                );
                StoreError { reason, ..error }
            })?;
        }
        Ok(table)
    }

    /// Events may hold any character, so the database has to take any.
    async fn check_encoding(&self, session: &Session) -> Result<(), StoreError> {
        let row = session.client.query_one(sql::ENCODING, &[]).await;
        let row = row.map_err(|e| self.error(e))?;
        let (database, encoding): (String, String) = (row.get(0), row.get(1));
        if ENCODINGS.contains(&encoding.as_str()) {
            return Ok(());
        }
        Err(StoreError::lasting(format!(
            "{}: database {database} has encoding {encoding}, which cannot take every character: use a database with encoding UTF8",
            self.place
        )))
    }

    /// Keeps other collectors away for as long as the session lives.
    async fn lock(&self, session: &Session) -> Result<(), StoreError> {
        let name = format!("datastream collect {} {}", self.plan.table, self.stream);
        match lock::take(session, &name, self.plan.abandoned_after).await {
            Ok(()) => Ok(()),
            Err(LockError::Failed(error)) => Err(self.error(error)),
            Err(LockError::Held(holder)) => {
                let holder = holder.map_or_else(|| "a session".to_owned(), |h| h.to_string());
                Err(StoreError::passing(format!(
                    "{}: another collector stores stream {:?}: {holder} has its lock: stop it, or use another name or table",
                    self.place, self.stream
                )))
            }
        }
    }

    /// Does something on the connection, which is given up if it fails.
    async fn call(&mut self, work: Work) -> Result<(), StoreError> {
        let Some(mut open) = self.open.take() else {
            return Err(StoreError::passing(format!(
                "{}: not connected",
                self.place
            )));
        };
        match timeout(PATIENCE, self.work(&mut open, work)).await {
            Ok(Ok(())) => {
                self.open = Some(open);
                Ok(())
            }
            Ok(Err(fault)) => Err(self.error(fault)),
            Err(_) => {
                let (place, seconds) = (&self.place, PATIENCE.as_secs());
                let reason = format!("{place}: no answer within {seconds} s");
                Err(StoreError::passing(reason))
            }
        }
    }

    async fn work(&self, open: &mut Open, work: Work) -> Result<(), Fault> {
        let (table, stream) = (&self.plan.table, &self.stream);
        if let Work::Verify = work {
            let client = &open.session.client;
            let row = client.query_one(&open.position, &[table, stream]).await?;
            let found = (row.get(0), row.get(1));
            let known = (Some(open.table), open.seq_start.clone());
            return if found == known {
                Ok(())
            } else {
                Err(Fault::Replaced)
            };
        }
        let transaction = open.session.client.transaction().await?;
        let seq_start = match &work {
            Work::Append(batch) => {
                self.insert(&transaction, &open.insert, batch).await?;
                Seq::starting_at(&batch.after)
            }
            Work::Mark(mark) => {
                let seq_start = mark.seq_start();
                if let Some(gap) = &mark.gap {
                    let gaps = self.sql.gap();
                    transaction
                        .execute(&gaps, &[stream, &gap.from, &gap.went_on_at().as_str()])
                        .await?;
                }
                seq_start
            }
            Work::Verify => return Ok(()),
        };
        let seq_start = seq_start.to_string();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [stream, &seq_start, &open.seq_start, table, &open.table];
        let moved = transaction.execute(&open.remember, &parameters).await?;
        if moved != 1 {
            return Err(Fault::Replaced);
        }
        transaction.commit().await?;
        open.seq_start = Some(seq_start);
        Ok(())
    }

    async fn insert(
        &self,
        transaction: &Transaction<'_>,
        insert: &Statement,
        batch: &Batch,
    ) -> Result<u64, tokio_postgres::Error> {
        let events = batch.events.as_slice();
        let column = |text: fn(&crate::event::Event) -> &str| -> Vec<&str> {
            events.iter().map(text).collect()
        };
        let number = |number: fn(&crate::event::Event) -> u64| -> Vec<i64> {
            events.iter().map(|event| number(event) as i64).collect()
        };
        let received: Vec<_> = events
            .iter()
            .map(|event| SystemTime::from(event.received))
            .collect();
        let columns = events.iter().map(|event| &event.columns);
        let times: Vec<_> = columns
            .clone()
            .map(|c| c.event_time.map(SystemTime::from))
            .collect();
        let properties: Vec<_> = columns.clone().map(|c| c.property.as_deref()).collect();
        let values: Vec<_> = columns.map(|c| c.value.as_deref()).collect();
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
                    &times,
                    &properties,
                    &values,
                ],
            )
            .await
    }
}

/// Work on a connection.
enum Work {
    Append(Arc<Batch>),
    Mark(Mark),
    Verify,
}

/// Host, database and table, without the password.
fn place(plan: &PostgresPlan) -> String {
    let config = plan.url.config().unwrap_or_default();
    let host = match config.get_hosts() {
        [Host::Tcp(host), ..] => host.clone(),
        [Host::Unix(path), ..] => path.display().to_string(),
        [] => "no host".to_owned(),
    };
    let database = config.get_dbname().unwrap_or("the default database");
    format!("table {} of PostgreSQL at {host}/{database}", plan.table)
}

impl Store for PostgresStore {
    fn describe(&self) -> String {
        self.place.clone()
    }

    fn open(&mut self) -> BoxFuture<'_, Result<Opened, StoreError>> {
        self.open_session().boxed()
    }

    fn append(&mut self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.call(Work::Append(batch)).boxed()
    }

    fn mark(&mut self, mark: Mark) -> BoxFuture<'_, Result<(), StoreError>> {
        self.call(Work::Mark(mark)).boxed()
    }

    fn verify(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.call(Work::Verify).boxed()
    }
}
