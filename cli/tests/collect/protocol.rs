//! Answers of a server, and what the collector makes of them.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::collector::{Collector, folder};
use super::place::{Place, sqlite};
use super::support::PATIENCE;
use super::support::script::{KEY, accept, event, refuse, send, server};

const ALWAYS: &str = "on_gap=earliest&markers=1";

fn query(start: &str) -> String {
    format!("stream_key={KEY}{start}&{ALWAYS}")
}

#[tokio::test]
async fn a_heartbeat_is_answered_only_when_everything_before_it_is_stored() {
    let (listener, url) = server().await;
    let folder = folder();
    let path = folder.path().join("events.db");
    let collector = Collector::start(folder.path(), &Place::Sqlite(path.clone()).stream(&url, ""));
    let (mut socket, _) = accept(&listener).await;

    // With nothing to store, at once.
    send(&mut socket, "1|Z".to_owned()).await;
    let answer = timeout(PATIENCE, socket.next()).await.unwrap();
    assert_eq!(answer.unwrap().unwrap(), Message::Text("Z".into()));

    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    for seq in ["1", "2", "3"] {
        send(&mut socket, event(seq, 0)).await;
    }
    send(&mut socket, "1|Z".to_owned()).await;
    send(&mut socket, event("4", 0)).await;
    let early = timeout(Duration::from_millis(500), socket.next()).await;
    assert!(early.is_err(), "{early:?} although nothing is stored");
    blocker.execute_batch("COMMIT").unwrap();
    let answer = timeout(PATIENCE, socket.next()).await.unwrap();
    assert_eq!(answer.unwrap().unwrap(), Message::Text("Z".into()));
    let stored = sqlite(&path, "SELECT seq FROM events ORDER BY event_offset");
    assert_eq!(&stored[..3], ["1", "2", "3"]);
    collector.reaches("events_stored_total", "all", 4).await;

    // When it is stopped, it closes the connection properly.
    let stopping = tokio::spawn(collector.stop());
    let farewell = timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(
        matches!(farewell, Some(Ok(Message::Close(_)))),
        "{farewell:?}"
    );
    assert!(stopping.await.unwrap().0.success());
}

#[tokio::test]
async fn a_stream_resumes_after_the_stored_events_and_replayed_ones_are_skipped() {
    let (listener, url) = server().await;
    let folder = folder();
    let place = Place::Jsonl(folder.path().join("lines"));
    let collector = Collector::start(folder.path(), &place.stream(&url, "    start: 5"));
    let (mut socket, first) = accept(&listener).await;
    assert_eq!(first, query("&seq_start=5"));
    send(&mut socket, event("5", 5)).await;
    send(&mut socket, event("6", 6)).await;
    let moved = CloseFrame {
        code: 1001.into(),
        reason: "shutting down".into(),
    };
    socket.close(Some(moved)).await.unwrap();
    drop(socket);

    let (mut socket, second) = accept(&listener).await;
    assert_eq!(second, query("&seq_start=7"));
    for n in 4..9 {
        send(&mut socket, event(&n.to_string(), n)).await;
    }
    collector.reaches("events_stored_total", "all", 4).await;
    collector
        .reaches("duplicates_skipped_total", "all", 3)
        .await;
    assert_eq!(collector.metric("reconnects_total", "all").await, Some(1));
    assert_eq!(place.numbers().await, [5, 6, 7, 8]);
}

#[tokio::test]
async fn a_live_stream_stores_its_start_before_the_first_event() {
    let (listener, url) = server().await;
    let folder = folder();
    let place = Place::Jsonl(folder.path().join("lines"));
    let config = place.stream(&url, "");
    let collector = Collector::start(folder.path(), &config);
    let (mut socket, first) = accept(&listener).await;
    assert_eq!(first, query(""));
    let live = r#"{"control":"live","seq_start":"8"}"#;
    send(&mut socket, format!("{}|{live}", live.len())).await;
    while !place.has_begun().await {
        tokio::task::yield_now().await;
    }
    collector.kill().await;
    drop(socket);
    let _next = Collector::start(folder.path(), &config);
    assert_eq!(accept(&listener).await.1, query("&seq_start=8"));
}

