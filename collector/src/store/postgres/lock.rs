//! The lock that keeps two collectors from storing one stream: an advisory lock, which ends with its session.
//!
//! A server may take hours to notice that the process of a session is gone. So whoever finds the lock held looks at the
//! session that holds it, by the server's clock. One of this very process is abandoned: the process has dropped it. One
//! that has been idle for several times as long as a collector ever is (see `check_interval`) has lost its
//! process, or that hangs. Both are ended. That is safe whatever the truth is: what is ended cannot commit any more, so that a process which comes back
//! finds its session gone and has to wait for the lock.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Error};

use super::connect::{APPLICATION, Session};
use super::sql;

/// Time for which the lock is waited for before it is said who holds it.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(250);

/// The reason why there is no lock.
pub(super) enum LockError {
    /// Another session has it; none if that one ended just now.
    Held(Option<Holder>),
    /// The server did not answer as it should.
    Failed(Error),
}

impl From<Error> for LockError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The session that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pid: i32,
    /// Its name for itself; empty if it belongs to another user.
    application: String,
    /// The time at which it was opened.
    since: String,
    /// The time since it did anything; none while it does something, or if that is not shown to this user.
    idle: Option<Duration>,
}

impl Holder {
    /// Returns whether its process has dropped it, or is gone.
    fn is_abandoned(&self, own_application: &str, abandoned_after: Duration) -> bool {
        let abandoned = self.idle.is_some_and(|idle| idle >= abandoned_after);
        self.application == own_application
            || abandoned && self.application.starts_with(APPLICATION)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid, since, .. } = self;
        let application = match self.application.as_str() {
            "" => "of another user",
            application => application,
        };
        write!(f, "session {pid} ({application}, since {since})")
    }
}

/// Takes the lock with this name for as long as the session lives. A collector's session that has it and has been idle
/// for so long is ended.
pub(super) async fn take(
    session: &Session,
    name: &str,
    abandoned_after: Duration,
) -> Result<(), LockError> {
    let client = &session.client;
    let mut holder = None;
    let taken = timeout(PATIENCE, async {
        loop {
            let row = client.query_one(sql::LOCK, &[&name]).await?;
            if row.get::<_, bool>(0) {
                return Ok(());
            }
            holder = find(client, name).await?;
            let is_abandoned = |h: &&Holder| h.is_abandoned(&session.application, abandoned_after);
            if let Some(abandoned) = holder.as_ref().filter(is_abandoned) {
                tracing::warn!("ending {abandoned}, which holds a lock that nobody uses any more");
                // A server that does not allow it says so; then the lock is waited for.
                if let Err(error) = client
                    .query(sql::END_HOLDER, &[&name, &abandoned.pid])
                    .await
                {
                    tracing::warn!(error = super::connect::describe(&error), "cannot end it");
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    });
    match taken.await {
        Ok(result) => result,
        Err(_) => Err(LockError::Held(holder)),
    }
}

async fn find(client: &Client, name: &str) -> Result<Option<Holder>, Error> {
    let row = client.query_opt(sql::HOLDER, &[&name]).await?;
    Ok(row.map(|row| Holder {
        pid: row.get(0),
        application: row.get::<_, Option<String>>(1).unwrap_or_default(),
        since: row
            .get::<_, Option<String>>(2)
            .unwrap_or_else(|| "an unknown time".to_owned()),
        // A clock that was set back makes it negative: then it has just been busy.
        idle: row
            .get::<_, Option<i64>>(3)
            .map(|idle| Duration::from_millis(idle.max(0).unsigned_abs())),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sessions_that_cannot_belong_to_a_live_collector_are_terminated() {
        let holder = |application: &str, idle| Holder {
            pid: 7,
            application: application.to_owned(),
            since: "2026-11-26 14:00:00+00".to_owned(),
            idle,
        };
        let minute = Duration::from_mins(1);
        let is_abandoned = |application: &str, seconds: Option<u64>| {
            holder(application, seconds.map(Duration::from_secs))
                .is_abandoned("datastream collect 1", minute)
        };
        let own = "datastream collect 1";
        let other = "datastream collect 2";
        assert!(is_abandoned(own, Some(0)));
        assert!(is_abandoned(own, None));
        assert!(!is_abandoned(other, None));
        assert!(!is_abandoned(other, Some(59)));
        assert!(is_abandoned(other, Some(60)));
        assert!(!is_abandoned("psql", Some(6000)));
        assert!(!is_abandoned("", Some(6000)));
        assert_eq!(
            holder(other, None).to_string(),
            "session 7 (datastream collect 2, since 2026-11-26 14:00:00+00)"
        );
    }
}
