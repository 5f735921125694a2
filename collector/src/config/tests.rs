use super::*;

const ONE: &str = "streams:
  - name: leds
    url: wss://example.org/stream
    key: 0123456789abcdef0123456789abcdef
    store:
      jsonl: {dir: /data}
";

fn plan(text: &str) -> Plan {
    parse("streams.yaml", text).unwrap()
}

fn refusal(text: &str) -> String {
    parse("streams.yaml", text).unwrap_err().to_string()
}

fn jsonl(store: &StorePlan) -> &JsonlPlan {
    match store {
        StorePlan::Jsonl(plan) => plan,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_smallest_configuration_is_accepted() {
    let plan = plan(ONE);
    let [stream] = plan.streams.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!(stream.name, "leds");
    assert_eq!(
        (&stream.start, stream.on_gap),
        (&Start::Latest, OnGap::Earliest)
    );
    let url = stream.source.url().unwrap().expose();
    assert_eq!(
        url,
        "wss://example.org/stream?stream_key=0123456789abcdef0123456789abcdef"
    );
    let expected = JsonlPlan {
        dir: "/data".into(),
        rotate_bytes: 256 << 20,
        rotate_every: None,
    };
    assert_eq!(jsonl(&stream.stores[0]), &expected);
    assert!(!format!("{plan:?}").contains("0123456789abcdef"));
}

#[test]
fn streams_share_defaults_and_override_them() {
    let plan = plan("
defaults:
  url: ws://gateway:8080
  start: earliest
  onGap: stop
  store:
    jsonl: {dir: /data, rotateBytes: 64Mi, rotateEvery: 1h}
streams:
  - {name: a, key: k1}
  - {name: b, key: k2, start: 17, onGap: earliest, store: {sqlite: {path: /b.db}}}
  - {name: c, key: k3, start: '2026-11-24T08:00:00Z', store: {postgres: {url: 'postgres://u:p@h/d', table: s.t}}}
");
    let [a, b, c] = plan.streams.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!((&a.start, a.on_gap), (&Start::Earliest, OnGap::Stop));
    let files = jsonl(&a.stores[0]);
    assert_eq!(files.rotate_bytes, 64 << 20);
    assert_eq!(files.rotate_every, Some(Duration::from_hours(1)));
    assert_eq!(
        (&b.start, b.on_gap),
        (&Start::Seq("17".to_owned()), OnGap::Earliest)
    );
    assert!(matches!(&b.stores[..], [StorePlan::Sqlite(s)] if s.table == "events"));
    assert!(matches!(&c.start, Start::Time(_)));
    let [StorePlan::Postgres(postgres)] = c.stores.as_slice() else {
        panic!("{c:?}");
    };
    assert_eq!(postgres.table, "s.t");
    assert_eq!(postgres.abandoned_after, Duration::from_mins(1));
    let database = postgres.url.config().unwrap();
    assert_eq!(database.get_password(), Some(&b"p"[..]));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let twice = format!("{ONE}{}", &ONE["streams:\n".len()..]);
    let change = |from: &str, to: &str| {
        assert!(ONE.contains(from), "{from}");
        ONE.replace(from, to)
    };
    for (text, expected) in [
        (change("key:", "kye:"), "streams.yaml:4: unknown field"),
        (
            change("wss:", "ftp:"),
            "streams.yaml:3: streams[0].url: a stream's URL starts with",
        ),
        (
            change("    key: 0123456789abcdef0123456789abcdef\n", ""),
            "streams.yaml:3: streams[0].url: the URL has no stream_key",
        ),
        (
            change("name: leds", "name: a/b"),
            "streams.yaml:2: streams[0].name: \"a/b\" is no name",
        ),
        (
            change(
                "jsonl: {dir: /data}",
                "jsonl: {dir: /data, rotateBytes: 1MB}",
            ),
            "streams.yaml:6: streams[0].store.jsonl.rotateBytes: \"1MB\" is no size",
        ),
        (
            change("jsonl: {dir: /data}", "sqlite: {path: /x, table: a.b}"),
            "streams.yaml:6: streams[0].store.sqlite.table: \"a.b\" is no table",
        ),
        (
            change("jsonl: {dir: /data}", "postgres: {url: 'postgres://h:x/d'}"),
            "streams.yaml:6: streams[0].store.postgres.url: invalid",
        ),
        (
            change(
                "jsonl: {dir: /data}",
                "postgres: {url: 'postgres://h/d', abandonedAfter: 10ms}",
            ),
            "streams.yaml:6: streams[0].store.postgres.abandonedAfter: \"10ms\" is no duration",
        ),
        (
            change("jsonl: {dir: /data}", "postgres: {}"),
            "streams.yaml:6: streams[0].store.postgres: give one of url, urlFile and urlEnv",
        ),
        (
            change("    store:\n      jsonl: {dir: /data}\n", ""),
            "streams.yaml:2: streams[0]: give a store",
        ),
        (
            change("    store:", "    start: yesterday\n    store:"),
            "streams.yaml:5: streams[0].start: \"yesterday\" is no place to start",
        ),
        (
            change(
                "    store:",
                "    keyEnv: DATASTREAM_NO_SUCH_VARIABLE\n    store:",
            ),
            "streams.yaml:2: streams[0]: give only one of key",
        ),
        (
            twice.clone(),
            "streams.yaml:7: streams[1].name: \"leds\" is the name of streams[0], too",
        ),
        (
            twice.replacen("leds", "lights", 1),
            "streams.yaml:7: streams[1]: is the stream of streams[0]",
        ),
        (
            "streams: []".to_owned(),
            "streams.yaml:1: streams: there is none",
        ),
        (String::new(), "streams.yaml:1: 0 documents"),
        ("streams: [".to_owned(), "streams.yaml:1: "),
    ] {
        let refusal = refusal(&text);
        assert!(refusal.starts_with(expected), "{refusal}\nfor\n{text}");
        assert!(
            !refusal.contains("0123456789abcdef") && !refusal.contains('\n'),
            "{refusal}"
        );
    }
}

/// Example of the DSS Collector's documentation, but for what is persisted.
const ORIGINAL: &str = r#"[
  {
    "id": "ES1",
    "name": "Freezer too_warm for DSS Collector",
    "url": "wss://stream.aylanetworks.com/stream",
    "key": "abcdef01234567890000000000000001",
    "persistence": {
      "json": true,
      "relational": false
    }
  },
  {
    "id": "ES2",
    "name": "Freezer max_temp for DSS Collector",
    "url": "wss://stream.aylanetworks.com/stream",
    "key": "abcdef01234567890000000000000002",
    "persistence": {
      "json": true,
      "relational": true
    }
  }
]"#;

#[test]
fn the_original_config_json_is_understood() {
    let both = plan(ORIGINAL);
    let [one, two] = both.streams.as_slice() else {
        panic!("{both:?}");
    };
    assert_eq!((one.name.as_str(), two.name.as_str()), ("ES1", "ES2"));
    let url = one.source.url().unwrap().expose();
    assert_eq!(
        url,
        "wss://stream.aylanetworks.com/stream?stream_key=abcdef01234567890000000000000001"
    );
    assert!(matches!(&one.stores[..], [StorePlan::Jsonl(j)] if j.dir.as_os_str() == "events"));
    assert!(matches!(
        &two.stores[..],
        [StorePlan::Jsonl(_), StorePlan::Sqlite(s)] if s.path.as_os_str() == "events/events.sqlite"
    ));
    for wrapped in ["collectors", "streams"] {
        let plan = plan(&format!("{{\"{wrapped}\": {ORIGINAL}}}"));
        assert_eq!(plan.streams.len(), 2, "{wrapped}");
    }
}

#[test]
fn every_persistence_setting_of_the_original_config_is_understood() {
    let with = |persistence: &str| {
        format!(r#"[{{"name": "Blue LED", "url": "ws://h/stream", "key": "k"{persistence}}}]"#)
    };
    assert_eq!(plan(&with("")).streams[0].name, "Blue-LED");
    for (persistence, expected) in [
        ("", "Jsonl"),
        (r#", "persistence": "file""#, "Jsonl"),
        (
            r#", "persistence": {"json": "true", "csv": "false", "relational": "false"}"#,
            "Jsonl",
        ),
        (r#", "persistence": "sqlite""#, "Sqlite"),
        (
            r#", "persistence": {"type": "sqlite", "path": "x.db", "table": "t"}"#,
            "Sqlite",
        ),
        (r#", "persistence": "postgres://u@h/d""#, "Postgres"),
        (
            r#", "persistence": {"type": "postgresql", "connectionString": "postgres://u@h/d"}"#,
            "Postgres",
        ),
    ] {
        let plan = plan(&with(persistence));
        let stores = format!("{:?}", plan.streams[0].stores);
        assert!(
            stores.starts_with(&format!("[{expected}(")),
            "{persistence}: {stores}"
        );
    }
    for (persistence, expected) in [
        (
            r#", "persistence": {"csv": true}"#,
            "[0].persistence.csv: \"csv\" is not understood",
        ),
        (
            r#", "persistence": {"json": 1}"#,
            "[0].persistence.json: is neither true nor false",
        ),
        (
            r#", "persistence": "mysql""#,
            "[0].persistence: \"mysql\" is not understood",
        ),
        (
            r#", "persistence": "postgres""#,
            "[0].persistence: \"postgres\" is not understood",
        ),
        (
            r#", "persistence": {"json": false, "relational": false}"#,
            "the persistence of every stream is off",
        ),
        (r#", "port": 1"#, "[0].port: not understood"),
    ] {
        let refusal = refusal(&with(persistence));
        assert!(
            refusal.starts_with(&format!("streams.yaml:1: {expected}")),
            "{refusal}"
        );
    }
    let third = r#"[{"event_stream_name": "", "service_url": "wss://h/stream"}]"#;
    assert!(refusal(third).contains("make a DatastreamSubscription"));
}
