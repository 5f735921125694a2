//! Output of `datastream dev`: where everything is, for people or for programs.

use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use clap::ValueEnum;
use datastream_operator::reconcile::build::stream_url;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::invitation::Invitation;
use super::routes::{Changes, NewStream};

/// Format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// Prints where the streams are.
pub(super) struct Printer {
    pub output: Output,
    pub stream: SocketAddr,
    pub admin: SocketAddr,
    pub invitation: Arc<Invitation>,
}

impl Printer {
    /// Prints the addresses of the process itself.
    pub(super) fn started(&self, fluvio: &str, topic: &str) {
        let admin = format!("http://{}", reachable(self.admin));
        match self.output {
            Output::Json => say(format_args!(
                "{}",
                json!({"admin": admin, "fluvio": fluvio, "console": self.console()})
            )),
            Output::Text => {
                say(format_args!(
                    "datastream dev: broker, operator logic and gateway in one process, for development only\n"
                ));
                say(format_args!(
                    "  events in    POST {admin}/events (a JSON object per line), or topic {topic} of Fluvio at {fluvio}"
                ));
                say(format_args!(
                    "  operations   {admin}/readyz  /metrics  /routing\n"
                ));
            }
        }
    }

    /// The link to the console, with all streams open.
    fn console(&self) -> String {
        let (address, port) = (reachable(self.stream), self.admin.port());
        format!("http://{address}/#dev={port}.{}", self.invitation.code())
    }

    /// Prints what has changed.
    pub(super) fn changes(&self, changes: &Changes) {
        if self.output == Output::Text {
            for subscription in &changes.edited {
                let note = if subscription.suspended {
                    "edited: suspended, its stream is closed"
                } else {
                    "edited: its stream goes on with the new spec"
                };
                say(format_args!("  {:<32} {note}", subscription.id.to_string()));
            }
            for (id, note) in &changes.access {
                say(format_args!("  {:<32} {note}", id.to_string()));
            }
            for id in &changes.deleted {
                say(format_args!(
                    "  {:<32} deleted: its stream is closed, and its key is void",
                    id.to_string()
                ));
            }
        }
        self.streams(&changes.new);
    }

    /// New streams, with the URLs to open them. The only place where keys are shown.
    fn streams(&self, streams: &[NewStream]) {
        let address = reachable(self.stream);
        let endpoint = format!("ws://{address}/stream");
        for NewStream { id, key, refused } in streams {
            let url = stream_url(&endpoint, key);
            let url = url.expose_secret();
            match self.output {
                Output::Json => say(format_args!(
                    "{}",
                    json!({"namespace": id.namespace, "name": id.name, "url": url})
                )),
                Output::Text => {
                    let note = refused.as_ref().map(|reason| format!("  ({reason})"));
                    let note = note.unwrap_or_default();
                    say(format_args!("  {:<32} {url}{note}", id.to_string()));
                }
            }
        }
        let open: Vec<_> = streams.iter().filter(|s| s.refused.is_none()).collect();
        if let (Output::Text, Some(first)) = (self.output, open.first()) {
            say(format_args!(
                "\n  look at them in a browser:  {}",
                self.console()
            ));
            say(format_args!(
                "  or on a terminal:           {} tail '{}'\n",
                program(),
                stream_url(&endpoint, &first.key).expose_secret()
            ));
        }
    }

    /// Something is wrong with a manifest; what was good before stays.
    pub(super) fn problem(problem: &impl std::fmt::Display) {
        let _ = writeln!(std::io::stderr(), "{problem}");
    }
}

/// Prints a line. Whoever reads may have read enough (`| head -1`): that ends nothing here.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The command that this process was started by, which need not be on the `PATH`.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "datastream".to_owned())
}

/// An address to connect to: one that stands for every address of the machine is no good in a URL.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => (),
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_addresses_can_be_connected_to() {
        for (bound, printed) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(reachable(bound.parse().unwrap()).to_string(), printed);
        }
    }
}
