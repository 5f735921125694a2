//! Scenarios that the clients go through.

mod contention;
mod interruptions;
mod network;
mod ranges;
mod refusals;
