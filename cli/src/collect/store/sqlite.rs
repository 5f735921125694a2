//! A table in a SQLite file: one transaction per batch, which moves the stream's position, too.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datastream_gateway::position::{Position, Seq};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::lock;
use super::off_thread::BlockingStore;
use super::{Batch, Mark, StoreError};
use crate::collect::config::SqlitePlan;

/// How long another program may hold the file, before that is an error (and tried again).
const BUSY: Duration = Duration::from_secs(5);

/// The database files of this process: streams that share one take turns.
#[derive(Default)]
pub(in crate::collect) struct Databases(BTreeMap<PathBuf, Arc<Database>>);

/// One database file.
struct Database {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Held, and with it the file, as long as this lives.
    lock: Option<File>,
}

impl Databases {
    fn at(&mut self, path: &Path) -> Arc<Database> {
        let database = self.0.entry(path.to_owned()).or_insert_with(|| {
            Arc::new(Database {
                path: path.to_owned(),
                state: Mutex::default(),
            })
        });
        database.clone()
    }
}

impl Database {
    /// Waits for the turn.
    fn turn(&self) -> MutexGuard<'_, State> {
        // What a panic left behind is an open transaction, which SQLite rolls back.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, error: &rusqlite::Error) -> StoreError {
        StoreError::lasting(format!("{}: {error}", self.path.display()))
    }

    fn take_lock(&self, state: &mut State) -> Result<(), StoreError> {
        if state.lock.is_some() {
            return Ok(());
        }
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| lock::at(folder, &e))?;
        }
        state.lock = Some(lock::take(Path::new(&path))?);
        Ok(())
    }

    /// Does something in one transaction. After an error the file is opened again.
    fn transaction<T>(
        &self,
        action: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut state = self.turn();
        self.take_lock(&mut state)?;
        let result = (|| {
            let connection = match state.connection.take() {
                Some(connection) => connection,
                None => connect(&self.path)?,
            };
            let connection = state.connection.insert(connection);
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = action(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        if result.is_err() {
            state.connection = None;
        }
        result.map_err(|e| self.error(&e))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode only FULL makes a commit durable.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// The store of one stream.
pub(in crate::collect) struct SqliteStore {
    database: Arc<Database>,
    table: String,
    stream: String,
}

impl SqliteStore {
    /// The store of this stream.
    pub(in crate::collect) fn new(
        databases: &mut Databases,
        plan: SqlitePlan,
        stream: &str,
    ) -> Self {
        Self {
            database: databases.at(&plan.path),
            table: plan.table,
            stream: stream.to_owned(),
        }
    }

    fn remember(&self, transaction: &Transaction<'_>, seq_start: &Seq) -> rusqlite::Result<()> {
        let table = &self.table;
        transaction
            .prepare_cached(&format!(
                "INSERT INTO {table}_streams (stream, seq_start) VALUES (?1, ?2)
                 ON CONFLICT (stream) DO UPDATE SET seq_start = excluded.seq_start"
            ))?
            .execute(params![self.stream, seq_start.as_str()])?;
        Ok(())
    }
}

impl BlockingStore for SqliteStore {
    fn describe(&self) -> String {
        format!("table {} of {}", self.table, self.database.path.display())
    }

    fn open(&mut self) -> Result<Option<Position>, StoreError> {
        let table = &self.table;
        let seq_start: Option<String> = self.database.transaction(|transaction| {
            transaction.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {table} (
                   stream TEXT NOT NULL,
                   event_partition INTEGER NOT NULL,
                   event_offset INTEGER NOT NULL,
                   seq TEXT NOT NULL,
                   event_type TEXT NOT NULL,
                   dsn TEXT NOT NULL,
                   received_at TEXT NOT NULL,
                   event TEXT NOT NULL,
                   PRIMARY KEY (stream, event_partition, event_offset)
                 ) WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS {table}_streams (
                   stream TEXT NOT NULL PRIMARY KEY,
                   seq_start TEXT NOT NULL
                 ) WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS {table}_gaps (
                   stream TEXT NOT NULL,
                   asked_for TEXT NOT NULL,
                   went_on_at TEXT NOT NULL,
                   seen_at TEXT NOT NULL,
                   PRIMARY KEY (stream, asked_for)
                 ) WITHOUT ROWID;"
            ))?;
            transaction
                .query_row(
                    &format!("SELECT seq_start FROM {table}_streams WHERE stream = ?1"),
                    [&self.stream],
                    |row| row.get(0),
                )
                .optional()
        })?;
        position(&self.describe(), &self.stream, seq_start)
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let table = &self.table;
        self.database.transaction(|transaction| {
            let mut insert = transaction.prepare_cached(&format!(
                "INSERT INTO {table}
                   (stream, event_partition, event_offset, seq, event_type, dsn, received_at, event)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING"
            ))?;
            for event in &batch.events {
                insert.execute(params![
                    self.stream,
                    event.identity.partition,
                    event.identity.offset as i64,
                    event.seq,
                    event.kind,
                    event.dsn,
                    event.received.to_string(),
                    event.body.as_str(),
                ])?;
            }
            self.remember(transaction, &Seq::starting_at(&batch.after))
        })
    }

    fn mark(&mut self, mark: &Mark) -> Result<(), StoreError> {
        let table = &self.table;
        self.database.transaction(|transaction| {
            let seq_start = mark.seq_start();
            if let Some(gap) = &mark.gap {
                transaction.execute(
                    &format!(
                        "INSERT INTO {table}_gaps (stream, asked_for, went_on_at, seen_at)
                         VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT (stream, asked_for) DO UPDATE
                         SET went_on_at = excluded.went_on_at, seen_at = excluded.seen_at"
                    ),
                    params![
                        self.stream,
                        gap.from,
                        seq_start.as_str(),
                        jiff::Timestamp::now().to_string()
                    ],
                )?;
            }
            self.remember(transaction, &seq_start)
        })
    }
}

/// The position that a table remembers.
pub(super) fn position(
    place: &str,
    stream: &str,
    seq_start: Option<String>,
) -> Result<Option<Position>, StoreError> {
    let read = |text: String| {
        Seq::start_of(&text).map_err(|e| {
            let reason = format!("{place}: the seq_start of stream {stream:?} is {text:?}: {e}");
            StoreError::lasting(reason)
        })
    };
    seq_start.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use datastream_gateway::position::EventIdentity;

    use super::*;
    use crate::collect::event::tests::event;

    fn store(databases: &mut Databases, path: &Path, stream: &str) -> SqliteStore {
        let plan = SqlitePlan {
            path: path.to_owned(),
            table: "events".to_owned(),
        };
        SqliteStore::new(databases, plan, stream)
    }

    fn batch(numbers: &[&str]) -> Batch {
        let events: Vec<_> = numbers
            .iter()
            .map(|seq| event(&format!(r#"{{"seq":"{seq}","metadata":{{"dsn":"A"}}}}"#)))
            .collect();
        Batch::of_new(&events, None).unwrap()
    }

    #[test]
    fn streams_share_a_file_and_each_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/events.db");
        let mut databases = Databases::default();
        let mut a = store(&mut databases, &path, "a");
        let mut b = store(&mut databases, &path, "b");
        assert_eq!(a.open(), Ok(None));
        assert_eq!(b.open(), Ok(None));
        a.append(&batch(&["3", "4"])).unwrap();
        // What is there already is not there twice.
        a.append(&batch(&["3", "4", "5"])).unwrap();
        let mark = Mark {
            position: Position::new([9]),
            gap: Some(super::super::Gap {
                from: "1".to_owned(),
            }),
        };
        b.mark(&mark).unwrap();
        b.mark(&mark).unwrap();
        drop((a, b, databases));

        let mut databases = Databases::default();
        assert_eq!(
            store(&mut databases, &path, "a").open(),
            Ok(Some(Position::new([5])))
        );
        assert_eq!(
            store(&mut databases, &path, "b").open(),
            Ok(Some(Position::new([9])))
        );
        let connection = Connection::open(&path).unwrap();
        let count = |sql: &str| {
            connection
                .query_row(sql, [], |row| row.get::<_, i64>(0))
                .unwrap()
        };
        assert_eq!(count("SELECT count(*) FROM events WHERE stream = 'a'"), 3);
        assert_eq!(
            count("SELECT count(*) FROM events_gaps WHERE asked_for = '1' AND went_on_at = '10'"),
            1
        );
    }

    #[test]
    fn every_event_is_found_by_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let mut store = store(&mut Databases::default(), &path, "a");
        store.open().unwrap();
        let seq = Seq::of(&Position::new([3, 7]), 1);
        store.append(&batch(&[seq.as_str()])).unwrap();
        let connection = Connection::open(&path).unwrap();
        let identity = connection
            .query_row(
                "SELECT event_partition, event_offset FROM events",
                [],
                |row| {
                    Ok(EventIdentity {
                        partition: row.get(0)?,
                        offset: row.get::<_, i64>(1)? as u64,
                    })
                },
            )
            .unwrap();
        assert_eq!(identity, EventIdentity::of_seq(seq.as_str()).unwrap().0);
        assert_eq!(store.open(), Ok(Some(Position::new([3, 7]))));
    }

    #[test]
    fn two_collectors_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let mut one = store(&mut Databases::default(), &path, "a");
        one.open().unwrap();
        let mut other = store(&mut Databases::default(), &path, "b");
        assert!(
            other
                .open()
                .unwrap_err()
                .reason
                .starts_with("another collector")
        );
        drop(one);
        assert_eq!(other.open(), Ok(None));
    }
}
