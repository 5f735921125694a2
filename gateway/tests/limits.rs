//! Limits on what a subscription, a namespace or an address may have: what is over them is refused or waits, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::client::Client;
use common::topic::{Topic, event};
use common::{TestGateway, key, route};
use datastream_gateway::{Limits, ProxySettings, Settings};
use datastream_routing::{KeyHash, Route, SubscriptionId};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// More than fits into the queue of a stream.
const EVENTS: usize = 6_000;

fn limited(limits: Limits) -> Settings {
    Settings {
        limits,
        ..Settings::default()
    }
}

/// A subscription of another namespace, with the key of this name.
fn elsewhere(name: &str) -> Route {
    Route {
        uid: "1".to_owned(),
        ..Route::new(SubscriptionId::new("other", name), KeyHash::of(&key(name)))
    }
}

#[tokio::test]
async fn events_beyond_the_rate_of_a_subscription_wait_and_come_in_order() {
    let limits = Limits {
        events: "subscription=4000".parse().unwrap(),
        ..Limits::default()
    };
    let routes = vec![route("a"), route("b")];
    let gateway = TestGateway::start_with(Topic::new(1), routes, limited(limits)).await;
    let mut clients = [
        gateway.connect("a", "").await,
        gateway.connect("b", "").await,
    ];
    gateway.metric_reaches("streams{state=\"live\"}", 2.0).await;
    for n in 0..EVENTS {
        gateway.topic.append(0, event("A", n));
    }
    for client in &mut clients {
        let numbers = client.numbers(EVENTS).await;
        assert!(numbers.into_iter().eq(0..EVENTS));
    }
    let held = gateway.metric("limited_total{limit=\"events/subscription\"}");
    assert!(held.await >= 1.0);
    assert!(gateway.metric("streams_fell_behind_total").await >= 1.0);
    gateway.stop().await;
}

