//! Access to streams: which subscription a key opens, whether it may have a stream now, and why not.

mod authorize;
mod credential;
mod refusal;
mod request;
mod throttle;

pub(crate) use authorize::{Access, Admission, reauthorize};
pub use credential::{Credential, QueryKeys};
pub use refusal::Refusal;
pub use request::StreamRequest;
pub(crate) use throttle::{Purpose, Throttle};
