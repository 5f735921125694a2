//! Tests of the audit log of a gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::topic::Topic;
use common::{TestGateway, key, route};
use datastream_gateway::{AuditTarget, Settings};
use datastream_routing::Route;
use serde_json::Value;

#[tokio::test]
async fn who_had_a_stream_and_who_got_none_is_written_without_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.log");
    let settings = Settings {
        audit: Some(AuditTarget::File(path.clone())),
        ..Settings::default()
    };
    let suspended = Route {
        suspended: true,
        ..route("b")
    };
    let routes = vec![route("a"), suspended];
    let gateway = TestGateway::start_with(Topic::new(1), routes, settings).await;
    let mut client = gateway.connect("a", "").await;
    assert_eq!(gateway.refused("stream_key=wrong").await.0, 401);
    assert_eq!(
        gateway.refused(&format!("stream_key={}", key("b"))).await.0,
        403
    );
    gateway.set_routes(vec![]).await;
    assert_eq!(client.closed().await.0, 1008);
    gateway.stop().await;

    let text = std::fs::read_to_string(&path).unwrap();
    for name in ["a", "b"] {
        assert!(!text.contains(&key(name)), "{text}");
    }
    let lines: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let is = |line: &Value, event: &str| line["event"] == event;
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        is(&lines[0], "stream_opened") && lines[0]["stream"] == "default/a",
        "{text}"
    );
    assert!(
        lines[0]["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    assert!(
        is(&lines[1], "stream_refused") && lines[1]["stream"].is_null(),
        "{text}"
    );
    assert_eq!(
        (&lines[1]["status"], &lines[1]["error"]),
        (&401.into(), &"unauthorized".into())
    );
    assert!(
        is(&lines[2], "stream_refused") && lines[2]["stream"] == "default/b",
        "{text}"
    );
    assert!(
        is(&lines[3], "stream_closed") && lines[3]["cause"] == "revoked",
        "{text}"
    );
    assert_eq!(lines[3]["key_sha256"], lines[0]["key_sha256"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_keeps_the_gateway_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        audit: Some(AuditTarget::File(dir.path().join("missing/audit.log"))),
        listen: "127.0.0.1:0".parse().unwrap(),
        admin: "127.0.0.1:0".parse().unwrap(),
        ..Settings::default()
    };
    let error = common::run_to_its_end(settings).await.unwrap_err();
    assert!(format!("{error:#}").contains("--audit-log: "), "{error:#}");
}
