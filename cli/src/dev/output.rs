//! What `datastream dev` prints: where everything is, for people or for programs.
#![allow(clippy::print_stdout)]

use std::net::SocketAddr;

use clap::ValueEnum;
use datastream_operator::build::{StreamKey, stream_url};
use datastream_routing::SubscriptionId;
use secrecy::ExposeSecret as _;
use serde_json::json;

/// How things are printed.
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
}

impl Printer {
    /// Where the process itself is.
    pub(super) fn started(&self, fluvio: &str, topic: &str) {
        let admin = format!("http://{}", self.admin);
        match self.output {
            Output::Json => println!("{}", json!({"admin": admin, "fluvio": fluvio})),
            Output::Text => {
                println!(
                    "datastream dev: broker, operator logic and gateway in one process, for development only\n"
                );
                println!(
                    "  events in    POST {admin}/events (a JSON object per line), or topic {topic} of Fluvio at {fluvio}"
                );
                println!("  operations   {admin}/readyz  /metrics  /routing\n");
            }
        }
    }

    /// New streams, with the URLs to open them. The only place where keys are shown.
    pub(super) fn streams(&self, streams: &[(SubscriptionId, StreamKey)]) {
        let endpoint = format!("ws://{}/stream", self.stream);
        for (id, key) in streams {
            let url = stream_url(&endpoint, key);
            let url = url.expose_secret();
            match self.output {
                Output::Json => println!(
                    "{}",
                    json!({"namespace": id.namespace, "name": id.name, "url": url})
                ),
                Output::Text => println!("  {:<32} {url}", id.to_string()),
            }
        }
        if self.output == Output::Text && !streams.is_empty() {
            let keys: Vec<_> = streams
                .iter()
                .map(|(_, key)| format!("key={}", key.expose()))
                .collect();
            println!(
                "\n  look at them in a browser:  http://{}/#{}",
                self.stream,
                keys.join("&")
            );
            println!("  or on a terminal:           datastream tail URL...\n");
        }
    }

    /// Something is wrong with a manifest; what was good before stays.
    #[allow(clippy::print_stderr)]
    pub(super) fn problem(problem: &impl std::fmt::Display) {
        eprintln!("{problem}");
    }
}