#[tokio::test]
async fn streams_of_a_namespace_share_its_rate_and_others_do_not_notice() {
    let limits = Limits {
        events: "namespace=3000".parse().unwrap(),
        sent_kib: "gateway=100000".parse().unwrap(),
        ..Limits::default()
    };
    let routes = vec![route("a"), route("b"), elsewhere("c")];
    let gateway = TestGateway::start_with(Topic::new(1), routes, limited(limits)).await;
    let mut clients = vec![];
    for name in ["a", "b", "c"] {
        clients.push(gateway.connect(name, "").await);
    }
    gateway.metric_reaches("streams{state=\"live\"}", 3.0).await;
    for n in 0..EVENTS / 2 {
        gateway.topic.append(0, event("A", n));
    }
    // The one of the other namespace first: it waits for nobody.
    for client in clients.iter_mut().rev() {
        let numbers = client.numbers(EVENTS / 2).await;
        assert!(numbers.into_iter().eq(0..EVENTS / 2));
    }
    let held = gateway.metric("limited_total{limit=\"events/namespace\"}");
    assert!(held.await >= 1.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_revocation_does_not_wait_for_the_rate_of_its_stream() {
    let limits = Limits {
        events: "subscription=100".parse().unwrap(),
        ..Limits::default()
    };
    let gateway = TestGateway::start_with(Topic::new(1), vec![route("a")], limited(limits)).await;
    let mut client = gateway.connect("a", "").await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    for n in 0..EVENTS {
        gateway.topic.append(0, event("A", n));
    }
    client.numbers(1).await;
    gateway.set_routes(vec![]).await;
    // At this rate, what is in the queue alone would take longer than a client is waited for here.
    assert_eq!(client.closed().await.0, 1008);
    gateway.stop().await;
}

#[tokio::test]
async fn a_replay_keeps_to_its_rate_and_gets_everything() {
    let limits = Limits {
        replayed_kib: "subscription=1024,gateway=2048".parse().unwrap(),
        ..Limits::default()
    };
    let settings = Settings {
        ring_bytes: 1 << 16,
        ..limited(limits)
    };
    let topic = Topic::new(1);
    for n in 0..3 * EVENTS {
        topic.append(0, event("A", n));
    }
    let gateway = TestGateway::start_with(topic, vec![route("a")], settings).await;
    let mut client = gateway.connect("a", "&seq_start=0").await;
    assert!(
        client
            .numbers(3 * EVENTS)
            .await
            .into_iter()
            .eq(0..3 * EVENTS)
    );
    let held = gateway.metric("limited_total{limit=\"replayed_kib/subscription\"}");
    assert!(held.await >= 1.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_namespace_and_an_address_have_so_many_streams_and_no_more() {
    let limits = Limits {
        streams: "namespace=2,address=3".parse().unwrap(),
        ..Limits::default()
    };
    let routes = vec![
        route("a"),
        route("b"),
        route("c"),
        elsewhere("d"),
        elsewhere("e"),
    ];
    let gateway = TestGateway::start_with(Topic::new(1), routes, limited(limits)).await;
    let first = gateway.connect("a", "").await;
    let _second = gateway.connect("b", "").await;
    let refusal = |body: &serde_json::Value| body["message"].as_str().unwrap().to_owned();
    let (status, body) = gateway.refused(&format!("stream_key={}", key("c"))).await;
    assert_eq!(status, 503);
    assert!(
        refusal(&body).starts_with("the namespace has as many streams"),
        "{body}"
    );
    let _third = gateway.connect("d", "").await;
    let (status, body) = gateway.refused(&format!("stream_key={}", key("e"))).await;
    assert_eq!(status, 503);
    assert!(
        refusal(&body).starts_with("this address has as many streams"),
        "{body}"
    );
    for limit in ["namespace", "address"] {
        let name = format!("limited_total{{limit=\"streams/{limit}\"}}");
        assert!(gateway.metric(&name).await >= 1.0, "{limit}");
    }
    drop(first);
    gateway.metric_reaches("streams_closed_total", 1.0).await;
    gateway.connect("c", "").await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_address_makes_so_many_requests_a_second() {
    let limits = Limits {
        requests: "address=20".parse().unwrap(),
        ..Limits::default()
    };
    let gateway = TestGateway::start_with(Topic::new(1), vec![route("a")], limited(limits)).await;
    let mut statuses = vec![];
    for _ in 0..60 {
        statuses.push(common::client::get(gateway.stream, "/").await.0);
    }
    assert_eq!(statuses[..20], [200; 20]);
    assert!(statuses.contains(&503), "{statuses:?}");
    assert!(
        gateway
            .metric("limited_total{limit=\"requests/address\"}")
            .await
            >= 1.0
    );
    gateway.stop().await;
}

#[tokio::test]
async fn who_guesses_keys_waits_for_answers_and_good_keys_behind_the_same_address_do_not() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a"), route("b")]).await;
    let guess = |n: usize| {
        let (address, path) = (
            gateway.stream,
            format!("/stream?stream_key={}", key(&n.to_string())),
        );
        tokio::spawn(async move { common::client::get(address, &path).await.0 })
    };
    let guesses: Vec<_> = (0..200).map(guess).collect();
    gateway.metric_reaches("streams", 0.0).await;
    gateway.connect("a", "").await;
    let held_back = guesses.iter().filter(|guess| !guess.is_finished()).count();
    assert!(held_back > 0, "good keys came through while guesses waited");
    gateway.connect("b", "").await;
    for guess in guesses {
        assert_eq!(guess.await.unwrap(), 401);
    }
    let limited = gateway.metric("limited_total{limit=\"failed_keys/address\"}");
    assert!(limited.await >= 100.0);
    gateway.stop().await;
}

fn behind_proxies(proxy_protocol: bool, trusted: &str) -> Settings {
    Settings {
        proxies: ProxySettings {
            trusted: vec![trusted.parse().unwrap()],
            proxy_protocol,
        },
        ..limited(Limits {
            streams: "address=1".parse().unwrap(),
            ..Limits::default()
        })
    }
}

/// Asks for a stream through a proxy that says where its client is.
async fn through_a_proxy(
    gateway: &TestGateway,
    name: &str,
    client: &str,
    header: bool,
) -> Result<Client, u16> {
    let mut tcp = TcpStream::connect(gateway.stream).await.unwrap();
    let mut request = gateway.url(name, "").into_client_request().unwrap();
    if header {
        let line = format!("PROXY TCP4 {client} 127.0.0.1 4711 80\r\n");
        tcp.write_all(line.as_bytes()).await.unwrap();
    } else {
        let value = format!("1.2.3.4, {client}").parse().unwrap();
        request.headers_mut().insert("X-Forwarded-For", value);
    }
    Client::over(tcp, request)
        .await
        .map_err(|refusal| refusal.0)
}

#[tokio::test]
async fn clients_behind_trusted_proxies_are_told_apart_by_what_the_proxies_say() {
    for proxy_protocol in [false, true] {
        let routes = ["a", "b", "c"].map(route).into();
        let settings = behind_proxies(proxy_protocol, "127.0.0.0/8");
        let gateway = TestGateway::start_with(Topic::new(1), routes, settings).await;
        let ask = |name, client| through_a_proxy(&gateway, name, client, proxy_protocol);
        let _first = ask("a", "198.51.100.1").await.ok().unwrap();
        assert_eq!(ask("b", "198.51.100.1").await.err(), Some(503));
        let _second = ask("c", "198.51.100.2").await.ok().unwrap();
        gateway.stop().await;
    }
}

#[tokio::test]
async fn what_others_than_trusted_proxies_say_of_their_address_counts_for_nothing() {
    let routes = ["a", "b"].map(route).into();
    let settings = behind_proxies(true, "192.0.2.0/24");
    let gateway = TestGateway::start_with(Topic::new(1), routes, settings).await;
    let _first = through_a_proxy(&gateway, "a", "198.51.100.1", false)
        .await
        .ok()
        .unwrap();
    let second = through_a_proxy(&gateway, "b", "198.51.100.2", false).await;
    assert_eq!(second.err(), Some(503));
    // It is no HTTP.
    let mut tcp = TcpStream::connect(gateway.stream).await.unwrap();
    tcp.write_all(b"PROXY TCP4 198.51.100.3 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut tcp, &mut answer)
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    gateway.stop().await;
}

#[tokio::test]
async fn limits_that_cannot_be_kept_keep_a_gateway_from_starting() {
    let any = "127.0.0.1:0".parse().unwrap();
    let refused = |settings: Settings| async move {
        let settings = Settings {
            listen: any,
            admin: any,
            ..settings
        };
        common::run_to_its_end(settings)
            .await
            .unwrap_err()
            .to_string()
    };
    let limits = Limits {
        events: "subscription=1".parse().unwrap(),
        ..Limits::default()
    };
    assert!(
        refused(limited(limits))
            .await
            .starts_with("--limit-events: 1 a second")
    );
    let proxies = ProxySettings {
        trusted: vec![],
        proxy_protocol: true,
    };
    let settings = Settings {
        proxies,
        ..Settings::default()
    };
    assert!(refused(settings).await.contains("--trusted-proxies"));
}
