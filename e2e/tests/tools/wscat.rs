//! wscat, in a terminal that nobody types into, and in one of a user who answers heartbeats.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

use crate::process::Output;
use crate::programs::installed;
use crate::reader::{Reader, key, stream_at};
use crate::server::Server;

/// Runs wscat with a FIFO as its standard input, which does not end as long as it runs. Returns the path of the FIFO, too.
async fn wscat(server: &Server, folder: &tempfile::TempDir, target: &str) -> (Reader, String) {
    let fifo = folder.path().join("typed").display().to_string();
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let key = key(server);
    let header = format!("Authorization: Bearer {key}");
    let url = format!("{}?{target}", stream_at(server.port));
    let program = installed("node_modules/.bin/wscat").await;
    let words = [
        "sh",
        "-c",
        r#"exec "$@" <>"$0""#,
        &fifo,
        &program,
        "-H",
        &header,
        "-c",
        &url,
    ];
    (Reader::start(&key, &words), fifo)
}

/// The frames that it has printed. After a line that was typed, it prints a prompt.
fn frames(output: &Output) -> impl Iterator<Item = &str> {
    let lines = output.lines.iter();
    lines.map(|line| line.trim_start_matches("> "))
}

#[tokio::test]
async fn wscat_prints_events_as_json() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    server.publish(1..=10).await;
    let (wscat, _) = wscat(&server, &folder, "format=json&seq_start=1").await;
    wscat.printed(10).await;
    server.publish(11..=20).await;
    wscat.printed(20).await;
    wscat.has(1..=20);
}

#[tokio::test]
async fn wscat_prints_frames_of_dss_for_as_long_as_heartbeats_are_answered() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (wscat, fifo) = wscat(&server, &folder, "seq_start=1").await;
    let mut typed = OpenOptions::new().write(true).open(fifo).unwrap();
    // One more than may stay unanswered.
    for count in 1..=4 {
        let beaten =
            |output: &Output| frames(output).filter(|frame| *frame == "1|Z").count() >= count;
        wscat.process.has_written("heartbeat", beaten).await;
        typed.write_all(b"Z\n").unwrap();
    }
    server.publish(1..=3).await;
    let is_event = |frame: &&str| *frame != "1|Z";
    let all = |output: &Output| frames(output).filter(is_event).count() >= 3;
    let output = wscat.process.has_written("events", all).await;
    for (number, frame) in (1..=3).zip(frames(&output).filter(is_event)) {
        let (length, body) = frame.split_once('|').unwrap();
        assert_eq!(length.parse(), Ok(body.len()));
        assert!(
            body.starts_with(&format!(r#"{{"seq":"{number}","#)),
            "{body}"
        );
    }
}
