//! The common parts of operator and gateway as clients of a Kubernetes API server: the client, the time for which a Lease counts, and
//! watches.

pub mod api;
#[cfg(any(test, feature = "test-util"))]
pub mod api_server;
pub mod lease;
pub mod review;
pub mod watch;
