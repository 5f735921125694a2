//! Log lines go to stderr; stdout belongs to what a command was asked for.

use std::io::{self, IsTerminal as _, Write};
use std::sync::LazyLock;

use clap::ValueEnum;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line each.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Sets logging up: `RUST_LOG` or else `default_filter`. A second call changes nothing.
pub fn init(format: LogFormat, default_filter: &str) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| AboveLiveLines);
    let result = match format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colours).with_target(false).try_init()
        }
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = result {
        tracing::debug!(%error, "logging was set up before");
    }
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
