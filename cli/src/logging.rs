//! Log lines go to stderr; stdout belongs to what a command was asked for.

use std::env;
use std::io::{self, Write};
use std::sync::LazyLock;

use clap::ValueEnum as _;
use datastream_service::log;
use indicatif::MultiProgress;

pub use log::LogFormat;

/// The variable for the log format before it had the name that operator and gateway give it. Taken for one more release.
const OLD_VARIABLE: &str = "LOG_FORMAT";

/// Sets logging up: `RUST_LOG` or else `default_filter`. A second call changes nothing.
pub fn init(format: Option<LogFormat>, default_filter: &str) {
    let old = old_format(env::var(OLD_VARIABLE).ok().as_deref()).filter(|_| format.is_none());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(log::filter(default_filter))
        .with_writer(|| AboveLiveLines);
    let result = match format.or(old).unwrap_or_default() {
        LogFormat::Text => builder
            .with_ansi(log::colours(&io::stderr()))
            .with_target(false)
            .try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = result {
        tracing::debug!(%error, "logging was set up before");
    }
    if old.is_some() {
        tracing::warn!(
            "{OLD_VARIABLE} is deprecated and will be ignored in the next release: set DATASTREAM_LOG_FORMAT"
        );
    }
}

/// What the old variable says. Others use its name, too: a value that is none of ours is not an error.
fn old_format(value: Option<&str>) -> Option<LogFormat> {
    LogFormat::from_str(value?, true).ok()
}

/// Lines at the bottom of the terminal on stderr, above which log lines pass. Hidden if there is no terminal.
pub(crate) fn live_lines() -> &'static MultiProgress {
    static LINES: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);
    &LINES
}

/// Stderr, without tearing the live lines.
struct AboveLiveLines;

impl Write for AboveLiveLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        live_lines().suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_variable_counts_if_it_names_a_format() {
        assert_eq!(old_format(Some("json")), Some(LogFormat::Json));
        assert_eq!(old_format(Some("pretty")), None);
        assert_eq!(old_format(None), None);
    }
}
