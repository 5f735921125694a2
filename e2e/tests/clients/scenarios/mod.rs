//! What happens to the clients.

mod contention;
mod interruptions;
mod network;
mod ranges;
mod refusals;
