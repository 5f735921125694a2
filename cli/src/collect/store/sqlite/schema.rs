//! The tables and the statements on them. Names of tables are checked when the configuration is read, so that they can be
//! part of them.

use rusqlite::Transaction;

/// Makes the tables that are missing.
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
    ))
}

/// Stores an event.
pub(super) fn insert(table: &str) -> String {
    format!(
        "INSERT INTO {table}
           (stream, event_partition, event_offset, seq, event_type, dsn, received_at, event)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
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
