//! The shortest way to a stream's socket, for whoever fills its queue.

use std::fmt::Debug;

use super::queued_frame::QueuedFrame;
use super::send_queue::SendQueue;
use super::shared_message::SharedMessage;
use super::tally::Tally;

/// Bytes up to which frames are gathered into one write to the socket; a larger frame is written by itself.
pub const WRITE_BYTES: usize = 32 << 10;

/// The outlet of a queue, if nothing has to be waited for.
pub(crate) trait Outlet: Debug + Send + Sync {
    /// Sends what waits in the queue at once, if the stream is at rest and its socket takes it. Returns false if something is left for the
    /// stream's own task, which is then to be woken.
    fn send_at_once(&self, queue: &SendQueue, tally: &mut Tally) -> bool;

    /// Sends a frame at once, past the queue, if nothing waits in that and the stream is at rest. Returns false if something of it is left
    /// for the stream's own task, which is then to be woken; gives it back if it is to be put into the queue.
    fn pass_at_once(
        &self,
        queue: &SendQueue,
        frame: QueuedFrame,
        tally: &mut Tally,
        message: &mut SharedMessage,
    ) -> Result<bool, QueuedFrame>;
}
