//! Networks that break.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::follow::Follow;
use crate::proxy::{Condition, Proxy};
use crate::server::Server;
use crate::with_every_language;

#[tokio::test]
async fn a_network_that_is_slow_refuses_and_stalls_loses_nothing() {
    with_every_language(async |language| {
        let server = Server::start().await;
        let proxy = Proxy::to(server.port).await;
        let url = server.url(proxy.port);
        proxy.set(Condition::Trickling(5));
        let follow = Follow::start(language, &url, &["--seq-start", "1", "--count", "600"]);
        let mut published = 0;
        for condition in [
            Condition::Trickling(5),
            Condition::Slow(Duration::from_millis(100)),
            Condition::Refusing,
            Condition::Stalled,
        ] {
            proxy.set(condition.clone());
            if condition == Condition::Refusing {
                proxy.cut();
            }
            server.publish(published + 1..=published + 150).await;
            published += 150;
            if matches!(condition, Condition::Refusing | Condition::Stalled) {
                // Nothing comes: there is nothing to wait for but the time that this takes.
                let before = follow.count();
                sleep(Duration::from_secs(2)).await;
                assert!(follow.count() <= before + 150);
                proxy.set(Condition::Good);
            }
            follow.printed(published).await;
        }
        follow.succeeded_with(1, 600).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_dead_without_a_word_is_given_up() {
    with_every_language(async |language| {
        let server = Server::start().await;
        let proxy = Proxy::to(server.port).await;
        server.publish(1..=50).await;
        let options = ["--seq-start", "1", "--count", "100"];
        let follow = Follow::start(language, &server.url(proxy.port), &options);
        follow.printed(50).await;
        // A marker and three heartbeats, which tell how long silence may last.
        proxy.passed_to_clients(4).await;
        proxy.forget();
        let dead = Instant::now();
        server.publish(51..=100).await;
        let output = follow.succeeded_with(1, 100).await;
        assert!(dead.elapsed() >= Duration::from_secs(10));
        assert!(proxy.connections() >= 2);
        assert!(!output.notes.is_empty());
    })
    .await;
}
