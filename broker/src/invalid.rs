//! Errors about bytes that are not what they should be.

use std::io::{self, ErrorKind};

/// The error for what a client should not have sent.
pub(crate) fn invalid(reason: impl ToString) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason.to_string())
}
