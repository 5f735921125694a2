//! Looks a database through before anything counts as stored in it.

use rusqlite::Connection;
use rusqlite::config::DbConfig;

/// A file that is larger is not read as a whole when it is opened.
const LARGEST: i64 = 1 << 30;

/// The first damage of the structure, if there is any: pages, tables and rows that are not where and as they should be.
/// Does not look into values, because SQLite has no checksum of them.
pub(super) fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let size = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
    if size > LARGEST {
        tracing::info!(
            file = connection.path(),
            size,
            "not looked through for damage, because it is large: PRAGMA integrity_check does that"
        );
        return Ok(None);
    }
    // quick_check would not see rows that are out of order, as when a page is in the place of another one.
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then(|| format!("damaged: {}", found.replace('\n', " "))))
}

/// Sets whether the log (`-wal`) stays as it is when the connection is closed, or is written into the database and removed.
pub(super) fn keep_log(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)?;
    Ok(())
}
