//! Events as clients get them: their types, and one way to read their fields.

mod event_type;
mod view;

pub use event_type::{EventType, EventTypes, UnknownEventType};
pub use view::{Object, TIMES, View, text, unescape};
