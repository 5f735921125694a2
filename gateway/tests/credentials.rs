//! Tests of the ways in which a client brings its stream key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::client::Client;
use common::topic::{Topic, event};
use common::{TestGateway, key, route};
use datastream_gateway::{QueryKeys, Settings};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::{Error, http};

async fn gateway(query_keys: QueryKeys) -> TestGateway {
    let settings = Settings {
        query_keys,
        ..Settings::default()
    };
    TestGateway::start_with(Topic::new(1), vec![route("a")], settings).await
}

/// A handshake with this query and these headers.
fn request(gateway: &TestGateway, query: &str, headers: &[(&'static str, String)]) -> Request {
    let url = format!("ws://{}/stream{query}", gateway.stream);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

fn bearer(name: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {}", key(name)))
}

fn offered(name: &str) -> (&'static str, String) {
    let offered = format!("datastream.key.{}, datastream.v1", key(name));
    ("sec-websocket-protocol", offered)
}

/// The answer to a handshake, whatever it is.
async fn answer(gateway: &TestGateway, request: Request) -> Response<Option<Vec<u8>>> {
    let tcp = TcpStream::connect(gateway.stream).await.unwrap();
    match client_async(request, tcp).await {
        Ok((_, response)) => response,
        Err(Error::Http(response)) => *response,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_key_in_the_authorization_or_a_subprotocol_opens_the_stream() {
    for query_keys in [QueryKeys::Accept, QueryKeys::Refuse] {
        let gateway = gateway(query_keys).await;
        for (number, header) in [bearer("a"), offered("a")].into_iter().enumerate() {
            let request = request(&gateway, "", &[header]);
            let mut client = Client::connect(gateway.stream, request).await.unwrap();
            gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
            gateway.topic.append(0, event("A", number));
            assert_eq!(client.numbers(1).await, [number]);
            client.leave().await;
            gateway.metric_reaches("streams{state=\"live\"}", 0.0).await;
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn the_answer_to_a_key_among_the_subprotocols_names_the_frames_and_not_the_key() {
    let gateway = gateway(QueryKeys::Accept).await;
    let answer = answer(&gateway, request(&gateway, "", &[offered("a")])).await;
    assert_eq!(answer.status(), 101);
    let headers = answer.headers();
    assert_eq!(headers["sec-websocket-protocol"], "datastream.v1");
    assert!(!format!("{headers:?}").contains(&key("a")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_handshake_without_a_good_key_is_told_what_would_be_taken() {
    let gateway = gateway(QueryKeys::Accept).await;
    let malformed = ("authorization", "Bearer x".to_owned());
    for headers in [
        vec![],
        vec![bearer("b")],
        vec![malformed],
        vec![offered("b")],
    ] {
        let answer = answer(&gateway, request(&gateway, "", &headers)).await;
        assert_eq!(answer.status(), 401, "{headers:?}");
        let challenge = &answer.headers()[http::header::WWW_AUTHENTICATE];
        assert_eq!(challenge, "Bearer realm=\"datastream\"");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_handshake_with_two_keys_or_a_key_alone_among_the_subprotocols_is_refused() {
    let gateway = gateway(QueryKeys::Accept).await;
    let query = format!("?stream_key={}", key("a"));
    let alone = format!("datastream.key.{}", key("a"));
    for (query, headers, expected) in [
        (
            query.as_str(),
            vec![bearer("a")],
            "more than one stream key",
        ),
        (
            "",
            vec![bearer("a"), offered("a")],
            "more than one stream key",
        ),
        (
            "",
            vec![("sec-websocket-protocol", alone)],
            "offer the subprotocol datastream.v1",
        ),
    ] {
        let answer = answer(&gateway, request(&gateway, query, &headers)).await;
        assert_eq!(answer.status(), 400, "{headers:?}");
        let body = String::from_utf8(answer.into_body().unwrap()).unwrap();
        assert!(body.contains(expected), "{body}");
        assert!(!body.contains(&key("a")), "{body}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_in_the_query_is_refused_if_so_configured() {
    let gateway = gateway(QueryKeys::Refuse).await;
    let (status, body) = gateway.refused(&format!("stream_key={}", key("a"))).await;
    assert_eq!((status, &body["error"]), (400, &"bad_request".into()));
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("Authorization: Bearer"), "{message}");
    gateway.stop().await;
}
