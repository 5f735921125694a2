//! Lines at the bottom of a terminal that change, and a log that passes above them.

use std::io::{self, Write};
use std::sync::LazyLock;

use indicatif::MultiProgress;

/// The lines at the bottom of the terminal on stderr. Hidden if there is no terminal.
pub fn live_lines() -> &'static MultiProgress {
    static LINES: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);
    &LINES
}

/// Stderr, without tearing the live lines.
#[derive(Clone, Copy, Debug)]
pub struct AboveLiveLines;

impl Write for AboveLiveLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        live_lines().suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
