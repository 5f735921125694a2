//! Mistakes that keep a collector from starting, each reported in one line; and the configuration of the DSS Collector.

use std::process::Stdio;

use super::collector::{Collector, command, eventually, folder, run};
use super::place::sqlite;
use super::support::script::{KEY, accept, event, send, server};

#[tokio::test]
async fn configuration_errors_are_reported_in_one_line() {
    let folder = folder();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let stream = format!("{{name: a, url: 'ws://127.0.0.1:9', key: {KEY}, store: STORE}}");
    for (config, expected) in [
        (
            "streams: [{nam: a}]".to_owned(),
            "streams.yaml:1: unknown field",
        ),
        (
            format!(
                "streams: [{}]",
                stream.replace("STORE", "{jsonl: {dir: file}}")
            ),
            "streams.yaml:1: streams[0]: stream a: file: ",
        ),
        (
            format!(
                "streams: [{}]",
                stream.replace("STORE", "{jsonl: {dir: /proc/no}}")
            ),
            "streams.yaml:1: streams[0]: stream a: /proc/no: ",
        ),
        (
            format!(
                "streams: [{}]",
                stream.replace("STORE", "{sqlite: {path: .}}")
            ),
            "streams.yaml:1: streams[0]: stream a: .: ",
        ),
        (
            format!(
                "streams: [{}]",
                stream
                    .replace(&format!("key: {KEY}"), "keyFile: none")
                    .replace("STORE", "{jsonl: {dir: d}}")
            ),
            "streams.yaml:1: streams[0]: cannot read none: ",
        ),
    ] {
        let (success, text) = run(folder.path(), "streams.yaml", &config).await;
        let errors: Vec<_> = text.lines().filter(|line| line.contains("ERROR")).collect();
        assert!(
            !success && errors.len() == 1 && errors[0].contains(expected),
            "{expected}: {text}"
        );
        assert!(!text.contains(KEY) && !text.contains("collected"), "{text}");
    }
}

#[tokio::test]
async fn the_config_json_of_the_dss_collector_is_accepted() {
    let (listener, url) = server().await;
    let folder = folder();
    let url = url.split_once('?').unwrap().0;
    let config = format!(
        r#"[
  {{
    "id" : "ES1",
    "name": "Freezer too_warm for DSS Collector",
    "url": "{url}",
    "key": "{KEY}",
    "persistence": {{
      "json": true,
      "relational": true
    }}
  }},
  {{
    "id" : "ES2",
    "name": "Freezer max_temp for DSS Collector",
    "url": "{url}",
    "key": "abcdef01234567890000000000000002",
    "persistence": {{
      "json": false,
      "relational": false
    }}
  }}
]"#
    );
    let collector = Collector::start(folder.path(), &config);
    collector
        .says("not collected: its persistence is off")
        .await;
    let (mut socket, query) = accept(&listener).await;
    assert!(query.starts_with(&format!("stream_key={KEY}&")), "{query}");
    send(&mut socket, event("81", 0)).await;
    collector.reaches("events_stored_total", "ES1", 1).await;
    collector.stop().await;
    let events = folder.path().join("events");
    let stored = sqlite(
        &events.join("events.sqlite"),
        "SELECT stream || ' ' || seq FROM events",
    );
    assert_eq!(stored, ["ES1 81"]);
    let lines = std::fs::read_dir(events)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().contains("/ES1-"))
        .unwrap();
    let expected = event("81", 0).split_once('|').unwrap().1.to_owned();
    assert_eq!(
        std::fs::read_to_string(lines).unwrap(),
        format!("{expected}\n")
    );
}

#[tokio::test]
async fn a_closed_standard_output_does_not_stop_the_collector() {
    let (listener, url) = server().await;
    let folder = folder();
    let path = folder.path().join("events.db");
    let config = format!(
        "streams: [{{name: a, url: '{url}', start: 1, store: {{sqlite: {{path: events.db}}}}}}]"
    );
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut collector = command(folder.path(), "streams.yaml", &config)
        .args(["--metrics", "127.0.0.1:0"])
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut socket, _) = accept(&listener).await;
    send(&mut socket, event("1", 1)).await;
    let stored = || sqlite(&path, "SELECT seq FROM events") == ["1"];
    assert!(eventually(stored).await);
    assert_eq!(collector.try_wait().unwrap(), None);
}
