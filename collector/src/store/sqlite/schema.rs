//! The tables and the statements on them. Names of tables are checked when the configuration is read, so that they can be
//! part of them.

use rusqlite::Transaction;

/// Columns that tables of earlier versions do not have; null in rows of then.
const LATER_COLUMNS: [&str; 3] = ["event_time", "property", "value"];

/// Makes the tables and columns that are missing.
pub(super) fn create(transaction: &Transaction<'_>, table: &str) -> rusqlite::Result<()> {
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
           event_time TEXT,
           property TEXT,
           value TEXT,
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
    for column in LATER_COLUMNS {
        if !transaction.column_exists(None, table, column)? {
            transaction.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} TEXT"))?;
        }
    }
    Ok(())
}

/// Stores an event.
pub(super) fn insert(table: &str) -> String {
    format!(
        "INSERT INTO {table}
           (stream, event_partition, event_offset, seq, event_type, dsn, received_at, event, event_time, property, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (stream, event_partition, event_offset) DO NOTHING"
    )
}

/// Moves the position of stream `?1` to `?2`, if it is at `?3`.
pub(super) fn remember(table: &str) -> String {
    format!(
        "INSERT INTO {table}_streams (stream, seq_start)
         SELECT ?1, ?2 WHERE ?3 IS (SELECT seq_start FROM {table}_streams WHERE stream = ?1)
         ON CONFLICT (stream) DO UPDATE SET seq_start = excluded.seq_start"
    )
}

/// Records a gap.
pub(super) fn gap(table: &str) -> String {
    format!(
        "INSERT INTO {table}_gaps (stream, asked_for, went_on_at, seen_at)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (stream, asked_for) DO UPDATE
         SET went_on_at = excluded.went_on_at, seen_at = excluded.seen_at"
    )
}
