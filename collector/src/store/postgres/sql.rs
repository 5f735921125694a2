//! The statements. Names of tables are checked when the configuration is read, so that they can be part of them.

/// Makes the server notice within half a minute that this process is gone, and with it its locks.
pub(super) const KEEP_ALIVE: &str = "SELECT set_config(name, value, false)
     FROM (VALUES ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'),
                  ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '25000')) AS wanted (name, value)
     WHERE name IN (SELECT name FROM pg_settings)";

/// Commits are durable, whatever the database's default; a stricter one is left alone.
pub(super) const DURABLE: &str = "SELECT CASE WHEN current_setting('synchronous_commit') = 'off'
     THEN set_config('synchronous_commit', 'on', false) END";

/// The database and its encoding.
pub(super) const ENCODING: &str = "SELECT datname::text, pg_encoding_to_char(encoding)::text FROM pg_database WHERE datname = current_database()";

/// Takes the lock with this name for this session, if no other one has it.
pub(super) const LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";

/// The session that has the lock: its number, application, beginning, and for how long it has been idle, in milliseconds.
pub(super) const HOLDER: &str = "SELECT pid, application_name, date_trunc('second', backend_start)::text,
       CASE WHEN state <> 'active' THEN (extract(epoch FROM clock_timestamp() - state_change) * 1000)::bigint END
     FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
     WHERE locktype = 'advisory' AND granted AND objsubid = 1
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND ((classid::bigint << 32) | objid::bigint) = hashtextextended($1, 0)";

/// Ends the session with this number if it has the lock.
pub(super) const END_HOLDER: &str = "SELECT pg_terminate_backend(pid)
     FROM pg_locks
     WHERE locktype = 'advisory' AND granted AND objsubid = 1
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND ((classid::bigint << 32) | objid::bigint) = hashtextextended($1, 0)
       AND pid = $2";

/// The table with this name, if there is one. Whoever made it beforehand need not let the collector create tables.
pub(super) const TABLE: &str = "SELECT to_regclass($1)::oid";

/// The columns of a table that earlier versions did not make.
pub(super) const LATER_COLUMNS: &str = "SELECT count(*) FROM pg_attribute
     WHERE attrelid = $1 AND attname IN ('event_time', 'property', 'value') AND NOT attisdropped";
/// Number of these columns.
pub(super) const LATER_COLUMNS_COUNT: i64 = 3;

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
               event_time timestamptz,
               property text,
               value text,
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

    /// Adds the columns that tables of earlier versions do not have; null in rows of then.
    pub(super) fn add_columns(&self) -> String {
        format!(
            "ALTER TABLE {} ADD COLUMN IF NOT EXISTS event_time timestamptz, ADD COLUMN IF NOT EXISTS property text, ADD COLUMN IF NOT EXISTS value text",
            self.table
        )
    }

    /// Stores events: the stream, and an array per column.
    pub(super) fn insert(&self) -> String {
        format!(
            "INSERT INTO {} (stream, event_partition, event_offset, seq, event_type, dsn, received_at, event, event_time, property, value)
             SELECT $1::text, * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::text[],
                                            $9::timestamptz[], $10::text[], $11::text[])
             ON CONFLICT (stream, event_partition, event_offset) DO NOTHING",
            self.table
        )
    }

    /// Moves the position of stream `$1` to `$2` if it is at `$3`, and the table with the name `$4` is still `$5`.
    pub(super) fn remember(&self) -> String {
        let table = &self.table;
        format!(
            "INSERT INTO {table}_streams (stream, seq_start)
             SELECT $1::text, $2::text
             WHERE $3::text IS NOT DISTINCT FROM (SELECT seq_start FROM {table}_streams WHERE stream = $1::text)
               AND to_regclass($4::text)::oid = $5::oid
             ON CONFLICT (stream) DO UPDATE SET seq_start = excluded.seq_start, updated_at = now()"
        )
    }

    /// The table with the name `$1`, and the position of stream `$2`.
    pub(super) fn position(&self) -> String {
        format!(
            "SELECT to_regclass($1::text)::oid, (SELECT seq_start FROM {}_streams WHERE stream = $2::text)",
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
