//! The log goes to standard error; standard output has one line for whoever started the program.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line each.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Libraries that log, at the level `trace`, requests and messages as they are, with the keys and tokens in them.
const TALKATIVE: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// Starts the log of a service, with the filter in `RUST_LOG` or else this one. To be called once.
pub fn start(format: LogFormat, default_filter: &str) {
    start_on(io::stderr, format, default_filter, true);
}

/// Starts the log of a command on a terminal, with the filter in `RUST_LOG` or else this one: its lines do not name parts of the
/// program, and pass above [live lines](crate::live_lines). To be called once.
#[cfg(feature = "live-lines")]
pub fn start_above_live_lines(format: LogFormat, default_filter: &str) {
    start_on(
        || crate::live_lines::AboveLiveLines,
        format,
        default_filter,
        false,
    );
}

fn start_on<W>(writer: W, format: LogFormat, default_filter: &str, has_target: bool)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    let log = tracing_subscriber::fmt()
        // A line that cannot be written is lost: the complaint about it would go where the line could not, and panic.
        .log_internal_errors(false)
        .with_writer(writer)
        .with_env_filter(filter);
    let started = match format {
        LogFormat::Text => log
            .with_ansi(colours(&io::stderr()))
            .with_target(has_target)
            .finish()
            .with(filter_fn(is_no_secret))
            .try_init(),
        LogFormat::Json => log.json().finish().with(filter_fn(is_no_secret)).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "the log was started before");
    }
}

/// Returns whether what is logged here has no secrets in it, whatever the filter says.
fn is_no_secret(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() != Level::TRACE || !TALKATIVE.contains(&library)
}

/// Returns whether `output` takes colours: a terminal does, unless `NO_COLOR` is set (<https://no-color.org>).
pub fn colours(output: &impl IsTerminal) -> bool {
    output.is_terminal() && allows_colours(std::env::var_os("NO_COLOR").as_deref())
}

fn allows_colours(no_color: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty)
}

/// An error and its causes on one line, each said once: many libraries repeat the cause in their own message.
pub fn one_line(error: &anyhow::Error) -> String {
    let error: &dyn Error = error.as_ref();
    causes(error)
}

/// The same for an error of a library.
pub fn causes(error: &dyn Error) -> String {
    let mut line = String::new();
    let mut before = 0;
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let cause = error.to_string();
        let cause = cause.split_whitespace().collect::<Vec<_>>().join(" ");
        // Some libraries quote a path that is quoted already.
        let cause = cause.replace("'\"", "'").replace("\"'", "'");
        let cause = cause.trim_end_matches(['.', ':']);
        if line.contains(cause) {
            continue;
        }
        if cause.contains(&line[before..]) {
            line.truncate(before);
        } else {
            line.push_str(": ");
            before = line.len();
        }
        line.push_str(cause);
    }
    line
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn no_color_disables_colors_unless_empty() {
        assert!(allows_colours(None));
        assert!(allows_colours(Some(OsStr::new(""))));
        assert!(!allows_colours(Some(OsStr::new("1"))));
    }

    #[test]
    fn each_cause_of_an_error_is_logged_once() {
        for (expected, causes) in [
            ("cannot bind: in use", &["in use", "cannot bind"][..]),
            (
                "cannot bind: in use",
                &["in use", "in use", "cannot bind: in use"],
            ),
            (
                "cannot bind 1.2.3.4: in use (98)",
                &["in use (98)", "in use", "cannot bind 1.2.3.4"],
            ),
            ("a: b c", &["b\n   c", "a"]),
            ("no '/x': gone", &["gone", "no '\"/x\"'."]),
        ] {
            let mut error = anyhow!(causes[0]);
            for cause in &causes[1..] {
                error = error.context(*cause);
            }
            assert_eq!(one_line(&error), expected);
        }
    }
}
