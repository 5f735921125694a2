//! A table in a SQLite file: one transaction per batch, which moves the stream's position, too.

mod check;
mod schema;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datastream_protocol::position::{Position, Seq};
use datastream_service::file::check_regular;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior, params,
};

use super::lock::{self, Lock};
use super::off_thread::BlockingStore;
use super::place::{FileId, Placed};
use super::{Batch, ErrorKind, Mark, Opened, StoreError};
use crate::config::SqlitePlan;

/// Time for which another program may hold the file before that is an error (and tried again).
const BUSY: Duration = Duration::from_secs(5);
/// Advice about a file that is not as SQLite and the collector wrote it.
const DAMAGED: &str = "; the file is left as it is: restore it from a backup, or save what `sqlite3 FILE .recover` finds, and move it away";

/// The database files of this process: streams that share one take turns.
#[derive(Default)]
pub(crate) struct Databases(BTreeMap<PathBuf, Arc<Database>>);

/// One database file.
struct Database {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    /// Lock of the file, held as long as this lives.
    lock: Option<Lock>,
    /// The file that was found whole, and has not said otherwise since.
    whole: Option<FileId>,
}

/// The open database.
struct Open {
    connection: Connection,
    /// The database and, beside it, what SQLite has not written into it yet.
    files: Vec<Placed>,
}

impl State {
    /// Closes the database, of which nothing is known any more: what may be damaged is left as it is.
    fn give_up(&mut self) {
        if let Some(open) = self.open.take() {
            // Whoever gives up has an error already.
            let _ = check::keep_log(&open.connection, true);
        }
    }
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

/// A fault of a call.
enum Fault {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Database {
    /// Waits for the turn.
    fn turn(&self) -> MutexGuard<'_, State> {
        // What a panic left behind is an open transaction, which SQLite rolls back.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, fault: Fault) -> StoreError {
        let error = match fault {
            Fault::Store(error) => return error,
            Fault::Sqlite(error) => error,
        };
        let path = self.path.display();
        let (kind, advice) = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                (ErrorKind::Passing, " by another program")
            }
            Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
                (ErrorKind::Refused, "")
            }
            _ if is_damage(&error) => (ErrorKind::Lasting, DAMAGED),
            Some(ErrorCode::Unknown) => (
                ErrorKind::Lasting,
                "; the tables are not those of a collector: name another table, or restore it from a backup",
            ),
            Some(ErrorCode::ReadOnly) => (
                ErrorKind::Lasting,
                "; let the collector write the file and its folder, or, if it is damaged, restore it from a backup",
            ),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => (
                ErrorKind::Lasting,
                "; look at the disk, and if the file was cut, restore it from a backup",
            ),
            _ => (ErrorKind::Lasting, ""),
        };
        let error = error.to_string().replace('\n', " ");
        let reason = format!("{path}: {error}{advice}");
        StoreError { reason, kind }
    }

    fn take_lock(&self, state: &mut State) -> Result<(), StoreError> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| lock::at(folder, &e))?;
        }
        Lock::hold(&mut state.lock, &self.beside(".lock"))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// Does something in one transaction. After an error the file is opened again.
    fn transaction<T>(
        &self,
        action: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let mut state = self.turn();
        let result = (|| {
            let open = if let Some(open) = state.open.take() {
                open
            } else {
                self.take_lock(&mut state)?;
                self.connect(&mut state.whole)?
            };
            let open = state.open.insert(open);
            let transaction = open
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = action(&transaction)?;
            transaction.commit()?;
            if open.files.is_empty() {
                open.files = self.files()?;
            }
            // What was stored is there only as long as the path leads there.
            self.check_files(open)?;
            Ok(value)
        })();
        result.map_err(|fault| {
            if matches!(&fault, Fault::Sqlite(error) if is_damage(error)) {
                state.whole = None;
            }
            state.give_up();
            self.error(fault)
        })
    }

    /// Checks that the files are where they were.
    fn verify(&self) -> Result<(), StoreError> {
        let mut state = self.turn();
        let verified = match (&state.open, &state.lock) {
            (Some(open), Some(lock)) => lock.check().and_then(|()| self.check_files(open)),
            _ => Ok(()),
        };
        if verified.is_err() {
            state.give_up();
        }
        verified
    }

    /// Checks that the files are where they were, and that nobody emptied the database where it is.
    fn check_files(&self, open: &Open) -> Result<(), StoreError> {
        open.files.iter().try_for_each(Placed::check)?;
        let metadata = std::fs::metadata(&self.path).map_err(|e| lock::at(&self.path, &e))?;
        if metadata.len() == 0 {
            let path = self.path.display();
            return Err(StoreError::lasting(format!("{path}: the file was emptied")));
        }
        Ok(())
    }

    /// Opens the file. One that is not known to be whole is looked through first.
    fn connect(&self, whole: &mut Option<FileId>) -> Result<Open, Fault> {
        let at = |e: io::Error| lock::at(&self.path, &e);
        check_regular(&self.path).map_err(at)?;
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() == 0 => tracing::warn!(
                file = %self.path.display(),
                "the database file is empty, so its streams start over"
            ),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(error).into()),
        }
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(BUSY)?;
        // What is damaged is left as it is, and the log is part of it.
        check::keep_log(&connection, true)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // In WAL mode only FULL makes a commit durable.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let file = FileId::at(&self.path).map_err(at)?;
        if *whole != file {
            if let Some(damage) = check::damage(&connection)? {
                let path = self.path.display();
                return Err(StoreError::lasting(format!("{path}: {damage}{DAMAGED}")).into());
            }
            *whole = file;
        }
        check::keep_log(&connection, false)?;
        let files = Vec::new();
        Ok(Open { connection, files })
    }

    /// The files of the database, which are all there once something was written.
    fn files(&self) -> Result<Vec<Placed>, StoreError> {
        let suffixes = ["", "-wal", "-shm"];
        let files = suffixes.iter().filter_map(|suffix| {
            let path = self.beside(suffix);
            let placed = Placed::at(&path).map_err(|e| lock::at(&path, &e));
            placed.transpose()
        });
        files.collect()
    }
}

