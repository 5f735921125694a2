//! The queries of docs/collector.md, on whatever devices write.

use datastream_e2e::Database;

use super::collector::{Collector, folder};
use super::database::Postgres;
use super::place::{Place, sqlite};
use super::support::script::{accept, send, server};

/// The statements that the document gives behind this heading.
fn documented(heading: &str) -> Vec<String> {
    let text = include_str!("../../../docs/collector.md");
    let (_, rest) = text.split_once(&format!("\n{heading}:\n")).unwrap();
    let lines = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    let lines: Vec<_> = lines.map(|line| line.trim_start_matches("    ")).collect();
    let statements = lines.join("\n");
    let statements: Vec<_> = statements
        .split(";\n")
        .map(|s| s.trim().to_owned())
        .filter(|s| !s.is_empty())
        .collect();
    // The body of a function has semicolons of its own, but none at the end of a line but the last.
    assert!(statements.len() >= 2, "{statements:?}");
    statements
}

#[tokio::test]
async fn documented_queries_survive_whatever_devices_write() {
    let (listener, url) = server().await;
    let database = Database::start().unwrap();
    let folder = folder();
    let path = folder.path().join("events.db");
    let postgres = Place::Postgres(Postgres::connect(&database).await, "events".to_owned());
    let store = format!(
        "{}, {}",
        Place::Sqlite(path.clone()).config(),
        postgres.config()
    );
    let config = format!("streams: [{{name: all, url: '{url}', start: 1, store: {{{store}}}}}]");
    let collector = Collector::start(folder.path(), &config);
    let (mut socket, _) = accept(&listener).await;
    let values = [
        ("1.50", Some(1.5)),
        ("-2e1", Some(-20.0)),
        ("true", None),
        ("null", None),
        (r#""a\u0000b""#, None),
        (r#""\ud83d""#, None),
        (r#""word""#, None),
        (r#""""#, None),
        ("{}", None),
    ];
    for (n, (value, _)) in values.iter().enumerate() {
        let seq = n + 1;
        let json = format!(
            r#"{{"seq":"{seq}","metadata":{{"dsn":"AC{n}","event_type":"datapoint","property_name":"p","oem_model":"m"}},"datapoint":{{"updated_at":"2026-11-26T12:00:00+01:00","value":{value}}}}}"#
        );
        send(&mut socket, format!("{}|{json}", json.len())).await;
    }
    let count = values.len() as u64;
    collector.reaches("events_stored_total", "all", count).await;

    let expected: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(n, (_, number))| {
            let number = number.map_or("-".to_owned(), |n| n.to_string());
            format!("AC{n} p 2026-11-26 11:00 {number}")
        })
        .collect();
    let models = values.map(|(value, _)| value.contains('\\'));

    let Place::Postgres(client, _) = &postgres else {
        unreachable!()
    };
    let mut statements = documented("PostgreSQL");
    let query = statements.pop().unwrap();
    for statement in statements {
        client.client.batch_execute(&statement).await.unwrap();
    }
    let rows = client.client.query(&query, &[]).await.unwrap();
    let given: Vec<_> = rows
        .iter()
        .map(|row| row.get::<_, Option<String>>(1))
        .collect();
    let refused = given
        .iter()
        .map(Option::is_none)
        .filter(|none| *none)
        .count();
    assert_eq!(refused, models.iter().filter(|refused| **refused).count());
    let read =
        "SELECT dsn || ' ' || property || to_char(at AT TIME ZONE 'UTC', ' YYYY-MM-DD HH24:MI ')
        || coalesce(trim_scale(number)::text, '-') FROM readings ORDER BY dsn";
    assert_eq!(client.texts(read).await, expected);

    let mut statements = documented("SQLite");
    let query = statements.pop().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    for statement in statements {
        connection.execute_batch(&statement).unwrap();
    }
    let mut models = connection.prepare(&query).unwrap();
    let rows = models.query_map([], |row| row.get::<_, Option<String>>(1));
    assert_eq!(rows.unwrap().map(Result::unwrap).count(), values.len());
    let read = "SELECT dsn || ' ' || property || strftime(' %Y-%m-%d %H:%M ', at)
        || coalesce(CASE WHEN number = CAST(number AS INTEGER) THEN CAST(number AS INTEGER) ELSE number END, '-')
        FROM readings ORDER BY dsn";
    assert_eq!(sqlite(&path, read), expected);
}
