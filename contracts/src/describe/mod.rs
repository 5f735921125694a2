//! Things that schemas have in common: open bodies, examples of whole objects, and lists that come from the code.

mod close_codes;
mod examples;
mod json;
mod open;
mod vocabulary;

pub use close_codes::{CloseCode, close_codes};
pub(crate) use examples::{example_of, example_of_members, examples_of};
pub(crate) use open::Open;
pub(crate) use vocabulary::{
    Tagged, close_code, cloud_types, digits, error_name, event_type_list, event_types,
    passing_status, property,
};
