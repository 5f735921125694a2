//! Bytes that hold something for as long as anybody has them.

use bytes::Bytes;

/// Bytes and what they hold, which is dropped after them.
struct GuardedBytes<G> {
    bytes: Bytes,
    _guard: G,
}

/// The same bytes, of which the last handle drops the guard, too: a connection that writes them has them until it has.
pub(crate) fn guarded<G: Send + Sync + 'static>(bytes: Bytes, guard: G) -> Bytes {
    Bytes::from_owner(GuardedBytes {
        bytes,
        _guard: guard,
    })
}

impl<G> AsRef<[u8]> for GuardedBytes<G> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
