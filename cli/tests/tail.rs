//! `datastream tail`, the real binary, against WebSocket servers in this process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::{Output, Stdio};

use datastream_protocol::frame::LARGEST_FRAME;
use futures_util::StreamExt as _;
use support::PATIENCE;
use support::script::{KEY, accept, event, frame, refuse, send, server};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

fn tail(args: &[&str]) -> tokio::task::JoinHandle<Output> {
    let child = Command::new(env!("CARGO_BIN_EXE_datastream"))
        .arg("tail")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    tokio::spawn(async {
        timeout(PATIENCE, child.wait_with_output())
            .await
            .unwrap()
            .unwrap()
    })
}

/// Sends a frame that is larger than any. The client may hang up before everything is sent.
async fn send_too_much(socket: &mut WebSocketStream<TcpStream>) {
    let frame = "x".repeat(LARGEST_FRAME + 1);
    let _ = futures_util::SinkExt::send(socket, frame.into()).await;
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn several_streams_are_shown_and_their_heartbeats_are_answered() {
    let (first, first_url) = server().await;
    let (second, second_url) = server().await;
    let labelled = format!("leds={second_url}");
    let tail = tail(&[&first_url, &labelled, "--count", "3", "--seq-start", "7"]);

    let (mut socket, query) = accept(&first).await;
    assert_eq!(query, format!("stream_key={KEY}&seq_start=7&markers=1"));
    send(&mut socket, "1|Z".to_owned()).await;
    let answer = timeout(PATIENCE, socket.next()).await.unwrap();
    assert_eq!(answer.unwrap().unwrap(), Message::Text("Z".into()));
    send(&mut socket, "nonsense".to_owned()).await;
    send(&mut socket, event("8", 1)).await;
    let (mut other, _) = accept(&second).await;
    send(&mut other, event("9", 2)).await;
    send(&mut other, event("10", 3)).await;
    // The client takes its leave.
    let farewell = timeout(PATIENCE, other.next()).await.unwrap();
    assert_eq!(farewell.unwrap().unwrap(), Message::Close(None));

    let output = tail.await.unwrap();
    let (out, notes) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{notes}");
    let mut lines: Vec<_> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "2018-09-24T10:25:14Z 0123… datapoint    AC1             Blue_LED = 1  #8",
            "2018-09-24T10:25:14Z leds  datapoint    AC1             Blue_LED = 2  #9",
            "2018-09-24T10:25:14Z leds  datapoint    AC1             Blue_LED = 3  #10",
        ]
    );
    assert!(
        notes.contains("0123… skipped a frame without '|'"),
        "{notes}"
    );
    assert!(
        notes.contains("0123… 1 events, 1 heartbeats, 0 losses, 1 skipped, last seq 8"),
        "{notes}"
    );
    assert!(
        notes.contains("leds  2 events, 0 heartbeats, 0 losses, 0 skipped, last seq 10"),
        "{notes}"
    );
    assert!(!out.contains(KEY) && !notes.contains(KEY));
}