/// Returns whether the file is not as it was written: also if a value has another type than it was stored with.
fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    code.is_none_or(|code| matches!(code, ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// The store of one stream.
pub(crate) struct SqliteStore {
    database: Arc<Database>,
    table: String,
    stream: String,
    /// The number that the table remembers for the stream.
    seq_start: Option<String>,
}

impl SqliteStore {
    /// The store of this stream.
    pub(crate) fn new(databases: &mut Databases, plan: SqlitePlan, stream: &str) -> Self {
        Self {
            database: databases.at(&plan.path),
            table: plan.table,
            stream: stream.to_owned(),
            seq_start: None,
        }
    }

    /// Does something in a transaction that moves the stream from where it is known to be.
    fn moving(
        &mut self,
        to: &Seq,
        action: impl FnOnce(&Transaction<'_>) -> Result<(), Fault>,
    ) -> Result<(), StoreError> {
        let (table, stream, from) = (&self.table, &self.stream, &self.seq_start);
        let place = self.describe();
        self.database.transaction(|transaction| {
            action(transaction)?;
            let moved = transaction
                .prepare_cached(&schema::remember(table))?
                .execute(params![stream, to.as_str(), from])?;
            if moved == 1 {
                return Ok(());
            }
            Err(StoreError::lasting(format!(
                "{place}: the position of stream {stream:?} in {table}_streams was changed by somebody else"
            ))
            .into())
        })?;
        self.seq_start = Some(to.to_string());
        Ok(())
    }
}

impl BlockingStore for SqliteStore {
    fn describe(&self) -> String {
        format!("table {} of {}", self.table, self.database.path.display())
    }

    fn open(&mut self) -> Result<Opened, StoreError> {
        let (table, stream) = (&self.table, &self.stream);
        let seq_start: Option<String> = self.database.transaction(|transaction| {
            schema::create(transaction, table)?;
            let query = format!("SELECT seq_start FROM {table}_streams WHERE stream = ?1");
            let row = transaction.query_row(&query, [stream], |row| row.get(0));
            Ok(row.optional()?)
        })?;
        self.seq_start.clone_from(&seq_start);
        position(&self.describe(), &self.stream, seq_start).map(Opened::at)
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let (table, stream) = (self.table.clone(), self.stream.clone());
        self.moving(&Seq::starting_at(&batch.after), |transaction| {
            let mut insert = transaction.prepare_cached(&schema::insert(&table))?;
            for event in &batch.events {
                insert.execute(params![
                    stream,
                    event.identity.partition,
                    event.identity.offset as i64,
                    event.seq,
                    event.kind,
                    event.dsn,
                    event.received.to_string(),
                    event.body.as_str(),
                    event.columns.event_time.map(|time| time.to_string()),
                    event.columns.property,
                    event.columns.value,
                ])?;
            }
            Ok(())
        })
    }

    fn mark(&mut self, mark: &Mark) -> Result<(), StoreError> {
        let (table, stream) = (self.table.clone(), self.stream.clone());
        let seq_start = mark.seq_start();
        self.moving(&seq_start, |transaction| {
            if let Some(gap) = &mark.gap {
                let seen_at = jiff::Timestamp::now().to_string();
                transaction.execute(
                    &schema::gap(&table),
                    params![stream, gap.from, gap.went_on_at().as_str(), seen_at],
                )?;
            }
            Ok(())
        })
    }

    fn verify(&mut self) -> Result<(), StoreError> {
        self.database.verify()
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
            let reason = format!(
                "{place}: the seq_start of stream {stream:?} is {text:?}: {e}; correct it, or restore it from a backup"
            );
            StoreError::lasting(reason)
        })
    };
    seq_start.map(read).transpose()
}

#[cfg(test)]
mod tests;
