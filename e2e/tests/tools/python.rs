//! Libraries for Python: websockets, httpx, and httpx-sse.

use crate::programs::{example, installed};
use crate::reader::{Reader, events_at, key, resumes_over_restarts, stream_at};
use crate::server::Server;

/// Runs an example on the stream at this URL, from its first event on.
async fn run(key: &str, name: &str, url: &str) -> Reader {
    let python = installed("python/bin/python").await;
    Reader::start(key, &[&python, &example(name), url, "1"])
}

#[tokio::test]
async fn websockets_reads_json_over_restarts() {
    let mut server = Server::start().await;
    let reader = run(&key(&server), "websockets_json.py", &stream_at(server.port)).await;
    resumes_over_restarts(&mut server, &reader).await;
}

#[tokio::test]
async fn websockets_answers_the_heartbeats_of_dss() {
    let server = Server::start().await;
    let reader = run(&key(&server), "websockets_dss.py", &stream_at(server.port)).await;
    server.publish(1..=10).await;
    // One more than may stay unanswered.
    reader.noted(4, "heartbeat").await;
    server.publish(11..=20).await;
    reader.printed(20).await;
    reader.has(1..=20);
}

#[tokio::test]
async fn httpx_reads_lines_over_restarts() {
    let mut server = Server::start().await;
    let reader = run(&key(&server), "httpx_lines.py", &events_at(server.port)).await;
    resumes_over_restarts(&mut server, &reader).await;
}

#[tokio::test]
async fn httpx_sse_reads_events_over_restarts() {
    let mut server = Server::start().await;
    let reader = run(&key(&server), "httpx_events.py", &events_at(server.port)).await;
    resumes_over_restarts(&mut server, &reader).await;
}

#[tokio::test]
async fn loops_end_where_the_refusal_is_final() {
    let server = Server::start().await;
    let (events, stream) = (events_at(server.port), stream_at(server.port));
    for (name, url) in [
        ("websockets_json.py", &stream),
        ("httpx_lines.py", &events),
        ("httpx_events.py", &events),
    ] {
        let output = run("unknown", name, url).await.process.ended().await;
        assert_eq!(output.code, Some(1), "{name}: {:?}", output.notes);
        assert!(
            output.notes.join(" ").contains("401"),
            "{name}: {:?}",
            output.notes
        );
    }
}
