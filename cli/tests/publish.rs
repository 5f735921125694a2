//! `datastream publish` as a process, against the embedded broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Output, Stdio};

use datastream_broker::{Broker, BrokerOptions};
use futures_util::{Stream, StreamExt as _};
use support::PATIENCE;
use support::topic::{self, TOPIC};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

async fn start() -> (Broker, String) {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    let address = broker.address().to_string();
    (broker, address)
}

fn publish(address: &str, files: &[&Path]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_datastream"))
        .args(["publish", "--fluvio", address, "--topic", TOPIC])
        .args(files)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits for the end: (exit code, stdout, stderr).
async fn end(child: Child) -> (i32, String, String) {
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = output.expect("an end in time").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// The keys and values in the topic, from its start on.
async fn stored(address: &str) -> impl Stream<Item = (String, String)> + Unpin + use<> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    topic::stored(address).await.map(move |record| {
        (
            record.key().map(text).unwrap_or_default(),
            text(record.value()),
        )
    })
}

async fn take(
    stream: impl Stream<Item = (String, String)> + Unpin,
    count: usize,
) -> Vec<(String, String)> {
    timeout(PATIENCE, stream.take(count).collect())
        .await
        .expect("events in time")
}

fn event(dsn: &str, value: usize) -> String {
    format!(
        r#"{{"metadata":{{"event_type":"datapoint","dsn":"{dsn}"}},"datapoint":{{"value":{value}}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_input_lines_are_sent_at_once() {
    let (_broker, address) = start().await;
    let mut events = stored(&address).await;
    let mut child = publish(&address, &[]);
    let mut stdin = child.stdin.take().unwrap();
    for number in 0..3 {
        let line = event("AC1", number);
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        // The next line is written only once this one has come out, with standard input still open.
        assert_eq!(take(&mut events, 1).await, [("AC1".to_owned(), line)]);
    }
    drop(stdin);
    let (code, stdout, stderr) = end(child).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(
        stdout,
        format!("3 events sent to topic {TOPIC} of Fluvio at {address}\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_named_and_the_others_are_sent() {
    let (_broker, address) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first.jsonl", "second.jsonl"].map(|name| folder.path().join(name));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let unknown = one_of_type("reboot");
    let [one, two, three] = [1, 2, 3].map(|n| event("AC1", n));
    std::fs::write(
        &first,
        format!("\u{feff}{one}\n\n{{\"a\":\n{large}\n{unknown}\n{two}"),
    )
    .unwrap();
    std::fs::write(&second, "[1]\r\n").unwrap();
    let mut child = publish(&address, &[&first, Path::new("-"), &second]);
    child
        .stdin
        .take()
        .unwrap()
        .write_all(three.as_bytes())
        .await
        .unwrap();
    let (code, stdout, stderr) = end(child).await;
    assert_eq!(code, 1);
    assert!(
        stdout.starts_with("3 events sent to") && stdout.ends_with(", 4 refused\n"),
        "{stdout}"
    );
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{stderr}");
    for (line, problem) in lines.iter().zip([
        "first.jsonl, line 3: not JSON: ",
        "first.jsonl, line 4: 1048584 bytes, but an event may have at most 1048576",
        "first.jsonl, line 5: event type \"reboot\": metadata.event_type is missing or unknown: use connectivity, datapoint",
        "second.jsonl, line 1: not a JSON object",
    ]) {
        assert!(line.contains(problem), "{line}");
    }
    let values: Vec<_> = take(stored(&address).await, 3)
        .await
        .into_iter()
        .map(|e| e.1)
        .collect();
    assert_eq!(values, [one, two, three]);
}

fn one_of_type(event_type: &str) -> String {
    event("AC1", 0).replace(r#":"datapoint""#, &format!(":\"{event_type}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_sent_with_force() {
    let (_broker, address) = start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines = [one_of_type("reboot"), "hello".to_owned()];
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    let (code, _, stderr) = end(publish(&address, &[Path::new("--force"), file.path()])).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let values = take(stored(&address).await, 2).await;
    let values: Vec<_> = values.into_iter().map(|e| e.1).collect();
    assert_eq!(values, lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_utf_16_is_refused_once() {
    let (_broker, address) = start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = [event("AC1", 1), event("AC1", 2)].join("\n");
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    let bytes: Vec<_> = units.flat_map(u16::to_le_bytes).collect();
    std::fs::write(file.path(), bytes).unwrap();
    let (code, _, stderr) = end(publish(&address, &[file.path()])).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("line 1: UTF-16, not UTF-8"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_lines_arrive_in_order() {
    const COUNT: usize = 50_000;
    let (_broker, address) = start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let events: Vec<_> = (0..COUNT)
        .map(|n| event(&format!("AC{}", n % 7), n))
        .collect();
    std::fs::write(file.path(), events.join("\n")).unwrap();
    let (code, stdout, _) = end(publish(&address, &[file.path()])).await;
    assert_eq!(code, 0);
    assert!(stdout.starts_with("50000 events sent"), "{stdout}");
    let values: Vec<_> = take(stored(&address).await, COUNT)
        .await
        .into_iter()
        .map(|e| e.1)
        .collect();
    assert!(values == events);
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_stops_on_a_signal_while_standard_input_is_open() {
    let (_broker, address) = start().await;
    let mut child = publish(&address, &[]);
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(format!("{}\nhalf a line", event("AC1", 1)).as_bytes())
        .await
        .unwrap();
    take(stored(&address).await, 1).await;
    let pid = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
    let (code, stdout, _) = end(child).await;
    assert_eq!(code, 0);
    assert!(
        stdout.starts_with("1 event sent") && stdout.ends_with(", stopped\n"),
        "{stdout}"
    );
    drop(stdin);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_prevent_publishing_are_named() {
    let (mut broker, address) = start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    for (path, problem) in [
        (Path::new("missing.jsonl"), "cannot read missing.jsonl"),
        (Path::new("/"), "it is a folder"),
        (file.path(), "there was no event to publish"),
    ] {
        let (code, stdout, stderr) = end(publish(&address, &[path])).await;
        assert_eq!((code, stdout.as_str()), (1, ""));
        assert!(stderr.contains(problem), "{stderr}");
    }
    broker.down(datastream_broker::Role::Sc).await;
    std::fs::write(file.path(), event("AC1", 1)).unwrap();
    let (code, stdout, stderr) = end(publish(&address, &[file.path()])).await;
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(
        stderr.contains(&address) && stderr.contains("; 0 events are stored"),
        "{stderr}"
    );
}
