//! Node-RED, with the flow of the examples: it appends each event to a file, and acknowledges it.

use std::collections::BTreeSet;
use std::fs;

use crate::committed;
use crate::events::assert_all;
use crate::process::Output;
use crate::programs::{example, installed};
use crate::reader::{Reader, key, resumes_over_restarts, stream_at};

/// Neither editor nor API.
const SETTINGS: &str = r#"module.exports = {
  disableEditor: true,
  httpAdminRoot: false,
  httpNodeRoot: false,
  uiHost: "127.0.0.1",
  uiPort: 0,
  flowFile: `${__dirname}/flow.json`,
};
"#;

#[tokio::test]
async fn node_red_appends_the_events_of_a_stream_to_a_file_over_restarts() {
    let mut server = committed::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("settings.js"), SETTINGS).unwrap();
    fs::copy(example("flow.json"), path("flow.json")).unwrap();
    let url = format!("STREAM_URL={}?format=json", stream_at(server.port));
    let file = format!("EVENTS_FILE={}", path("events"));
    let program = installed("node_modules/node-red/red.js").await;
    let words = ["env", &url, &file, "node", &program, "--userDir", &path("")];
    let key = key(&server);
    let start = || Reader::start(&key, &words);
    let node_red = start();
    let written = Reader::start(&key, &["tail", "-n", "+1", "-F", &path("events")]);
    // The position of a subscription that has none yet is that of the next event.
    server.is_connected().await;
    resumes_over_restarts(&mut server, &written).await;

    // Nothing tells when the last acknowledgement has come: some events may be written again, and no more.
    node_red.process.terminate();
    node_red.process.ended().await;
    let _again = start();
    server.publish(61..=80).await;
    let all = |output: &Output| {
        output
            .lines
            .iter()
            .any(|line| line.contains(r#""value":80,"#))
    };
    let mut lines = written.process.has_written("last event", all).await.lines;
    assert!(lines.len() < 100, "{} events", lines.len());
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    assert_all("Node-RED", &lines, 1..=80);
}
