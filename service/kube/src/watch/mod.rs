//! Watches of Kubernetes objects, as plain changes.
//!
//! An object that cannot be read is set aside by name ([`Unreadable`]), so that it does not stop the others, attempts after
//! an error are further and further apart, and silence is not taken for a lack of events for longer than
//! [`SILENCE`](crate::api::SILENCE), or than a [pulse](Selection::with_pulse).

mod backoff;
mod listing;
mod names;
mod object;
mod selection;
mod stream;

pub use listing::Listing;
pub use object::{Unreadable, Watched};
pub use selection::Selection;
pub use stream::changes;

use kube::runtime::watcher;

/// One change of the watched objects.
#[allow(
    clippy::large_enum_variant,
    reason = "the large variant is rare, and each value is handed on at once"
)]
#[derive(Debug)]
pub enum Change<K> {
    /// An object is there, as it is now.
    Set(K),
    /// An object is there that cannot be read.
    Unreadable(Unreadable),
    /// An object is gone: its namespace and name.
    Gone(String, String),
    /// Everything has been listed.
    Synced,
    /// The objects cannot be listed or watched: until [`Change::Recovered`], nothing is known of what happens to them. Reported for
    /// each attempt that fails.
    Failed(watcher::Error),
    /// They can be watched again. Comes before what has changed meanwhile.
    Recovered,
}
