//! Answers to requests: refusals of every status, and the report.

use datastream_contracts::documents::openapi;
use datastream_contracts::validate::Validator;
use datastream_e2e::request;
use datastream_gateway::Settings;
use datastream_routing::Route;
use hyper::Version;
use serde_json::{Value, json};

use crate::check;
use crate::common::http::Events;
use crate::common::topic::{Topic, event};
use crate::common::{TestGateway, key, route};

/// Checks that an operation of the OpenAPI document has an answer, with its headers and, if it is JSON, its body.
fn check_answer(path: &str, answer: &Events, body: &str) {
    let document = openapi().json;
    let response = &document["paths"][path]["get"]["responses"][answer.status.as_str()];
    let response = match response["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => response,
    };
    let place = format!("{path}: {}: {body}", answer.status);
    assert!(response.is_object(), "{place}");
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let header = match header["$ref"].as_str() {
            Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => header,
        };
        let is_there = !answer.header(name).is_empty();
        assert!(is_there || header["required"] != true, "{place}: {name}");
    }
    let media_type = answer.header("content-type");
    if media_type.is_empty() {
        assert!(response["content"].is_null(), "{place}");
        return;
    }
    let content = &response["content"][media_type];
    assert!(content.is_object(), "{place}: {media_type}");
    if media_type == "application/json" {
        let mut schema = content["schema"].clone();
        schema["components"] = document["components"].clone();
        Validator::new(&schema).unwrap().check(body).unwrap();
    }
}

/// Asks for a path, and checks the answer against the operation of that path.
async fn answer(gateway: &TestGateway, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut connection = gateway.http(Version::HTTP_11).await;
    let mut answer = connection.get(target, headers).await;
    let mut body = String::new();
    // What has no end by itself is not read to it.
    while let Some(bytes) = answer.bytes().await {
        body.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    check_answer(target.split('?').next().unwrap(), &answer, &body);
    (answer.status.as_u16(), body)
}

#[tokio::test]
async fn every_refusal_is_in_the_openapi_document() {
    let topic = Topic::new(1);
    topic.append_all(0, (0..9).map(|number| event("A", number)));
    topic.expire(0, 3);
    let suspended = Route {
        suspended: true,
        ..route("s")
    };
    let denied = Route {
        denied: Some("no rule allows it".into()),
        ..route("d")
    };
    let gateway = TestGateway::start(topic, vec![route("a"), route("h"), suspended, denied]).await;
    let holder = gateway.events("h", "", &[]).await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    for path in ["/events", "/stream"] {
        for (query, status, error) in [
            ("stream_key=x".to_owned(), 401, "unauthorized"),
            (String::new(), 401, "unauthorized"),
            (
                format!("stream_key={}&limit=0", key("a")),
                400,
                "bad_request",
            ),
            (
                format!("stream_key={}&seq_start=x", key("a")),
                400,
                "bad_position",
            ),
            (format!("stream_key={}&seq_start=1", key("a")), 410, "gone"),
            (
                format!("stream_key={}&subscription=default/h", key("a")),
                403,
                "forbidden",
            ),
            (format!("stream_key={}", key("s")), 403, "suspended"),
            (format!("stream_key={}", key("d")), 403, "access_denied"),
        ] {
            let (found, body) = answer(&gateway, &format!("{path}?{query}"), &[]).await;
            check("error", &body);
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (found, &body["error"]),
                (status, &json!(error)),
                "{path}?{query}"
            );
        }
        let bearer = [("authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln")];
        let (status, body) = answer(&gateway, path, &bearer).await;
        assert_eq!(status, 401, "{body}");
        check("error", &body);
    }
    let a = format!("/events?stream_key={}", key("a"));
    let (status, body) = answer(&gateway, &a, &[("accept", "text/html")]).await;
    assert_eq!(status, 406, "{body}");
    let h = format!("/events?stream_key={}", key("h"));
    let (status, body) = answer(&gateway, &h, &[]).await;
    assert_eq!(status, 409, "{body}");
    let upgrade = [("upgrade", "websocket"), ("connection", "upgrade")];
    let bad = format!("/stream?stream_key={}", key("a"));
    let (status, body) = answer(&gateway, &bad, &upgrade).await;
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("bad_handshake"), "{body}");
    drop(holder);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_refused_by_errors_that_are_known() {
    let gateway = TestGateway::start(Topic::new(1), vec![route("a")]).await;
    let address = gateway.stream.to_string();
    for (method, path, status, error) in [
        ("GET", "/elsewhere", 404, "not_found"),
        ("GET", "/schemas/none.json", 404, "not_found"),
        ("GET", "/schemas/asyncapi.json", 404, "not_found"),
        ("POST", "/events", 405, "method_not_allowed"),
        ("PUT", "/stream", 405, "method_not_allowed"),
        ("DELETE", "/asyncapi.json", 405, "method_not_allowed"),
    ] {
        let (found, body) = request(&address, method, path, "").unwrap();
        assert_eq!(found, status, "{method} {path}: {body}");
        check("error", &body);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"], error, "{method} {path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_that_is_full_says_when_to_try_again() {
    let settings = Settings {
        max_streams: 1,
        ..Settings::default()
    };
    let routes = vec![route("a"), route("b")];
    let gateway = TestGateway::start_with(Topic::new(1), routes, settings).await;
    let holder = gateway.events("a", "", &[]).await;
    gateway.metric_reaches("streams{state=\"live\"}", 1.0).await;
    let b = format!("/events?stream_key={}", key("b"));
    let (status, body) = answer(&gateway, &b, &[]).await;
    assert_eq!(status, 503, "{body}");
    check("error", &body);
    drop(holder);
    gateway.stop().await;
}

#[tokio::test]
async fn streams_and_reports_are_answers_of_the_openapi_document() {
    let topic = Topic::new(1);
    topic.append_all(0, (0..3).map(|number| event("A", number)));
    let gateway = TestGateway::start(topic, vec![route("a")]).await;
    let key = key("a");
    let report = format!("/stream?stream_key={key}");
    let (status, body) = answer(&gateway, &report, &[]).await;
    assert_eq!(status, 200, "{body}");
    check("key-report", &body);
    let report: datastream_contracts::report::KeyReport = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (report.name.as_str(), report.replay.next.as_str()),
        ("a", "4")
    );

    let batch = format!("/events?stream_key={key}&seq_start=1&wait=0");
    let (sse, gzip) = (("accept", "text/event-stream"), ("accept-encoding", "gzip"));
    assert_eq!(answer(&gateway, &batch, &[]).await.0, 200);
    assert_eq!(answer(&gateway, &batch, &[sse, gzip]).await.0, 200);
    let over = format!("/events?stream_key={key}&seq_start=1&seq_end=2");
    let (status, _) = answer(&gateway, &over, &[sse, ("last-event-id", "2")]).await;
    assert_eq!(status, 204);
    gateway.stop().await;
}