#[tokio::test]
async fn a_gap_is_logged_counted_and_recorded() {
    let (listener, url) = server().await;
    let folder = folder();
    let path = folder.path().join("events.db");
    let place = Place::Sqlite(path.clone());
    let collector = Collector::start(folder.path(), &place.stream(&url, "    start: 3"));
    let (mut socket, _) = accept(&listener).await;
    let gap = r#"{"control":"gap","seq_start":"41"}"#;
    send(&mut socket, format!("{}|{gap}", gap.len())).await;
    send(&mut socket, event("41", 41)).await;
    collector.reaches("events_stored_total", "all", 1).await;
    assert_eq!(collector.metric("gaps_total", "all").await, Some(1));
    collector
        .says("events have expired before they were stored")
        .await;
    let gaps = sqlite(
        &path,
        "SELECT stream || ' ' || asked_for || ' ' || went_on_at FROM events_gaps",
    );
    assert_eq!(gaps, ["all 3 41"]);
}

#[tokio::test]
async fn a_gap_stops_the_stream_with_on_gap_stop() {
    let (listener, url) = server().await;
    let folder = folder();
    let place = Place::Jsonl(folder.path().join("lines"));
    let config = place.stream(&url, "    start: 3\n    onGap: stop");
    let collector = Collector::start(folder.path(), &config);
    let body = r#"{"error":"gone","message":"the earliest that can be replayed is 41"}"#;
    let query = refuse(&listener, 410, "", body).await;
    assert_eq!(query, format!("stream_key={KEY}&seq_start=3&markers=1"));
    let (status, log) = collector.ended().await;
    assert!(!status.success());
    assert!(
        log.contains("stopped, as onGap says: 410 Gone: the earliest that can be replayed is 41"),
        "{log}"
    );
}

#[tokio::test]
async fn a_busy_server_is_retried_after_its_retry_after() {
    let (listener, url) = server().await;
    let folder = folder();
    let place = Place::Jsonl(folder.path().join("lines"));
    let collector = Collector::start(folder.path(), &place.stream(&url, ""));
    let body = r#"{"error":"busy","message":"too many"}"#;
    refuse(&listener, 503, "retry-after: 2\r\n", body).await;
    collector
        .says("too many (busy); connecting again in 2.0s")
        .await;
    accept(&listener).await;
}

#[tokio::test]
async fn a_rotated_key_is_read_from_its_file() {
    let (listener, url) = server().await;
    let folder = folder();
    let url = url.split_once('?').unwrap().0;
    std::fs::write(folder.path().join("key"), "old\n").unwrap();
    let place = Place::Jsonl(folder.path().join("lines"));
    let config = place.stream(url, "    keyFile: key");
    let collector = Collector::start(folder.path(), &config);
    let body = r#"{"error":"unauthorized","message":"no such key"}"#;
    let query = refuse(&listener, 401, "", body).await;
    assert!(query.starts_with("stream_key=old&"), "{query}");
    collector
        .says("401 Unauthorized: no such key (unauthorized); trying again until it works")
        .await;
    std::fs::write(folder.path().join("key"), "new\n").unwrap();
    let (_socket, query) = accept(&listener).await;
    assert!(query.starts_with("stream_key=new&"), "{query}");
    assert!(!collector.log().contains("old"));
}

#[tokio::test]
async fn malformed_frames_are_not_acknowledged_and_requested_again() {
    let (listener, url) = server().await;
    let folder = folder();
    let place = Place::Jsonl(folder.path().join("lines"));
    let collector = Collector::start(folder.path(), &place.stream(&url, "    start: 1"));
    let (mut socket, _) = accept(&listener).await;
    send(&mut socket, event("1", 1)).await;
    let cut = event("2", 2);
    send(&mut socket, cut[..cut.len() - 3].to_owned()).await;
    send(&mut socket, "1|Z".to_owned()).await;
    // It hangs up instead of an answer.
    let ended = timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(!matches!(ended, Some(Ok(Message::Text(_)))), "{ended:?}");
    collector.says("a frame that announces").await;
    let (mut socket, again) = accept(&listener).await;
    assert_eq!(again, query("&seq_start=2"));
    send(&mut socket, event("2", 2)).await;
    collector.reaches("events_stored_total", "all", 2).await;
    assert_eq!(place.numbers().await, [1, 2]);
}
