//! Access to streams: which subscription a key, a token or a certificate opens, whether it may have a stream now, and why not.

mod authorize;
mod credential;
mod principal;
mod refusal;
mod request;
mod throttle;
mod token;

pub(crate) use authorize::{Access, Admission, Shown, reauthorize};
pub use credential::{Credential, QueryKeys};
pub(crate) use principal::{Principal, Who};
pub use refusal::Refusal;
pub use request::StreamRequest;
pub(crate) use throttle::{Purpose, Throttle};
pub(crate) use token::{Jwt, KeySet, KeySetReport, Tokens};
pub use token::{TokenArgs, TokenSettings};
