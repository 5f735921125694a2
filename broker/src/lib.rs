//! A single-node loopback broker that speaks the Fluvio wire protocol, for development and tests.
//!
//! It is not a Fluvio server: one node, no replication, no TLS, no `SmartModules`. What it does, it does as the real
//! server (0.18) was seen to do, down to the answers that end in the middle of a batch, so that a client that works here works
//! there. It listens on loopback addresses, unless it is configured to advertise another one.
//!
//! One port is Fluvio's SC (topics, metadata watches), the other its SPU (records).

mod broker;
mod control;
mod damage;
mod faults;
mod invalid;
mod listener;
mod log;
mod options;
mod sc;
mod spu;
mod wire;

pub use broker::{Broker, Role, TopicError};
pub use control::serve_control;
pub use damage::BatchDamage;
pub use options::BrokerOptions;
