//! Routing objects: what the gateways are told.

mod render;

pub use render::render;
