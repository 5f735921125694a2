//! Events whose bodies and metadata have types, as [`Event::typed`](crate::Event::typed) reads them.

pub use datastream_contracts::event::{
    Body, Connectivity, Coordinate, Datapoint, Datapointack, Event, Location, Metadata,
    Registration, TypedEvent,
};
pub use datastream_contracts::json::{Members, RawJson};
