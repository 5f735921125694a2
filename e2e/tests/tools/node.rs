//! Libraries of npm that read server-sent events: eventsource and eventsource-client.

use crate::programs::installed;
use crate::reader::{Reader, events_at, key, resumes_over_restarts};
use crate::server::Server;

/// Runs an example on a server's stream, from its first event on.
async fn run(server: &Server, key: &str, name: &str) -> Reader {
    let program = installed(name).await;
    Reader::start(key, &["node", &program, &events_at(server.port), "1"])
}

#[tokio::test]
async fn eventsource_reads_events_over_restarts() {
    let mut server = Server::start().await;
    let reader = run(&server, &key(&server), "eventsource.mjs").await;
    resumes_over_restarts(&mut server, &reader).await;
}

#[tokio::test]
async fn eventsource_client_reads_events_over_restarts() {
    let mut server = Server::start().await;
    let reader = run(&server, &key(&server), "eventsource-client.mjs").await;
    resumes_over_restarts(&mut server, &reader).await;
}

#[tokio::test]
async fn eventsource_ends_where_the_refusal_is_final() {
    let server = Server::start().await;
    let reader = run(&server, "unknown", "eventsource.mjs").await;
    let output = reader.process.ended().await;
    assert_eq!(output.code, Some(0), "{:?}", output.notes);
    assert!(
        output.notes[0].starts_with("error 401"),
        "{:?}",
        output.notes
    );
}
