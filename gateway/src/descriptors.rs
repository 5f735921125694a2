//! Shares of the process's file descriptors, so that streams never take those that probes and the topic need.

use rlimit::Resource;

/// Connections to the listener for clients that are not streams (yet).
pub(crate) const HTTP_CONNECTIONS: usize = 1_024;
/// Connections to the admin listener: probes, metrics, other gateways.
const ADMIN: usize = 256;
/// Descriptors for the topic, the API server, files and the runtime.
const OTHERS: usize = 128;

/// Descriptors that a gateway needs for so many streams.
pub const fn descriptors_for(streams: u64) -> u64 {
    streams.saturating_add((HTTP_CONNECTIONS + ADMIN + OTHERS) as u64)
}

/// Descriptors, by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Open streams.
    pub streams: usize,
    /// Connections to the listener for clients that are not streams.
    pub http: usize,
    /// Connections to the admin listener.
    pub admin: usize,
}

impl Descriptors {
    /// Raises the soft limit of open files to the hard one, and shares them out. Where they do not suffice for `streams`, fewer
    /// streams are let in, and that is said.
    pub(crate) fn divide(streams: usize) -> Self {
        let limit = match rlimit::increase_nofile_limit(u64::MAX) {
            Ok(limit) => limit.try_into().unwrap_or(usize::MAX),
            Err(error) => {
                tracing::warn!(%error, "cannot raise the limit of open files");
                match rlimit::getrlimit(Resource::NOFILE) {
                    Ok((soft, _)) => soft.try_into().unwrap_or(usize::MAX),
                    Err(_) => usize::MAX,
                }
            }
        };
        let shares = Self::of(limit, streams);
        if shares.streams < streams {
            tracing::warn!(
                open_files = limit,
                asked_for = streams,
                streams = shares.streams,
                "the limit of open files (ulimit -n) leaves room for fewer streams than asked for, beside probes, plain requests and the topic"
            );
        }
        shares
    }

    fn of(limit: usize, streams: usize) -> Self {
        // Of a small limit everything gets a part.
        let http = HTTP_CONNECTIONS.min(limit / 4);
        let admin = ADMIN.min(limit / 8);
        let others = OTHERS.min(limit / 4);
        Self {
            streams: streams.min(limit - http - admin - others),
            http,
            admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_left_by_other_uses_go_to_streams() {
        let many = Descriptors::of(1 << 20, 20_000);
        assert_eq!(
            (many.streams, many.http, many.admin),
            (20_000, HTTP_CONNECTIONS, ADMIN)
        );
        for limit in [0, 1, 60, 256, 1_024, 4_096] {
            let few = Descriptors::of(limit, 20_000);
            let others = OTHERS.min(limit / 4);
            assert!(
                few.streams + few.http + few.admin + others <= limit,
                "{few:?}"
            );
            assert!(limit < 60 || few.streams >= 20, "{few:?}");
        }
    }
}
