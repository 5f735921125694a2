//! Starts and ends of streams, and readers that are slow.

use crate::follow::Follow;
use crate::proxy::Proxy;
use crate::server::Server;
use crate::with_every_language;

#[tokio::test]
async fn a_stream_brings_what_is_live_or_everything_from_an_old_number() {
    with_every_language(async |language| {
        let server = Server::start().await;
        server.publish(1..=100).await;
        let url = server.url(server.port);
        let live = Follow::start(language, &url, &["--count", "50"]);
        server.is_connected().await;
        server.publish(101..=150).await;
        let output = live.succeeded_with(101, 150).await;
        assert!(output.notes.is_empty(), "{:?}", output.notes);
        for first in [1, 73] {
            let count = (151 - first).to_string();
            let start = first.to_string();
            let options = ["--seq-start", &start, "--count", &count];
            let replay = Follow::start(language, &url, &options);
            let output = replay.succeeded_with(first, 150).await;
            assert!(output.notes.is_empty(), "{:?}", output.notes);
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_at_its_end_also_if_that_is_yet_to_come() {
    with_every_language(async |language| {
        let server = Server::start().await;
        let proxy = Proxy::to(server.port).await;
        server.publish(1..=100).await;
        let until = |seq: u64| format!("{}&seq_end={seq}", server.url(proxy.port));
        let stored = Follow::start(language, &until(80), &["--seq-start", "21"]);
        stored.succeeded_with(21, 80).await;
        let future = Follow::start(language, &until(160), &["--seq-start", "21"]);
        future.printed(80).await;
        proxy.cut();
        server.publish(101..=200).await;
        future.succeeded_with(21, 160).await;
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_gets_everything() {
    with_every_language(async |language| {
        let server = Server::start().await;
        let last = 5000;
        for first in (1..=last).step_by(500) {
            server.publish_padded(first..=first + 499, 1500).await;
        }
        let options = ["--seq-start", "1", "--delay-ms", "2", "--count", "5000"];
        let follow = Follow::start(language, &server.url(server.port), &options);
        follow.succeeded_with(1, last).await;
    })
    .await;
}
