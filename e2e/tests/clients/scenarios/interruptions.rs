//! Interruptions again and again, while events come.

use std::time::Duration;

use crate::events::{assert_all, assert_all_of_each_device};
use crate::follow::Follow;
use crate::language::Language;
use crate::process::Output;
use crate::proxy::{Condition, Proxy};
use crate::server::Server;
use crate::with_every_language;

const ROUNDS: u64 = 5;
/// Events of a round.
const EACH: u64 = 250;
const ALL: u64 = ROUNDS * EACH;
/// Bytes by which an event is longer, so that those of a round are on the way for half a second.
const PADDING: usize = 1500;
/// Time that each piece takes.
const DELAY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy)]
enum Interruption {
    Cut,
    Kill,
    Drain,
}

/// Publishes events round by round, and interrupts the client while they come: most of them are still on the way then.
async fn follow_over(interruption: Interruption, language: Language, mut server: Server) -> Output {
    let proxy = Proxy::to(server.port).await;
    proxy.set(Condition::Slow(DELAY));
    let count = ALL.to_string();
    let options = ["--seq-start", "0", "--count", &count];
    let follow = Follow::start(language, &server.url(proxy.port), &options);
    for round in 0..ROUNDS {
        let before = round * EACH;
        let numbers = before + 1..=before + EACH;
        server.publish_padded(numbers, PADDING).await;
        follow.printed(before + 20).await;
        match interruption {
            Interruption::Cut => proxy.cut(),
            Interruption::Kill => {
                server.kill().await;
                server.start_again().await;
            }
            Interruption::Drain => {
                server.drain().await;
                server.start_again().await;
            }
        }
    }
    let output = follow.succeeded().await;
    // A server that drains may have sent everything before it closes the last connection.
    let reconnects = output.notes.len() as u64;
    assert!(reconnects >= ROUNDS - 1, "{:?}", output.notes);
    output
}

#[tokio::test]
async fn connections_that_are_cut_again_and_again_lose_nothing() {
    with_every_language(async |language| {
        let server = Server::start().await;
        let output = follow_over(Interruption::Cut, language, server).await;
        assert_all(language.name(), &output.lines, 1..=ALL);
    })
    .await;
}

#[tokio::test]
async fn connections_that_are_cut_lose_nothing_of_a_topic_with_several_partitions() {
    with_every_language(async |language| {
        let server = Server::with(&["--partitions=3"]).await;
        let output = follow_over(Interruption::Cut, language, server).await;
        assert_all_of_each_device(language.name(), &output.lines, 1..=ALL);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_loses_nothing() {
    with_every_language(async |language| {
        let server = Server::start().await;
        let output = follow_over(Interruption::Kill, language, server).await;
        assert_all(language.name(), &output.lines, 1..=ALL);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_drains_and_comes_back_loses_nothing() {
    with_every_language(async |language| {
        let server = Server::start().await;
        let output = follow_over(Interruption::Drain, language, server).await;
        assert_all(language.name(), &output.lines, 1..=ALL);
    })
    .await;
}
