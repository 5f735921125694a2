//! Streams from the real gateway into every kind of store.

use datastream_e2e::Database;

use super::collector::{Collector, folder};
use super::place::{Place, sqlite};
use super::traffic::{gateway, post};

#[tokio::test]
async fn every_store_gets_every_event_and_a_new_collector_resumes() {
    let (dev, url) = gateway(1).await;
    let server = Database::start().unwrap();
    let folder = folder();
    for (place, begin) in Place::all(folder.path(), &server)
        .await
        .iter()
        .zip([0_u64, 1000, 2000])
    {
        let config = place.stream(&url, "");
        let collector = Collector::start(folder.path(), &config);
        collector.reaches("connected", "all", 1).await;
        while !place.has_begun().await {
            tokio::task::yield_now().await;
        }
        post(&dev, begin..begin + 500).await;
        collector.reaches("events_stored_total", "all", 500).await;
        let (status, log) = collector.stop().await;
        assert!(status.success(), "{log}");
        assert!(log.contains("stored=500"), "{log}");

        // What comes in the meantime is there afterwards.
        post(&dev, begin + 500..begin + 600).await;
        let collector = Collector::start(folder.path(), &config);
        collector.reaches("events_stored_total", "all", 100).await;
        assert_eq!(
            collector.metric("duplicates_skipped_total", "all").await,
            Some(0)
        );
        assert_eq!(collector.metric("gaps_total", "all").await, Some(0));
        assert!(
            collector
                .metric("last_stored_age_seconds", "all")
                .await
                .is_some()
        );
        let (ready, text) = collector.get("/readyz").await;
        assert_eq!((ready, text.as_str()), (200, "all: connected\n"));
        collector.stop().await;
        let expected: Vec<_> = (begin..begin + 600).collect();
        assert_eq!(place.numbers().await, expected, "{config}");
    }
}

#[tokio::test]
async fn every_store_keeps_the_json_byte_for_byte() {
    let (dev, url) = gateway(1).await;
    let server = Database::start().unwrap();
    let folder = folder();
    let store = |place: &Place| format!("{{{}}}", place.config());
    let places = Place::all(folder.path(), &server).await;
    // One stream, several stores: whatever one of them misses, all are given.
    let stores: Vec<_> = places.iter().map(store).collect();
    let stores = stores.join(", ").replace("}, {", ", ");
    let config =
        format!("streams: [{{name: all, url: '{url}', start: earliest, store: {stores}}}]");
    let odd = r#"{ "metadata":{"event_type":"datapoint","dsn":"A\u0000"},  "datapoint":{"value":7,"n":1.10e+2,"t":"é|\\","s":"\ud800"} }"#;
    assert_eq!(dev.post(odd).await.0, 200);
    let collector = Collector::start(folder.path(), &config);
    collector.reaches("events_stored_total", "all", 1).await;
    collector.stop().await;

    let expected = r#"{"seq":"1","metadata":{"event_type":"datapoint","dsn":"A\u0000"},  "datapoint":{"value":7,"n":1.10e+2,"t":"\u00e9\u007c\\","s":"\ud800"}}"#;
    for place in &places {
        let stored = match place {
            Place::Jsonl(dir) => {
                let file = std::fs::read_dir(dir)
                    .unwrap()
                    .map(|e| e.unwrap().path())
                    .find(|p| p.to_str().unwrap().contains("/all-"))
                    .unwrap();
                std::fs::read_to_string(file).unwrap().trim_end().to_owned()
            }
            Place::Sqlite(path) => sqlite(path, "SELECT event FROM events").remove(0),
            Place::Postgres(server, _) => server.texts("SELECT event FROM events").await.remove(0),
        };
        assert_eq!(stored, expected);
    }
    let Place::Postgres(server, _) = &places[2] else {
        unreachable!()
    };
    let row = server
        .client
        .query_one("SELECT stream, event_partition, event_offset, seq, event_type, dsn, received_at < now() FROM events", &[])
        .await
        .unwrap();
    let texts: [String; 4] = [0, 3, 4, 5].map(|column| row.get(column));
    assert_eq!(texts, ["all", "1", "datapoint", "A\u{fffd}"]);
    assert_eq!((row.get::<_, i64>(1), row.get::<_, i64>(2)), (0, 0));
    assert!(row.get::<_, bool>(6));
}

#[tokio::test]
async fn many_streams_share_stores_without_interfering() {
    let folder = folder();
    let manifests = tempfile::tempdir().unwrap();
    let names: Vec<_> = (0..10).map(|n| format!("device-{n}")).collect();
    for (number, name) in names.iter().enumerate() {
        let manifest = format!(
            "apiVersion: datastream.dev/v1alpha1\nkind: DatastreamSubscription\nmetadata:\n  name: {name}\n\
             spec:\n  eventTypes: [datapoint]\n  filters:\n    - dsns: [AC{number}]\n"
        );
        std::fs::write(manifests.path().join(format!("{name}.yaml")), manifest).unwrap();
    }
    let mut dev = super::support::dev::Dev::start_in(manifests, &["--partitions", "3"]).await;
    let mut config =
        "defaults:\n  start: earliest\n  store: {sqlite: {path: events.db}}\nstreams:\n".to_owned();
    for name in &names {
        let url = dev.stream(name).await;
        config = format!("{config}  - {{name: {name}, url: '{url}'}}\n");
    }
    // No gateway knows this one, and it says so without an end.
    let broken = "  - {name: broken, url: 'ws://127.0.0.1:9', key: '1'}\n";
    config.push_str(broken);
    let collector = Collector::start(folder.path(), &config);
    post(&dev, 0..1000).await;
    for name in &names {
        collector.reaches("events_stored_total", name, 100).await;
    }
    collector.says("stream=\"broken\"").await;
    let (status, log) = collector.stop().await;
    assert!(status.success(), "{log}");
    let counts = sqlite(
        &folder.path().join("events.db"),
        "SELECT stream || ' ' || count(*) || ' ' || count(DISTINCT event) FROM events GROUP BY stream",
    );
    let expected: Vec<_> = names.iter().map(|n| format!("{n} 100 100")).collect();
    assert_eq!(counts, expected);
}
