//! `datastream dev` as a process: streams are printed, posted events arrive, manifests take effect live.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;
use support::PATIENCE;
use support::dev::Dev;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

struct Stream(WebSocketStream<TcpStream>);

impl Stream {
    /// Opens a stream as soon as the gateway knows its key.
    async fn open(url: &str) -> Self {
        let address = url
            .strip_prefix("ws://")
            .unwrap()
            .split('/')
            .next()
            .unwrap();
        timeout(PATIENCE, async {
            loop {
                let tcp = TcpStream::connect(address).await.unwrap();
                match tokio_tungstenite::client_async(url, tcp).await {
                    Ok((socket, _)) => return Self(socket),
                    Err(Error::Http(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await
        .expect("opens in time")
    }

    /// The next text that is no heartbeat.
    async fn text(&mut self) -> String {
        loop {
            match timeout(PATIENCE, self.0.next())
                .await
                .expect("a frame in time")
            {
                Some(Ok(Message::Text(text))) if text.as_str() != "1|Z" => {
                    return text.as_str().to_owned();
                }
                Some(Ok(_)) => (),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn event(&mut self) -> Value {
        let frame = self.text().await;
        serde_json::from_str(frame.split_once('|').unwrap().1).unwrap()
    }

    async fn closed(&mut self) -> String {
        loop {
            match timeout(PATIENCE, self.0.next())
                .await
                .expect("a frame in time")
            {
                Some(Ok(Message::Close(frame))) => return frame.unwrap().reason.to_string(),
                Some(Ok(_)) => (),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Posts numbered events of a device until the stream gets one: a change of its filter has then taken effect.
async fn post_until_seen(dev: &Dev, stream: &mut Stream, dsn: &str) {
    timeout(PATIENCE, async {
        loop {
            dev.post(&event(dsn)).await;
            if let Ok(seen) = timeout(Duration::from_millis(300), stream.event()).await {
                assert_eq!(seen["metadata"]["dsn"], dsn);
                return;
            }
        }
    })
    .await
    .expect("takes effect in time");
}

fn manifest(name: &str, dsn: &str) -> String {
    format!(
        "apiVersion: datastream.dev/v1alpha1\nkind: DatastreamSubscription\nmetadata:\n  name: {name}\n\
         spec:\n  eventTypes: [location]\n  filters:\n    - dsns: [\"{dsn}\"]\n"
    )
}

fn event(dsn: &str) -> String {
    format!(
        r#"{{"metadata":{{"dsn":"{dsn}","event_type":"location"}},"location_event":{{"dsn":"{dsn}"}}}}"#
    )
}

#[tokio::test]
async fn posted_events_arrive_on_the_matching_stream_only() {
    let mut dev = Dev::start(&[
        ("a.yaml", &manifest("a", "A*")),
        ("b.yaml", &manifest("b", "B*")),
    ])
    .await;
    let (a, b) = (dev.stream("a").await, dev.stream("b").await);
    let (mut a, mut b) = (
        Stream::open(&format!("{a}&seq_start=1")).await,
        Stream::open(&format!("{b}&seq_start=1")).await,
    );
    let lines = [event("A1"), event("B1"), event("C1"), event("A2")].join("\n");
    assert_eq!(
        dev.post(&lines).await,
        (200, serde_json::json!({"accepted": 4}))
    );
    let first = a.event().await;
    assert_eq!(
        (&first["seq"], &first["metadata"]["dsn"]),
        (&"1".into(), &"A1".into())
    );
    assert_eq!(a.event().await["seq"], "4");
    assert_eq!(b.event().await["metadata"]["dsn"], "B1");
    let unknown = event("A3").replace(r#":"location""#, r#":"reboot""#);
    for (bad, reason) in [
        (
            "not json",
            "line 2: not a JSON object; nothing was accepted",
        ),
        (&unknown, "line 2: event type \"reboot\""),
    ] {
        let (status, body) = dev.post(&format!("{}\n{bad}\n", event("A3"))).await;
        assert_eq!(status, 400);
        let message = body["message"].as_str().unwrap();
        assert!(message.starts_with(reason), "{message}");
    }
    let (status, body) = dev.post_to("/events?force=1", &unknown).await;
    assert_eq!((status, &body["accepted"]), (200, &1.into()));
}

#[tokio::test]
async fn the_source_of_cloud_events_names_the_topic() {
    let mut dev = Dev::start(&[("a.yaml", &manifest("a", "A*"))]).await;
    let url = dev.stream("a").await;
    let mut stream = Stream::open(&format!("{url}&seq_start=1&format=cloudevents")).await;
    dev.post(&event("A1")).await;
    let event: Value = serde_json::from_str(&stream.text().await).unwrap();
    assert_eq!(event["source"], "/datastream/device-events");
}

#[tokio::test]
async fn edits_additions_and_deletions_take_effect_live() {
    let mut dev = Dev::start(&[("a.yaml", &manifest("a", "A*"))]).await;
    let url = dev.stream("a").await;
    let mut a = Stream::open(&url).await;
    post_until_seen(&dev, &mut a, "A1").await;

    std::fs::write(dev.path("a.yaml"), manifest("a", "X*")).unwrap();
    post_until_seen(&dev, &mut a, "X1").await;

    std::fs::write(dev.path("b.yaml"), manifest("b", "B*")).unwrap();
    let url = dev.stream("b").await;
    let mut b = Stream::open(&url).await;
    post_until_seen(&dev, &mut b, "B1").await;

    std::fs::remove_file(dev.path("a.yaml")).unwrap();
    assert!(a.closed().await.contains("deleted"));
    post_until_seen(&dev, &mut b, "B2").await;
}

#[tokio::test]
async fn a_bad_manifest_is_reported_with_file_and_line_and_other_streams_continue() {
    let bad = manifest("bad", "B*").replace("[location]", "[reboot]");
    let mut dev = Dev::start(&[("a.yaml", &manifest("a", "A*")), ("bad.yaml", &bad)]).await;
    let report = timeout(PATIENCE, dev.log().next_line())
        .await
        .expect("a report in time")
        .unwrap()
        .unwrap();
    assert!(
        report.contains("bad.yaml:6: spec.eventTypes[0]"),
        "{report}"
    );
    let url = dev.stream("a").await;
    let mut a = Stream::open(&url).await;
    // Of what was good, a half-written version takes nothing away.
    std::fs::write(dev.path("a.yaml"), &manifest("a", "A*")[..120]).unwrap();
    let report = timeout(PATIENCE, dev.log().next_line())
        .await
        .expect("a report in time")
        .unwrap()
        .unwrap();
    assert!(report.contains("a.yaml"), "{report}");
    post_until_seen(&dev, &mut a, "A1").await;
}

#[tokio::test]
async fn a_manifest_that_is_not_a_regular_file_is_reported_and_other_streams_continue() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), manifest("a", "A*")).unwrap();
    let mkfifo = |path: std::path::PathBuf| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    };
    mkfifo(folder.path().join("fifo.yaml"));
    let mut dev = Dev::start_in(folder, &[]).await;
    let report = async |dev: &mut Dev| {
        let line = timeout(PATIENCE, dev.log().next_line()).await;
        line.expect("a report in time").unwrap().unwrap()
    };
    let first = report(&mut dev).await;
    assert!(
        first.contains("fifo.yaml: cannot be read: it is a FIFO, not a file"),
        "{first}"
    );
    let url = dev.stream("a").await;
    mkfifo(dev.path("later\u{1b}[2J.yaml"));
    let later = report(&mut dev).await;
    assert!(
        later.contains(r"later\u{1b}[2J.yaml: cannot be read"),
        "{later}"
    );
    std::fs::write(dev.path("a.yaml"), manifest("a", "X*")).unwrap();
    let mut a = Stream::open(&url).await;
    post_until_seen(&dev, &mut a, "X1").await;
    let pid = dev.child.id().unwrap().to_string();
    let killed = tokio::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .await;
    assert!(killed.unwrap().success());
    let ended = timeout(PATIENCE, dev.child.wait())
        .await
        .expect("an end in time");
    assert!(ended.unwrap().success());
}

#[tokio::test]
async fn keys_and_events_in_a_journal_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let journal = data.path().join("journal");
    let options = ["--journal", journal.to_str().unwrap()];
    std::fs::write(folder.path().join("a.yaml"), manifest("a", "A*")).unwrap();
    let mut dev = Dev::start_in(folder, &options).await;
    let before = dev.stream("a").await;
    dev.post(&event("A1")).await;
    dev.child.kill().await.unwrap();

    let mut dev = Dev::start_in(dev.manifests, &options).await;
    let after = dev.stream("a").await;
    let key = |url: &str| url.split_once("stream_key=").unwrap().1.to_owned();
    assert_eq!(key(&before), key(&after));
    let mut a = Stream::open(&format!("{after}&seq_start=1")).await;
    assert_eq!(a.event().await["metadata"]["dsn"], "A1");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "kind: [").unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let dev = Dev::start_with(folder, &[], full.unwrap().into()).await;
    std::fs::write(dev.path("worse.yaml"), "kind: {").unwrap();
    for event in 0..3 {
        let event = format!(
            r#"{{"metadata":{{"event_type":"datapoint"}},"datapoint":{{"value":{event}}}}}"#
        );
        assert_eq!(dev.post(&event).await.0, 200);
    }
}
