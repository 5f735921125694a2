//! The clock of a process, set by Debian's libfaketime through a file that it reads on every call.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use datastream_e2e::Launch;

/// The wall clock of one process. Its monotonic clock is left alone, as a step of the system's clock leaves it.
#[derive(Debug)]
pub(crate) struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A clock that goes right, and the program that will run by it; absent where libfaketime is not installed.
    pub(crate) fn new(file: PathBuf, launch: Launch) -> anyhow::Result<(Option<Self>, Launch)> {
        let Some(library) = library() else {
            return Ok((None, launch));
        };
        let clock = Self { file };
        clock.step(0)?;
        let launch = launch
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", OsString::from(&clock.file))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        Ok((Some(clock), launch))
    }

    /// Sets it to be ahead of (or behind) the real one by this many seconds.
    pub(crate) fn step(&self, seconds: i64) -> anyhow::Result<()> {
        let draft = self.file.with_extension("draft");
        std::fs::write(&draft, format!("{seconds:+}\n"))?;
        Ok(std::fs::rename(draft, &self.file)?)
    }
}

/// Returns the library's path, where Debian's package puts it.
fn library() -> Option<PathBuf> {
    let architectures = std::fs::read_dir("/usr/lib").ok()?;
    architectures
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| Path::exists(path))
}
