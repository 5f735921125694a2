//! Events that cannot be received, and events that a store does not take.

use datastream_protocol::frame::LARGEST_FRAME;

use super::collector::{Collector, folder, run};
use super::into_postgres::IntoPostgres;
use super::place::Place;
use super::support::script::{accept, event, send, server};
use super::traffic::post;

/// The frame of an event that has so many bytes.
fn frame_of(bytes: usize) -> String {
    let head = r#"{"seq":"2","datapoint":{"value":""#;
    let tail = r#""}}"#;
    let length = bytes - (bytes.to_string().len() + 1);
    let length = length - (head.len() + tail.len());
    let json = format!("{head}{}{tail}", "x".repeat(length));
    let frame = format!("{}|{json}", json.len());
    assert_eq!(frame.len(), bytes);
    frame
}

#[tokio::test]
async fn the_largest_frame_is_stored() {
    let (listener, url) = server().await;
    let folder = folder();
    let place = Place::Sqlite(folder.path().join("events.db"));
    let collector = Collector::start(folder.path(), &place.stream(&url, "    start: 1"));
    let (mut socket, _) = accept(&listener).await;
    send(&mut socket, event("1", 0)).await;
    send(&mut socket, frame_of(LARGEST_FRAME)).await;
    send(&mut socket, event("3", 0)).await;
    collector.reaches("events_stored_total", "all", 3).await;
    assert_eq!(
        collector.metric("unreadable_frames_total", "all").await,
        Some(0)
    );
}

#[tokio::test]
async fn a_frame_that_cannot_be_received_is_an_error_and_makes_the_collector_unready() {
    let (listener, url) = server().await;
    let folder = folder();
    let place = Place::Sqlite(folder.path().join("events.db"));
    let collector = Collector::start(folder.path(), &place.stream(&url, "    start: 1"));
    for seq_start in ["seq_start=1", "seq_start=2"] {
        let (mut socket, query) = accept(&listener).await;
        assert!(query.contains(seq_start), "{query}");
        if seq_start == "seq_start=1" {
            send(&mut socket, event("1", 0)).await;
            collector.reaches("events_stored_total", "all", 1).await;
        }
        let frame = frame_of(LARGEST_FRAME + 1);
        // It may hang up before everything is sent.
        let _ = futures_util::SinkExt::send(&mut socket, frame.into()).await;
    }
    collector.reaches("unreadable_frames_total", "all", 2).await;
    collector.says("ERROR").await;
    collector
        .says("cannot receive what follows seq_start 2: Message too long")
        .await;
    assert_eq!(collector.get("/readyz").await.0, 503);
    // Whoever sends something else makes it ready again.
    let (mut socket, _) = accept(&listener).await;
    send(&mut socket, event("2", 0)).await;
    collector.reaches("events_stored_total", "all", 2).await;
    assert_eq!(collector.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_database_with_a_limited_encoding_is_rejected_at_the_start() {
    let test = IntoPostgres::start(1).await;
    for (name, encoding) in [("lat", "LATIN1"), ("ascii", "SQL_ASCII")] {
        let create =
            format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        test.execute(&create).await;
    }
    let config = test.config();
    let lat = config.replace("/postgres'", "/lat'");
    let (success, text) = run(test.folder.path(), "lat.yaml", &lat).await;
    let expected = "database lat has encoding LATIN1, which cannot take every character: use a database with encoding UTF8";
    assert!(!success && text.contains(expected), "{text}");
    let ascii = config.replace("/postgres'", "/ascii'");
    let collector = test.collector(&ascii);
    collector.reaches("connected", "all", 1).await;
}

#[tokio::test]
async fn an_event_that_a_table_rejects_becomes_a_dead_letter_and_the_others_are_stored() {
    let test = IntoPostgres::start(1).await;
    // Makes the tables.
    let config = test.config();
    let collector = test.collector(&config);
    collector.reaches("connected", "all", 1).await;
    collector.stop().await;
    let check =
        "ALTER TABLE events ADD CONSTRAINT no_sevens CHECK (event NOT LIKE '%\"value\":7,%')";
    test.execute(check).await;
    post(&test.dev, 0..20).await;

    let collector = test.collector(&config);
    collector
        .says("the event with seq 8 cannot be stored: ")
        .await;
    assert_eq!(collector.get("/readyz").await.0, 503);
    assert_eq!(test.place.numbers().await, (0..7).collect::<Vec<_>>());
    collector.kill().await;

    let config = format!("{config}\n    deadLetter: dead.jsonl");
    let collector = test.collector(&config);
    collector.reaches("events_stored_total", "all", 12).await;
    assert_eq!(collector.metric("dead_letters_total", "all").await, Some(1));
    assert_eq!(collector.get("/readyz").await.0, 200);
    let expected: Vec<_> = (0..20).filter(|n| *n != 7).collect();
    assert_eq!(test.place.numbers().await, expected);
    let text = std::fs::read_to_string(test.folder.path().join("dead.jsonl")).unwrap();
    let letter: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(letter["event"]["datapoint"]["value"], 7);
    assert_eq!(letter["seq"], "8");
    assert!(
        letter["reason"].as_str().unwrap().contains("no_sevens"),
        "{letter}"
    );
}

#[tokio::test]
async fn a_password_that_changes_in_its_file_is_read_again() {
    let test = IntoPostgres::start(1).await;
    // The role is what changes here: the server of the test trusts whoever has a name.
    let roles = "CREATE ROLE one LOGIN SUPERUSER; CREATE ROLE two LOGIN SUPERUSER";
    test.execute(roles).await;
    let url = &test.postgres().url;
    let url_of = |role: &str| url.replace("collector@", &format!("{role}@"));
    let file = test.folder.path().join("url");
    std::fs::write(&file, format!("\u{feff}{}\n", url_of("one"))).unwrap();
    let config = test
        .config()
        .replace(&format!("url: '{url}'"), "urlFile: url");
    let collector = test.collector(&config);
    post(&test.dev, 0..5).await;
    collector.reaches("events_stored_total", "all", 5).await;
    std::fs::write(&file, format!("{}\n", url_of("two"))).unwrap();
    let rotate = "ALTER ROLE one NOLOGIN;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'one'";
    test.execute(rotate).await;
    post(&test.dev, 5..6).await;
    collector.reaches("events_stored_total", "all", 6).await;
    assert_eq!(test.place.numbers().await, [0, 1, 2, 3, 4, 5]);
}
