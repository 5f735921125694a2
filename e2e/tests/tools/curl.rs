//! curl, in each version of HTTP.

use crate::programs::example;
use crate::reader::{Reader, events_at, key, resumes_over_restarts};
use crate::server::Server;

/// Options of curl, the version of HTTP that the answer has, and how it is compressed, if it is.
const VARIANTS: [(&[&str], &str, Option<&str>); 6] = [
    (&["--http1.0"], "1.0", None),
    (&["--http1.1"], "1.1", None),
    (&["--http2-prior-knowledge"], "2", None),
    (&["--http1.1", "--compressed"], "1.1", Some("")),
    (&["--http2-prior-knowledge", "--compressed"], "2", Some("")),
    (
        &["--compressed", "-H", "Accept-Encoding: gzip"],
        "1.1",
        Some("gzip"),
    ),
];

#[tokio::test]
async fn curl_prints_each_event_as_it_comes() {
    let server = Server::start().await;
    let key = key(&server);
    let authorization = format!("Authorization: Bearer {key}");
    let mut last = 0;
    for (options, version, coding) in VARIANTS {
        let first = last + 1;
        last += 10;
        let url = format!("{}?seq_start={first}&limit=10", events_at(server.port));
        let mut words = vec!["curl", "-sSN", "-H", &authorization, &url];
        words.extend(["-D", "/dev/stderr"]);
        words.extend(options);
        server.publish(first..=first + 4).await;
        let curl = Reader::start(&key, &words);
        curl.printed(5).await;
        for number in first + 5..=last {
            server.publish(number..=number).await;
            curl.printed(number + 1 - first).await;
        }
        let output = curl.ended_with(first..=last).await;
        let head = output.notes.join("\n").to_ascii_lowercase();
        assert!(head.contains(&format!("http/{version} 200")), "{head}");
        let header = head.split_once("content-encoding: ");
        let applied = header.map(|(_, after)| after.starts_with(coding.unwrap_or_default()));
        assert_eq!(applied, coding.map(|_| true), "{head}");
    }
}

#[tokio::test]
async fn curl_prints_server_sent_events() {
    let server = Server::start().await;
    server.publish(1..=3).await;
    let key = key(&server);
    let url = format!(
        "{}?seq_start=1&seq_end=3&stream_key={key}",
        events_at(server.port)
    );
    let words = ["curl", "-sSN", "-H", "Accept: text/event-stream", &url];
    let output = Reader::start(&key, &words).process.ended().await;
    let lines: Vec<_> = output.lines.iter().map(String::as_str).collect();
    let events = lines.chunks(4).take(3);
    for (number, event) in (1..=3).zip(events) {
        let [id, kind, data, end] = event else {
            panic!("{event:?}")
        };
        assert_eq!(*id, format!("id: {number}"));
        assert_eq!(*kind, "event: datapoint");
        assert!(
            data.starts_with(&format!(r#"data: {{"seq":"{number}","#)),
            "{data}"
        );
        assert!(end.is_empty(), "{end}");
    }
    assert_eq!(lines[12], "event: control");
    assert!(lines[13].contains(r#""code":1000"#), "{}", lines[13]);
}

#[tokio::test]
async fn curl_says_why_a_stream_is_refused() {
    let server = Server::start().await;
    let url = events_at(server.port);
    let curl = Reader::start("unknown", &["curl", "-sS", "--fail-with-body", &url]);
    let output = curl.process.ended().await;
    assert_eq!(output.code, Some(22), "{:?}", output.notes);
    assert!(
        output.lines[0].contains(r#""error":"unauthorized""#),
        "{:?}",
        output.lines
    );
}

#[tokio::test]
async fn curl_reads_batch_after_batch_over_restarts() {
    let mut server = Server::start().await;
    let url = events_at(server.port);
    let batches = Reader::start(&key(&server), &[&example("batches.sh"), &url, "1"]);
    resumes_over_restarts(&mut server, &batches).await;
}