#[tokio::test]
async fn a_lost_stream_resumes_after_its_last_event() {
    let (listener, url) = server().await;
    let url = format!("{url}&seq_start=5");
    let tail = tail(&[&url, "--count", "2", "--output", "json"]);
    let last = "99999999999999999999999999999999999999999999";

    let (mut socket, _) = accept(&listener).await;
    send(&mut socket, event(last, 1)).await;
    socket.close(None).await.unwrap();
    drop(socket);

    let (mut socket, query) = accept(&listener).await;
    let next = format!("1{}", "0".repeat(last.len()));
    assert_eq!(
        query,
        format!("stream_key={KEY}&seq_start={next}&markers=1")
    );
    send(&mut socket, event(&next, 2)).await;

    let output = tail.await.unwrap();
    let expected = [event(last, 1), event(&next, 2)];
    let expected = expected
        .each_ref()
        .map(|frame| frame.split_once('|').unwrap().1);
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_stream_lost_before_its_first_event_resumes_at_the_live_marker() {
    let (listener, url) = server().await;
    let tail = tail(&[&url, "--count", "1"]);
    let (mut socket, query) = accept(&listener).await;
    assert_eq!(query, format!("stream_key={KEY}&markers=1"));
    send(
        &mut socket,
        frame(r#"{"control":"live","seq_start":"689"}"#),
    )
    .await;
    socket.close(None).await.unwrap();
    drop(socket);
    // A server that is not ready yet takes nothing from the position, and is no loss.
    let query = refuse(&listener, 503, "", "{}").await;
    let again = format!("stream_key={KEY}&markers=1&seq_start=689");
    assert_eq!(query, again);
    let (mut socket, query) = accept(&listener).await;
    assert_eq!(query, again);
    send(&mut socket, event("689", 1)).await;
    let output = tail.await.unwrap();
    let notes = text(&output.stderr);
    assert!(
        notes.contains("1 events, 0 heartbeats, 1 losses, 1 failed attempt to connect, 0 skipped"),
        "{notes}"
    );
}

#[tokio::test]
async fn invalid_escapes_and_huge_numbers_are_shown_as_sent() {
    let (listener, url) = server().await;
    let tail = tail(&[&url, "--count", "2"]);
    let (mut socket, _) = accept(&listener).await;
    for (seq, value) in [("1", "1e400"), ("2", r#""caf\u00e9 \ud83d""#)] {
        let json = event(seq, 7)
            .split_once('|')
            .unwrap()
            .1
            .replace(":7}", &format!(":{value}}}"));
        send(&mut socket, frame(&json)).await;
    }
    let output = tail.await.unwrap();
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(
        lines,
        [
            "2018-09-24T10:25:14Z 0123… datapoint    AC1             Blue_LED = 1e400  #1",
            r"2018-09-24T10:25:14Z 0123… datapoint    AC1             Blue_LED = caf\u00e9 \ud83d  #2",
        ]
    );
}

#[tokio::test]
async fn tail_ends_silently_when_its_output_is_closed() {
    let (listener, url) = server().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_datastream"))
        .args(["tail", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut socket, _) = accept(&listener).await;
    send(&mut socket, event("1", 1)).await;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    assert!(first.unwrap().ends_with("#1"));
    drop(lines);
    send(&mut socket, event("2", 1)).await;
    let output = timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(text(&output.stderr), "0123… open\n");
    assert!(output.status.success());
}

#[tokio::test]
async fn two_start_positions_in_url_and_arguments_are_rejected() {
    let (_listener, url) = server().await;
    let url = format!("{url}&seq_start=3");
    for also in [["--since", "15m"], ["--seq-start", "7"]] {
        let output = tail(&[&[url.as_str()], &also[..]].concat()).await.unwrap();
        assert!(!output.status.success());
        let log = text(&output.stderr);
        assert!(log.contains("leave one out"), "{log}");
    }
}

#[tokio::test]
async fn only_events_that_match_the_options_are_shown() {
    let (listener, url) = server().await;
    let tail = tail(&[
        &url,
        "--count",
        "1",
        "--since",
        "2026-11-24T08:00:00Z",
        "--property",
        "Blue_*",
        "--dsn",
        "AC2",
    ]);
    let (mut socket, query) = accept(&listener).await;
    assert_eq!(
        query,
        format!("stream_key={KEY}&time_start=2026-11-24T08:00:00Z&markers=1")
    );
    send(&mut socket, event("1", 1)).await;
    let wanted = event("2", 2)
        .split_once('|')
        .unwrap()
        .1
        .replace("AC1", "AC2");
    send(&mut socket, frame(&wanted)).await;
    let output = tail.await.unwrap();
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].ends_with("AC2             Blue_LED = 2  #2"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let (listener, url) = server().await;
    let tail = tail(&[&url, "--count", "1", "--silence", "1"]);
    let (silent, _) = accept(&listener).await;
    let (mut socket, _) = accept(&listener).await;
    send(&mut socket, event("1", 1)).await;
    let output = tail.await.unwrap();
    assert!(text(&output.stderr).contains("no heartbeat within 1 s"));
    drop(silent);
}

#[tokio::test]
async fn a_replay_ends_with_its_last_event() {
    let (listener, url) = server().await;
    let tail = tail(&[&format!("{url}&seq_start=1&seq_end=1")]);
    let (mut socket, _) = accept(&listener).await;
    send(&mut socket, event("1", 1)).await;
    let close = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 1000.into(),
        reason: "seq_end reached".into(),
    };
    socket.close(Some(close)).await.unwrap();
    let output = tail.await.unwrap();
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("0123… ended"));
}

#[tokio::test]
async fn a_refusal_is_shown_with_the_servers_message() {
    let (listener, url) = server().await;
    let tail = tail(&[&url]);
    let body = r#"{"error":"unauthorized","message":"this stream key is not known"}"#;
    refuse(&listener, 401, "", body).await;
    let output = tail.await.unwrap();
    let notes = text(&output.stderr);
    assert!(!output.status.success());
    assert!(
        notes.contains("refused: 401 Unauthorized: this stream key is not known (unauthorized)"),
        "{notes}"
    );
    assert!(!notes.contains(KEY));
}

#[tokio::test]
async fn tail_ends_when_a_frame_cannot_be_received_twice() {
    let (listener, url) = server().await;
    let tail = tail(&[&url, "--seq-start", "1"]);
    let (mut socket, _) = accept(&listener).await;
    send_too_much(&mut socket).await;
    // A second connection: the stream continued after the first.
    let (mut socket, query) = accept(&listener).await;
    assert!(query.contains("seq_start=1&"), "{query}");
    send(&mut socket, event("1", 1)).await;
    send_too_much(&mut socket).await;
    // A lost connection in between is none of its business.
    refuse(&listener, 503, "", "{}").await;
    let (mut socket, _) = accept(&listener).await;
    send(&mut socket, "1|Z".to_owned()).await;
    send_too_much(&mut socket).await;
    let output = tail.await.unwrap();
    let notes = text(&output.stderr);
    assert!(!output.status.success(), "{notes}");
    assert!(
        notes.contains(
            "0123… stopped: cannot receive what follows seq_start 2, and it came again: Message too long"
        ),
        "{notes}"
    );
    assert!(text(&output.stdout).ends_with("#1\n"));
}

#[tokio::test]
async fn a_malformed_url_is_rejected_without_showing_its_key() {
    let wrong = format!("localhost:8080/stream?stream_key={KEY}");
    let output = tail(&["ws://h/stream?stream_key=k", &wrong]).await.unwrap();
    let notes = text(&output.stderr);
    assert!(!output.status.success());
    assert!(
        notes.contains("stream 2 of the command line: a stream's URL starts with"),
        "{notes}"
    );
    assert!(!notes.contains(KEY));
}
