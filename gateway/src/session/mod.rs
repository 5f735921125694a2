//! One stream: what it is sent and when, whether its client is there, and why it ends. How frames are written is the business of
//! its [`Transport`].

mod alarm;
mod batch;
mod drain;
mod heartbeats;
mod meter;
mod probe;
mod registry;
mod renewal;
mod run;
mod serving;
mod shared_transport;
mod stall;
mod state_gauge;
mod transport;

pub(crate) use batch::Batch;
pub(crate) use drain::drain;
pub(crate) use meter::Meter;
pub(crate) use probe::Probed;
pub use registry::StreamCount;
pub(crate) use registry::{Guard, Progress, Registration, Registry, StreamLimits};
pub(crate) use run::Session;
pub(crate) use shared_transport::SharedTransport;
pub(crate) use transport::{FLOOD_WINDOW, Happened, Transport};
