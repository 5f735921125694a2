//! Events: metadata, the bodies of the five types, and whole events.

mod any;
mod connectivity;
mod coordinate;
mod datapoint;
mod location;
mod metadata;
mod registration;
#[cfg(feature = "schema")]
mod schema;
mod typed;

pub use any::Event;
pub use connectivity::Connectivity;
pub use coordinate::Coordinate;
pub use datapoint::{Datapoint, Datapointack};
pub use location::Location;
pub use metadata::Metadata;
pub use registration::Registration;
pub use typed::{Body, TypedEvent};
