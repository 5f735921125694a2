//! The log of the commands. Log lines go to stderr; stdout belongs to what a command was asked for.

use std::env;

use clap::ValueEnum as _;
use datastream_service::log;

pub use log::LogFormat;

/// The variable for the log format before it had the name that operator and gateway give it. Taken for one more release.
const OLD_VARIABLE: &str = "LOG_FORMAT";

/// Starts the log: `RUST_LOG` or else `default_filter`.
pub fn init(format: Option<LogFormat>, default_filter: &str) {
    let old = old_format(env::var(OLD_VARIABLE).ok().as_deref()).filter(|_| format.is_none());
    log::start_above_live_lines(format.or(old).unwrap_or_default(), default_filter);
    if old.is_some() {
        tracing::warn!(
            "{OLD_VARIABLE} is deprecated and will be ignored in the next release: set DATASTREAM_LOG_FORMAT"
        );
    }
}

/// Returns the format that the old variable names. Others use its name, too: a value that is none of ours is not an error.
fn old_format(value: Option<&str>) -> Option<LogFormat> {
    LogFormat::from_str(value?, true).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_log_format_variable_is_honoured_if_it_names_a_format() {
        assert_eq!(old_format(Some("json")), Some(LogFormat::Json));
        assert_eq!(old_format(Some("pretty")), None);
        assert_eq!(old_format(None), None);
    }
}
