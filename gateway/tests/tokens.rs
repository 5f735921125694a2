//! Tests of streams that tokens open: an issuer of the test's own signs them and serves its keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use common::client::{Client, get};
use common::issuer::{Issuer, SigningKey, from_now};
use common::topic::{Topic, event};
use common::{TestGateway, key, route};
use datastream_gateway::{Settings, TokenSettings};
use datastream_routing::Route;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;

/// The query for the stream of this subscription.
fn of(name: &str) -> String {
    format!("?subscription=default/{name}")
}

fn labelled(name: &str, label: &str) -> Route {
    let labels = BTreeMap::from([("app".to_owned(), label.to_owned())]);
    Route {
        labels: Some(Box::new(labels)),
        ..route(name)
    }
}

async fn gateway_of(tokens: TokenSettings) -> TestGateway {
    let settings = Settings {
        tokens: Some(tokens),
        ..Settings::default()
    };
    let routes = vec![labelled("a", "lights"), labelled("b", "air")];
    TestGateway::start_with(Topic::new(1), routes, settings).await
}

async fn gateway(issuer: &Issuer) -> TestGateway {
    gateway_of(issuer.settings()).await
}

fn request(gateway: &TestGateway, query: &str, token: &str) -> Request {
    let url = format!("ws://{}/stream{query}", gateway.stream);
    let mut request = url.into_client_request().unwrap();
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    request
}

async fn connect(gateway: &TestGateway, query: &str, token: &str) -> Result<Client, (u16, Value)> {
    Client::connect(gateway.stream, request(gateway, query, token)).await
}

/// Status, name and message of the refusal.
async fn refused(gateway: &TestGateway, query: &str, token: &str) -> (u16, String, String) {
    let (status, body) = connect(gateway, query, token).await.err().unwrap();
    let message = body["message"].as_str().unwrap().to_owned();
    assert!(!message.contains(token), "{message}");
    let name = body["error"].as_str().unwrap().to_owned();
    (status, name, message)
}

