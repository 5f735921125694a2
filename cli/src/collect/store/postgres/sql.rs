//! The statements. Names of tables are checked when the configuration is read, so that they can be part of them.

/// Commits are durable, whatever the database's default; a stricter one is left alone.
pub(super) const DURABLE: &str = "SELECT CASE WHEN current_setting('synchronous_commit') = 'off'
     THEN set_config('synchronous_commit', 'on', false) END";

/// Takes the stream for this session, if no other one has it.
pub(super) const LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";

/// Whether a table is there: whoever made it beforehand need not let the collector create tables.
pub(super) const TABLE_EXISTS: &str = "SELECT to_regclass($1) IS NOT NULL";

/// Statements on one table and those beside it.
pub(super) struct Sql {
    table: String,
}

impl Sql {
    pub(super) fn new(table: &str) -> Self {
        Self {
            table: table.to_owned(),
        }
    }

    /// Makes the tables. Others may be making them, too, and `IF NOT EXISTS` alone does not keep them apart.
    pub(super) fn create(&self) -> String {
        let table = &self.table;
        format!(
            "BEGIN;
             SELECT pg_advisory_xact_lock(hashtextextended('datastream collect: tables', 0));
             CREATE TABLE IF NOT EXISTS {table} (
               stream text NOT NULL,
               event_partition bigint NOT NULL,
               event_offset bigint NOT NULL,
               seq text NOT NULL,
               event_type text NOT NULL,
               dsn text NOT NULL,
               received_at timestamptz NOT NULL,
               event text NOT NULL,
               PRIMARY KEY (stream, event_partition, event_offset)
             );
             CREATE TABLE IF NOT EXISTS {table}_streams (
               stream text PRIMARY KEY,
               seq_start text NOT NULL,
               updated_at timestamptz NOT NULL DEFAULT now()
             );
             CREATE TABLE IF NOT EXISTS {table}_gaps (
               stream text NOT NULL,
               asked_for text NOT NULL,
               went_on_at text NOT NULL,
               seen_at timestamptz NOT NULL DEFAULT now(),
               PRIMARY KEY (stream, asked_for)
             );
             COMMIT"
        )
    }

    /// Stores events: the stream, and an array per column.
    pub(super) fn insert(&self) -> String {
        format!(
            "INSERT INTO {} (stream, event_partition, event_offset, seq, event_type, dsn, received_at, event)
             SELECT $1::text, * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::text[])
             ON CONFLICT DO NOTHING",
            self.table
        )
    }

    /// Moves the position of a stream.
    pub(super) fn remember(&self) -> String {
        format!(
            "INSERT INTO {}_streams (stream, seq_start) VALUES ($1, $2)
             ON CONFLICT (stream) DO UPDATE SET seq_start = excluded.seq_start, updated_at = now()",
            self.table
        )
    }

    /// The position of a stream.
    pub(super) fn position(&self) -> String {
        format!(
            "SELECT seq_start FROM {}_streams WHERE stream = $1",
            self.table
        )
    }

    /// Records a gap.
    pub(super) fn gap(&self) -> String {
        format!(
            "INSERT INTO {}_gaps (stream, asked_for, went_on_at) VALUES ($1, $2, $3)
             ON CONFLICT (stream, asked_for) DO UPDATE SET went_on_at = excluded.went_on_at, seen_at = now()",
            self.table
        )
    }
}
