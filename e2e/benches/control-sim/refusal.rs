//! Refusals of the simulated API server.

use hyper::StatusCode;
use serde_json::{Value, json};

/// Reason for which a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound,
    AlreadyExists,
    Conflict,
    /// The changes that a watch asks for are not kept any more.
    Expired,
}

impl Refusal {
    pub(crate) const fn code(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists | Self::Conflict => StatusCode::CONFLICT,
            Self::Expired => StatusCode::GONE,
        }
    }

    /// The object that says so.
    pub(crate) fn status(self) -> Value {
        let reason = format!("{self:?}");
        json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": self.code().as_u16(), "reason": reason,
            "message": reason,
        })
    }
}
