//! Secrecy of what the commands write, with everything in the log that there is: no stream key and no token.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Stdio;

use support::PATIENCE;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A command that logs all that it can.
fn datastream(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datastream"));
    command
        .args(args)
        .current_dir(folder)
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// All that it writes until it ends.
async fn output(mut command: Command) -> String {
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

/// Reads to the end what a command logs.
fn log_of(child: &mut Child) -> tokio::task::JoinHandle<String> {
    let mut stderr = child.stderr.take().unwrap();
    tokio::spawn(async move {
        let mut log = vec![];
        stderr.read_to_end(&mut log).await.unwrap();
        String::from_utf8_lossy(&log).into_owned()
    })
}

async fn get(address: &str, path: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, tcp.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

/// The next line of JSON that a command prints.
async fn line(lines: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> serde_json::Value {
    let mut line = String::new();
    timeout(PATIENCE, lines.read_line(&mut line))
        .await
        .unwrap()
        .unwrap();
    serde_json::from_str(&line).unwrap()
}

/// Every file below a folder, with its name.
fn files(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &files(&path);
        } else {
            let text = std::fs::read(&path).unwrap();
            all.push_str(&path.display().to_string());
            all.push('\n');
            all.push_str(&String::from_utf8_lossy(&text));
            all.push('\n');
        }
    }
    all
}

fn assert_has_none(who: &str, written: &str, secrets: &[&str]) {
    for secret in secrets {
        let line = written.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{who} wrote {secret}: {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_writes_a_key_or_a_token_even_at_trace_level() {
    const WRONG: &str = "0123456789abcdef0123456789abcdef";
    const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzZWNyZXQifQ.c2lnbmF0dXJlLXNlY3JldA";
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let manifest = "apiVersion: datastream.dev/v1alpha1\nkind: DatastreamSubscription\nmetadata: {name: all}\nspec: {eventTypes: [datapoint]}\n";
    let other = manifest.replace("name: all", "name: other");
    std::fs::write(folder.path().join("all.yaml"), manifest).unwrap();
    std::fs::write(folder.path().join("other.yaml"), other).unwrap();
    let args = [
        "dev",
        "--manifests",
        ".",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--output",
        "json",
        "--simulate",
        "--rate",
        "50",
    ];
    let mut dev = datastream(folder.path(), &args).spawn().unwrap();
    let dev_log = log_of(&mut dev);
    let mut lines = BufReader::new(dev.stdout.take().unwrap());
    let admin = line(&mut lines).await["admin"].as_str().unwrap().to_owned();
    let (first, second) = (line(&mut lines).await, line(&mut lines).await);
    let url = |stream: &serde_json::Value| stream["url"].as_str().unwrap().to_owned();
    let (first, second) = (url(&first), url(&second));
    let key = |url: &str| url.split_once("stream_key=").unwrap().1.to_owned();
    let (key, other_key) = (key(&first), key(&second));
    let place = first.split_once('?').unwrap().0;
    let secrets = [
        key.as_str(),
        &other_key,
        WRONG,
        TOKEN,
        "c2lnbmF0dXJlLXNlY3JldA",
    ];

    // Good keys and wrong ones, in the query and in the header, and tokens.
    std::fs::write(kept.path().join("token"), TOKEN).unwrap();
    let token_file = kept.path().join("token").display().to_string();
    let wrong = format!("{place}?stream_key={WRONG}");
    let named = format!("{place}?subscription=default/all");
    for args in [
        vec!["tail", "--count", "5", &first],
        vec![
            "tail",
            "--count",
            "5",
            "--output",
            "json",
            "--key-in-header",
            &first,
        ],
        vec!["tail", &wrong],
        vec!["tail", "--token-file", &token_file, &named],
        vec!["tail", "--token-file", &token_file, &first],
        vec![
            "tail",
            "http://127.0.0.1:1/stream?stream_key=0123456789abcdef0123456789abcdef",
            "--count",
        ],
        vec!["check", &first],
        vec!["check", "--key-in-header", &first],
        vec!["check", &wrong],
        vec!["check", "--token-file", &token_file, &named],
    ] {
        let written = output(datastream(folder.path(), &args)).await;
        assert!(!written.trim().is_empty(), "{args:?}");
        assert_has_none(args[0], &written, &secrets);
    }

    std::fs::write(kept.path().join("key"), &key).unwrap();
    let stored = tempfile::tempdir().unwrap();
    let config = format!(
        "defaults: {{url: '{place}', start: earliest}}\nstreams:\n\
         - {{name: files, keyFile: {kept}/key, store: {{jsonl: {{dir: stored}}}}}}\n\
         - {{name: table, key: {other_key}, keyIn: header, store: {{sqlite: {{path: events.db}}}}}}\n\
         - {{name: wrong, url: '{wrong}', store: {{sqlite: {{path: events.db}}}}}}\n\
         - {{name: token, subscription: default/all, tokenFile: {kept}/token, store: {{jsonl: {{dir: none}}}}}}\n",
        kept = kept.path().display(),
    );
    std::fs::write(kept.path().join("streams.yaml"), config).unwrap();
    let config = kept.path().join("streams.yaml").display().to_string();
    let args = ["collect", "--config", &config, "--metrics", "127.0.0.1:0"];
    let mut collector = datastream(stored.path(), &args).spawn().unwrap();
    let collector_log = log_of(&mut collector);
    let mut lines = BufReader::new(collector.stdout.take().unwrap());
    let metrics = line(&mut lines).await["metrics"]
        .as_str()
        .unwrap()
        .to_owned();
    let metrics = metrics.strip_prefix("http://").unwrap();
    let collected = async {
        loop {
            let text = get(metrics, "/metrics").await;
            let has = |stream: &str| {
                let stored =
                    format!("datastream_collector_events_stored_total{{stream=\"{stream}\"}} ");
                let value = text
                    .lines()
                    .find_map(|line| line.strip_prefix(stored.as_str()));
                value.is_some_and(|value| value.parse::<f64>().unwrap() > 5.0)
            };
            if has("files") && has("table") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, collected)
        .await
        .expect("events are stored");
    for path in ["/metrics", "/readyz", "/livez"] {
        assert_has_none(path, &get(metrics, path).await, &secrets);
    }
    collector.start_kill().unwrap();
    collector.wait().await.unwrap();
    assert_has_none("collect", &collector_log.await.unwrap(), &secrets);
    assert_has_none("the stores", &files(stored.path()), &secrets);

    let admin = admin.strip_prefix("http://").unwrap();
    for path in ["/metrics", "/readyz", "/routing"] {
        assert_has_none(path, &get(admin, path).await, &secrets);
    }
    dev.start_kill().unwrap();
    dev.wait().await.unwrap();
    // Its standard output is where it says the keys; its log is not.
    assert_has_none("dev", &dev_log.await.unwrap(), &secrets);
}
