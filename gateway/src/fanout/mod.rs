//! From batches of records to the queues of streams: decode, route, fan out, and the ring behind it.
//!
//! One task, the dispatcher, owns the live fan-out. A stream whose queue is full leaves it and reads on by itself
//! ([`CatchUp`]), from the ring of recent events or, past that, from the topic, and then joins again.

mod catch_up;
mod chunk;
mod dispatcher;
mod live_streams;
mod queued_frame;
mod ring;
mod send_memory;
mod send_queue;

pub(crate) use catch_up::{CatchUp, CatchUpContext};
pub(crate) use dispatcher::{Dispatcher, DispatcherHandle};
pub(crate) use queued_frame::{MarkerFrame, QueuedFrame};
pub(crate) use ring::Ring;
pub(crate) use send_memory::SendMemory;
pub(crate) use send_queue::{Drained, OWN_BYTES, SendQueue};
