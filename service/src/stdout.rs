//! Standard output, which may be a pipe.

use std::io::{self, Write as _};

use anyhow::Context as _;

/// Writes all of it. A reader that has seen enough (`| head -1`) is no error.
///
/// # Errors
/// Standard output cannot be written for another reason.
pub fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}
