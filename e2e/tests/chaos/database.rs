//! Faults of the database server in which collectors store events.

use crate::collectors::{STREAMS, table};
use crate::stored_events::{SharedDatabase, locked};

/// The tables refuse every event with this rest of its offset.
pub(crate) const REFUSED_EVERY: u64 = 211;
pub(crate) const REFUSED_REST: u64 = 7;

/// A fault of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatabaseFault {
    /// It crashes, and recovers at the end.
    Crash,
    /// Nobody may write.
    ReadOnly,
    /// Its disk is full.
    Full,
    /// All sessions are ended.
    Disconnect,
    /// Its tables are copied, and go back to the copy at the end.
    Restore,
    /// Its tables get another name.
    Move,
}

pub(crate) const FAULTS: [DatabaseFault; 6] = [
    DatabaseFault::Crash,
    DatabaseFault::ReadOnly,
    DatabaseFault::Full,
    DatabaseFault::Disconnect,
    DatabaseFault::Restore,
    DatabaseFault::Move,
];

const DISCONNECT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Makes the tables refuse some events from now on.
pub(crate) fn refuse_some(server: &SharedDatabase, topics: usize) -> anyhow::Result<()> {
    for topic in 0..topics {
        run(
            server,
            &format!(
                "ALTER TABLE {} ADD CONSTRAINT refused
                 CHECK (event_offset % {REFUSED_EVERY} <> {REFUSED_REST}) NOT VALID",
                table(topic)
            ),
        )?;
    }
    Ok(())
}

/// The name that a table gets when it is the one moved with this number.
pub(crate) fn moved(number: usize, table: &str) -> String {
    format!("moved_{number}_{table}")
}

impl DatabaseFault {
    /// Does it to the tables of all topics, of which `moves` were moved before, or ends it.
    pub(crate) fn apply(
        self,
        server: &SharedDatabase,
        (topics, moves): (usize, usize),
        begins: bool,
    ) -> anyhow::Result<()> {
        let each = |statement: &dyn Fn(&str) -> String| -> String {
            (0..topics).map(|topic| statement(&table(topic))).collect()
        };
        // Whoever is in a transaction would keep the tables locked.
        let alone = |sql: &str| {
            run(server, DISCONNECT)?;
            run(server, sql)
        };
        match (self, begins) {
            (Self::Crash, true) => locked(server).crash(),
            (Self::Crash, false) => locked(server).resume()?,
            (Self::ReadOnly, true) => {
                run(
                    server,
                    "ALTER DATABASE postgres SET default_transaction_read_only = on",
                )?;
                run(server, DISCONNECT)?;
            }
            (Self::ReadOnly, false) => {
                run(
                    server,
                    "BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT",
                )?;
                run(server, DISCONNECT)?;
            }
            (Self::Full, true) => {
                let triggers = each(&|table| {
                    format!(
                        "CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION full_disk();"
                    )
                });
                alone(&format!(
                    "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
                     BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
                     {triggers}"
                ))?;
            }
            (Self::Full, false) => {
                alone(&each(&|table| {
                    format!("DROP TRIGGER IF EXISTS full_disk ON {table};")
                }))?;
            }
            (Self::Disconnect, true) => run(server, DISCONNECT)?,
            (Self::Restore, true) => {
                run(
                    server,
                    &each(&|table| {
                        let copies = ["", "_streams", "_gaps"];
                        let copies =
                            copies.map(|end| format!("DROP TABLE IF EXISTS copy_{table}{end};"));
                        copies.concat()
                    }),
                )?;
                // Of a stream that is not in it, a copy cannot say where to resume, so it would begin again as the configuration says.
                for topic in 0..topics {
                    let count = format!("SELECT count(*) FROM {}_streams", table(topic));
                    if locked(server).query(&count)? != [STREAMS.len().to_string()] {
                        return Ok(());
                    }
                }
                let copies = each(&|table| {
                    let copies = ["", "_streams", "_gaps"].map(|end| {
                        format!("CREATE TABLE copy_{table}{end} AS TABLE {table}{end};")
                    });
                    copies.concat()
                });
                // All as it was at one moment.
                alone(&format!(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ; {copies} COMMIT"
                ))?;
            }
            (Self::Restore, false) => alone(&each(&|table| {
                format!(
                    "LOCK TABLE {table}, {table}_streams, {table}_gaps IN ACCESS EXCLUSIVE MODE;
                     DELETE FROM {table} AS e WHERE NOT EXISTS (SELECT FROM copy_{table} AS c
                       WHERE (c.stream, c.event_partition, c.event_offset) = (e.stream, e.event_partition, e.event_offset));
                     DELETE FROM {table}_gaps; INSERT INTO {table}_gaps SELECT * FROM copy_{table}_gaps;
                     DELETE FROM {table}_streams; INSERT INTO {table}_streams SELECT * FROM copy_{table}_streams;"
                )
            }))?,
            (Self::Move, true) => alone(&each(&|table| {
                let renamed = ["", "_streams", "_gaps"].map(|end| {
                    format!(
                        "ALTER TABLE {table}{end} RENAME TO {}{end};",
                        moved(moves, table)
                    )
                });
                renamed.concat()
            }))?,
            (Self::Disconnect | Self::Move, false) => (),
        }
        Ok(())
    }
}

/// Carries out statements; none, while a table is not there: it was moved, and its collector does not run.
fn run(server: &SharedDatabase, sql: &str) -> anyhow::Result<()> {
    match locked(server).execute(sql) {
        Err(error) if error.to_string().contains("does not exist") => Ok(()),
        result => result,
    }
}