#[tokio::test]
async fn a_token_opens_the_streams_that_it_names_beside_stream_keys() {
    let key_of_issuer = SigningKey::new("1");
    let issuer = Issuer::start(&[&key_of_issuer]).await;
    let gateway = gateway(&issuer).await;
    let token = |grant| key_of_issuer.token(&issuer.claims(grant));
    let named = token(json!({"namespace": "default", "name": "a"}));
    let mut client = connect(&gateway, "", &named).await.unwrap();
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    gateway.topic.append(0, event("A", 1));
    assert_eq!(client.numbers(1).await, [1]);
    client.leave().await;

    let selected =
        token(json!({"namespace": "default", "selector": {"matchLabels": {"app": "air"}}}));
    let client = connect(&gateway, &of("b"), &selected).await.unwrap();
    client.leave().await;
    let (status, name, _) = refused(&gateway, &of("a"), &selected).await;
    assert_eq!((status, name.as_str()), (403, "forbidden"));
    // Not a word on whether it exists.
    let (status, name, _) = refused(&gateway, &of("c"), &selected).await;
    assert_eq!((status, name.as_str()), (403, "forbidden"));
    let (status, _, message) = refused(&gateway, "", &selected).await;
    assert_eq!(status, 400);
    assert!(message.contains("subscription=NAMESPACE/NAME"), "{message}");

    let offered = format!("datastream.v1, datastream.token.{named}");
    let url = format!("ws://{}/stream", gateway.stream);
    let mut from_browser = url.into_client_request().unwrap();
    let headers = from_browser.headers_mut();
    headers.insert("sec-websocket-protocol", offered.parse().unwrap());
    let client = Client::connect(gateway.stream, from_browser).await.unwrap();
    client.leave().await;

    gateway.connect("a", "").await.leave().await;
    let with_other_key = format!("stream_key={}&subscription=default/b", key("a"));
    assert_eq!(gateway.refused(&with_other_key).await.0, 403);
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused_with_the_reason() {
    let (good, foreign) = (SigningKey::new("1"), SigningKey::new("1"));
    let issuer = Issuer::start(&[&good]).await;
    let gateway = gateway(&issuer).await;
    let grant = || json!({"namespace": "default"});
    let with = |field: &str, value: Value| {
        let mut claims = issuer.claims(grant());
        claims[field] = value;
        good.token(&claims)
    };
    let without = |field: &str| {
        let mut claims = issuer.claims(grant());
        claims.as_object_mut().unwrap().remove(field);
        good.token(&claims)
    };
    let crit = json!({"alg": "ES256", "kid": "1", "crit": ["exp"], "exp": 1});
    let none = json!({"alg": "none", "kid": "1"});
    let secret = json!({"alg": "HS256", "kid": "1"});
    let many = json!([issuer.name(), "https://other"]);
    let claims = issuer.claims(grant());
    for (token, reason) in [
        (with("exp", json!(from_now(-5))), "it has expired"),
        (with("exp", json!("never")), "it has no exp"),
        (with("nbf", json!(from_now(60))), "it is not valid yet"),
        (with("aud", json!("another")), "another audience"),
        (with("aud", json!(["x", "y"])), "another audience"),
        (
            with("iss", json!("https://other")),
            "its issuer (iss) is another one",
        ),
        (with("iss", many), "its issuer (iss) is another one"),
        (without("exp"), "it has no exp"),
        (without("aud"), "it has no aud"),
        (without("iss"), "it has no iss"),
        (
            with("datastream", json!({"namespace": 1})),
            "its claim datastream cannot be read",
        ),
        (foreign.token(&claims), "its signature is wrong"),
        (good.sign(&crit, &claims), "it asks for extensions (crit)"),
        (good.sign(&none, &claims), "malformed"),
        (
            good.sign(&secret, &claims),
            "its algorithm (alg) is not that of its key",
        ),
    ] {
        let (status, name, message) = refused(&gateway, &of("a"), &token).await;
        assert_eq!((status, name.as_str()), (401, "invalid_token"), "{message}");
        assert!(message.contains(reason), "{message} for {reason}");
    }
    let audiences = with("aud", json!(["x", "datastream"]));
    connect(&gateway, &of("a"), &audiences)
        .await
        .unwrap()
        .leave()
        .await;
    gateway.stop().await;
}

#[tokio::test]
async fn clocks_may_differ_by_the_leeway() {
    let key_of_issuer = SigningKey::new("1");
    let issuer = Issuer::start(&[&key_of_issuer]).await;
    let gateway = gateway_of(TokenSettings {
        leeway: std::time::Duration::from_mins(1),
        ..issuer.settings()
    })
    .await;
    let mut claims = issuer.claims(json!({"namespace": "default"}));
    claims["exp"] = json!(from_now(-20));
    claims["nbf"] = json!(from_now(20));
    let token = key_of_issuer.token(&claims);
    let mut client = connect(&gateway, &of("a"), &token).await.unwrap();
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    gateway.topic.append(0, event("A", 1));
    assert_eq!(client.numbers(1).await, [1]);
    gateway.stop().await;
}

#[tokio::test]
async fn keys_that_the_issuer_rotates_are_read_when_a_token_names_them() {
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let gateway = gateway(&issuer).await;
    let claims = issuer.claims(json!({"namespace": "default"}));
    connect(&gateway, &of("a"), &old.token(&claims))
        .await
        .unwrap()
        .leave()
        .await;
    issuer.set_keys(&[&new]);
    connect(&gateway, &of("b"), &new.token(&claims))
        .await
        .unwrap()
        .leave()
        .await;
    let (status, _, message) = refused(&gateway, &of("a"), &old.token(&claims)).await;
    assert_eq!(status, 401);
    assert!(
        message.contains("a key that its issuer does not have"),
        "{message}"
    );
    // Tokens of nobody's make no storm of reads.
    let reads = issuer.reads();
    let unknown = SigningKey::new("nobody's");
    let token = unknown.token(&claims);
    let (a, b) = (of("a"), of("b"));
    let asks = [&a, &b, &a, &b, &a, &b].map(|query| refused(&gateway, query, &token));
    for (status, _, _) in futures_util::future::join_all(asks).await {
        assert_eq!(status, 401);
    }
    assert!(
        issuer.reads() <= reads + 2,
        "{} reads",
        issuer.reads() - reads
    );
    gateway.stop().await;
}

#[tokio::test]
async fn an_issuer_that_is_away_ends_nothing_and_is_reported() {
    let key_of_issuer = SigningKey::new("1");
    let issuer = Issuer::start(&[&key_of_issuer]).await;
    issuer.set_away(true);
    let gateway = gateway(&issuer).await;
    let token = key_of_issuer.token(&issuer.claims(json!({"namespace": "default"})));
    let (status, name, message) = refused(&gateway, &of("a"), &token).await;
    assert_eq!((status, name.as_str()), (503, "unavailable"), "{message}");
    assert!(gateway.metric("issuer_connected").await < 0.5);
    let (_, readiness) = get(gateway.admin, "/readyz").await;
    assert!(readiness.contains("the answer is 503"), "{readiness}");

    issuer.set_away(false);
    gateway.metric_reaches("issuer_connected", 1.0).await;
    let mut client = connect(&gateway, &of("a"), &token).await.unwrap();
    issuer.set_away(true);
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    connect(&gateway, &of("b"), &token)
        .await
        .unwrap()
        .leave()
        .await;
    gateway.topic.append(0, event("A", 1));
    assert_eq!(client.numbers(1).await, [1]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token_unless_that_is_renewed() {
    let key_of_issuer = SigningKey::new("1");
    let issuer = Issuer::start(&[&key_of_issuer]).await;
    let gateway = gateway(&issuer).await;
    let token = |name: &str, seconds| {
        let mut claims = issuer.claims(json!({"namespace": "default", "name": name}));
        claims["exp"] = json!(from_now(seconds));
        key_of_issuer.token(&claims)
    };
    let renewal = |token: String| Message::text(json!({"token": token}).to_string());
    let mut ends = connect(&gateway, "", &token("a", 3)).await.unwrap();
    let mut stays = connect(&gateway, "", &token("b", 3)).await.unwrap();
    stays.send(renewal(token("b", 60))).await;
    let (code, reason) = ends.closed().await;
    assert_eq!(code, 1008);
    assert!(reason.contains("has expired"), "{reason}");
    // The other one would have ended in the same second.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    gateway.topic.append(0, event("A", 1));
    assert_eq!(stays.numbers(1).await, [1]);

    // One for another stream closes this one.
    stays.send(renewal(token("a", 60))).await;
    let (code, reason) = stays.closed().await;
    assert_eq!(code, 1008);
    assert!(
        reason.starts_with("the new token does not open"),
        "{reason}"
    );
    let closed = "streams_closed_total{cause=\"credential_expired\"}";
    gateway.metric_reaches(closed, 1.0).await;

    // A stream key is renewed by nothing.
    let mut by_key = gateway.connect("a", "").await;
    by_key.send(renewal(token("a", 60))).await;
    assert_eq!(by_key.closed().await.0, 1008);
    gateway.stop().await;
}

#[tokio::test]
async fn a_label_that_a_token_selects_by_closes_the_stream_when_it_is_taken_away() {
    let key_of_issuer = SigningKey::new("1");
    let issuer = Issuer::start(&[&key_of_issuer]).await;
    let gateway = gateway(&issuer).await;
    let grant = json!({"namespace": "default", "selector": {"matchLabels": {"app": "lights"}}});
    let token = key_of_issuer.token(&issuer.claims(grant));
    let mut client = connect(&gateway, &of("a"), &token).await.unwrap();
    let routes = vec![labelled("a", "heat"), labelled("b", "air")];
    gateway.set_routes(routes).await;
    assert_eq!(client.closed().await.0, 1008);
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_without_an_issuer_says_that_it_takes_no_tokens() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let (status, name, message) = refused(&gateway, &of("a"), "e30.e30.c2ln").await;
    assert_eq!((status, name.as_str()), (401, "invalid_token"));
    assert!(message.contains("takes no tokens"), "{message}");
    gateway.stop().await;
}
