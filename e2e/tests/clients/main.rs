//! The client libraries of every language against the same broken network: none loses an event, brings one twice or out of order, and
//! each says what it cannot mend.
//!
//! A scenario runs the program `follow` of each library, with a server and a network of its own. `DATASTREAM_CLIENTS=rust,python` runs
//! those of some languages only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod events;
mod follow;
mod http;
mod language;
mod process;
mod proxy;
mod scenarios;
mod server;

use std::future::Future;
use std::time::Duration;

use language::Language;

/// The time in which whatever is waited for has to happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs a scenario with the library of every language, at the same time.
async fn with_every_language<F: Future<Output = ()> + Send + 'static>(
    scenario: impl Fn(Language) -> F,
) {
    let mut running = vec![];
    for language in Language::wanted() {
        let scenario = scenario(language);
        let prepared = async move {
            language.prepare().await;
            scenario.await;
        };
        running.push((language, tokio::spawn(prepared)));
    }
    let mut failed = vec![];
    for (language, scenario) in running {
        if scenario.await.is_err() {
            failed.push(language.name());
        }
    }
    assert!(failed.is_empty(), "failed with {}", failed.join(", "));
}
