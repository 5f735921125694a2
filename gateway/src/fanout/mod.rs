//! From batches of records to the queues of streams: decode, route, fan out, and the ring behind it.
//!
//! Each partition's records are decoded by themselves; a sequencer that they share brings the batches into one order, that of the
//! ring. The live fan-out belongs to dispatchers, each of which has its share of the streams. A stream whose queue is full leaves it and
//! reads on by itself ([`CatchUp`]), from the ring of recent events or, past that, from the topic, and then joins again.

mod catch_up;
mod chunk;
mod decoder;
mod dispatcher;
mod head;
mod live_streams;
mod outlet;
mod queued_frame;
mod ring;
mod send_memory;
mod send_queue;
mod sequencer;
mod shared_message;
mod shared_reads;
mod tally;

pub(crate) use catch_up::{CatchUp, CatchUpContext};
pub(crate) use decoder::Decoder;
pub use dispatcher::GATHERING;
pub(crate) use dispatcher::{DispatcherHandle, FanOut};
pub(crate) use outlet::Outlet;
pub use outlet::WRITE_BYTES;
pub(crate) use queued_frame::{MarkerFrame, QueuedFrame};
pub(crate) use ring::Ring;
pub(crate) use send_memory::SendMemory;
pub(crate) use send_queue::{Drained, OWN_BYTES, SendQueue};
pub(crate) use shared_message::SharedMessage;
pub(crate) use shared_reads::SharedReads;
pub(crate) use tally::Tally;

#[cfg(test)]
mod tests;
