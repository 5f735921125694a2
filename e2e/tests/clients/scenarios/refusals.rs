//! Servers that refuse a stream.

use std::time::Duration;

use tokio::time::Instant;

use crate::events::assert_all;
use crate::follow::Follow;
use crate::proxy::{Condition, Proxy};
use crate::server::Server;
use crate::with_every_language;

#[tokio::test]
async fn a_wrong_key_is_final() {
    with_every_language(async |language| {
        let server = Server::start().await;
        let url = format!("{}x", server.url(server.port));
        let output = Follow::start(language, &url, &[])
            .failed("401 unauthorized: ")
            .await;
        assert!(output.lines.is_empty());
        assert_eq!(output.notes.len(), 1, "{:?}", output.notes);
    })
    .await;
}

#[tokio::test]
async fn a_stream_whose_subscription_is_deleted_ends() {
    with_every_language(async |language| {
        let server = Server::start().await;
        server.publish(1..=20).await;
        let url = server.url(server.port);
        let follow = Follow::start(language, &url, &["--seq-start", "1"]);
        follow.printed(20).await;
        server.delete_subscription();
        let output = follow.failed("401 unauthorized: ").await;
        assert_all(language.name(), &output.lines, 1..=20);
        // The close code, and then the status that tells what is so.
        assert_eq!(output.notes.len(), 2, "{:?}", output.notes);
        assert!(output.notes[0].contains("1008"), "{:?}", output.notes);
    })
    .await;
}

#[tokio::test]
async fn events_that_have_expired_are_final_unless_the_rest_is_asked_for() {
    with_every_language(async |language| {
        let (server, _broker) = Server::with_expired().await;
        let url = server.url(server.port);
        let gone = Follow::start(language, &url, &["--seq-start", "1"]);
        let output = gone.failed("410 gone: ").await;
        assert!(output.lines.is_empty());
        assert_eq!(output.notes.len(), 1, "{:?}", output.notes);

        let earliest = format!("{url}&on_gap=earliest&seq_end=500");
        let rest = Follow::start(language, &earliest, &["--seq-start", "1"]);
        let output = rest.succeeded().await;
        let first = 501 - output.lines.len() as u64;
        assert!(first > 1);
        assert_all(language.name(), &output.lines, first..=500);
        let [gap] = &output.notes[..] else {
            panic!("{:?}", output.notes)
        };
        assert!(
            gap.contains("gap") && gap.contains(&first.to_string()),
            "{gap}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_busy_is_left_alone_as_long_as_it_asks() {
    with_every_language(async |language| {
        let server = Server::start().await;
        let proxy = Proxy::to(server.port).await;
        server.publish(1..=30).await;
        let body = r#"{"error":"busy","message":"too many clients connect at once"}"#;
        let length = body.len();
        proxy.set(Condition::Answering(format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )));
        let options = ["--seq-start", "1", "--count", "30"];
        let follow = Follow::start(language, &server.url(proxy.port), &options);
        follow.noted("503").await;
        let refused = Instant::now();
        proxy.set(Condition::Good);
        let output = follow.succeeded_with(1, 30).await;
        let elapsed = refused.elapsed();
        assert!(elapsed >= Duration::from_millis(2900), "{elapsed:?}");
        assert_eq!(output.notes.len(), 1, "{:?}", output.notes);
    })
    .await;
}
