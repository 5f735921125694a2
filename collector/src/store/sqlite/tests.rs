use std::fs::File;

use datastream_protocol::position::EventIdentity;

use super::*;
use crate::event::tests::event;

fn store(databases: &mut Databases, path: &Path, stream: &str) -> SqliteStore {
    let plan = SqlitePlan {
        path: path.to_owned(),
        table: "events".to_owned(),
    };
    SqliteStore::new(databases, plan, stream)
}

fn batch(numbers: &[&str]) -> Batch {
    let events: Vec<_> = numbers
        .iter()
        .map(|seq| event(&format!(r#"{{"seq":"{seq}","metadata":{{"dsn":"A"}}}}"#)))
        .collect();
    Batch::of_new(&events, None).unwrap()
}

#[test]
fn streams_share_a_sqlite_file_and_each_resumes_at_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/events.db");
    let mut databases = Databases::default();
    let mut a = store(&mut databases, &path, "a");
    let mut b = store(&mut databases, &path, "b");
    assert_eq!(a.open(), Ok(Opened::at(None)));
    assert_eq!(b.open(), Ok(Opened::at(None)));
    a.append(&batch(&["3", "4"])).unwrap();
    // What is there already is not there twice.
    a.append(&batch(&["3", "4", "5"])).unwrap();
    let mark = Mark {
        position: Position::new([9]),
        gap: Some(super::super::Gap {
            from: "1".to_owned(),
            to: Position::new([9]),
        }),
    };
    b.mark(&mark).unwrap();
    b.mark(&mark).unwrap();
    drop((a, b, databases));

    let mut databases = Databases::default();
    assert_eq!(
        store(&mut databases, &path, "a").open(),
        Ok(Opened::at(Some(Position::new([5]))))
    );
    assert_eq!(
        store(&mut databases, &path, "b").open(),
        Ok(Opened::at(Some(Position::new([9]))))
    );
    let connection = Connection::open(&path).unwrap();
    let count = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(count("SELECT count(*) FROM events WHERE stream = 'a'"), 3);
    assert_eq!(
        count("SELECT count(*) FROM events_gaps WHERE asked_for = '1' AND went_on_at = '10'"),
        1
    );
}

#[test]
fn every_event_is_found_by_partition_and_offset() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut store = store(&mut Databases::default(), &path, "a");
    store.open().unwrap();
    let seq = Seq::of(&Position::new([3, 7]), 1);
    store.append(&batch(&[seq.as_str()])).unwrap();
    let connection = Connection::open(&path).unwrap();
    let identity = connection
        .query_row(
            "SELECT event_partition, event_offset FROM events",
            [],
            |row| {
                Ok(EventIdentity {
                    partition: row.get(0)?,
                    offset: row.get::<_, i64>(1)? as u64,
                })
            },
        )
        .unwrap();
    assert_eq!(identity, EventIdentity::of_seq(seq.as_str()).unwrap().0);
    assert_eq!(store.open(), Ok(Opened::at(Some(Position::new([3, 7])))));
}

#[test]
fn a_second_collector_cannot_open_the_same_sqlite_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut one = store(&mut Databases::default(), &path, "a");
    one.open().unwrap();
    let mut other = store(&mut Databases::default(), &path, "b");
    assert!(
        other
            .open()
            .unwrap_err()
            .reason
            .starts_with("another collector")
    );
    drop(one);
    assert_eq!(other.open(), Ok(Opened::at(None)));
}

fn count(path: &Path, table: &str) -> Option<i64> {
    let connection = Connection::open(path).unwrap();
    let query = format!("SELECT count(*) FROM {table}");
    connection.query_row(&query, [], |row| row.get(0)).ok()
}

#[test]
fn a_missing_sqlite_file_is_detected_before_events_count_as_stored() {
    for suffix in ["", "-wal", "-shm"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let mut store = store(&mut Databases::default(), &path, "a");
        store.open().unwrap();
        store.append(&batch(&["3"])).unwrap();
        store.verify().unwrap();
        let moved = format!("{}{suffix}", path.display());
        std::fs::rename(&moved, folder.path().join("moved")).unwrap();
        let error = store.append(&batch(&["3", "4"])).unwrap_err();
        assert!(error.reason.starts_with(&moved), "{}", error.reason);
        assert!(error.reason.contains("no longer there"), "{}", error.reason);
    }
}

#[test]
fn a_replaced_folder_is_detected_and_filled_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    let path = place.join("events.db");
    let mut store = store(&mut Databases::default(), &path, "a");
    store.open().unwrap();
    store.append(&batch(&["3"])).unwrap();
    std::fs::rename(&place, folder.path().join("other")).unwrap();
    assert!(store.verify().is_err());
    assert_eq!(store.open(), Ok(Opened::at(None)));
    store.append(&batch(&["3", "4"])).unwrap();
    assert_eq!(count(&path, "events"), Some(2));
    assert_eq!(
        count(&folder.path().join("other/events.db"), "events"),
        Some(1)
    );
}

#[test]
fn a_position_changed_by_others_fails_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut store = store(&mut Databases::default(), &path, "a");
    store.open().unwrap();
    store.append(&batch(&["3"])).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute("DELETE FROM events_streams", []).unwrap();
    let error = store.append(&batch(&["4"])).unwrap_err();
    assert!(error.reason.contains("changed by somebody else"), "{error}");
    assert_eq!(count(&path, "events"), Some(1));
    assert_eq!(store.open(), Ok(Opened::at(None)));
}

#[test]
fn a_sqlite_file_locked_by_another_program_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    store(&mut Databases::default(), &path, "a").open().unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut store = store(&mut Databases::default(), &path, "a");
    let error = store.open().unwrap_err();
    assert!(
        error.passes() && error.reason.ends_with("is locked by another program"),
        "{error}"
    );
    other.execute_batch("COMMIT").unwrap();
    store.open().unwrap();
}

#[test]
fn a_damaged_sqlite_file_is_named_and_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut whole = store(&mut Databases::default(), &path, "a");
    whole.open().unwrap();
    let numbers: Vec<_> = (1..=500).map(|n| n.to_string()).collect();
    let numbers: Vec<_> = numbers.iter().map(String::as_str).collect();
    whole.append(&batch(&numbers)).unwrap();
    drop(whole);
    let bytes = std::fs::read(&path).unwrap();
    let mut no_header = bytes.clone();
    no_header[..16].fill(0);
    let mut no_tables = bytes.clone();
    no_tables[100..4096].fill(0xff);
    for damaged in [
        no_header,
        no_tables,
        bytes[..5000].to_vec(),
        b"text\n".to_vec(),
    ] {
        std::fs::write(&path, &damaged).unwrap();
        let mut store = store(&mut Databases::default(), &path, "a");
        let error = match store.open() {
            Err(error) => error,
            Ok(_) => store.append(&batch(&numbers)).unwrap_err(),
        };
        let expected = format!("{}: ", path.display());
        assert!(error.reason.starts_with(&expected), "{error}");
        assert!(error.reason.contains("restore it from a backup"), "{error}");
        drop(store);
        assert_eq!(std::fs::read(&path).unwrap(), damaged);
    }
}

#[test]
fn a_table_of_an_earlier_version_gets_new_columns_and_the_stream_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    // As it was before there were event_time, property and value.
    let earlier = Connection::open(&path).unwrap();
    earlier
        .execute_batch(
            "CREATE TABLE events (
               stream TEXT NOT NULL, event_partition INTEGER NOT NULL, event_offset INTEGER NOT NULL, seq TEXT NOT NULL,
               event_type TEXT NOT NULL, dsn TEXT NOT NULL, received_at TEXT NOT NULL, event TEXT NOT NULL,
               PRIMARY KEY (stream, event_partition, event_offset)) WITHOUT ROWID;
             CREATE TABLE events_streams (stream TEXT NOT NULL PRIMARY KEY, seq_start TEXT NOT NULL) WITHOUT ROWID;
             INSERT INTO events VALUES ('a', 0, 0, '1', 'datapoint', 'A', '2026-11-24T08:00:00Z', '{}');
             INSERT INTO events_streams VALUES ('a', '2')",
        )
        .unwrap();
    drop(earlier);
    let mut store = store(&mut Databases::default(), &path, "a");
    assert_eq!(store.open(), Ok(Opened::at(Some(Position::new([1])))));
    let json = r#"{"seq":"2","metadata":{"event_type":"datapoint","property_name":"p"},"datapoint":{"updated_at":"2026-11-24T09:00:00Z","value":7}}"#;
    let batch = Batch::of_new(&[event(json)], Some(&Position::new([1]))).unwrap();
    store.append(&batch).unwrap();
    let connection = Connection::open(&path).unwrap();
    let query = "SELECT seq, event_time, property, value FROM events ORDER BY event_offset";
    let mut rows = connection.prepare(query).unwrap();
    let rows = rows.query_map([], |row| {
        Ok([0, 1, 2, 3].map(|column| row.get::<_, Option<String>>(column).unwrap()))
    });
    let rows: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        rows,
        [
            [text("1"), None, None, None],
            [
                text("2"),
                text("2026-11-24T09:00:00Z"),
                text("p"),
                text("7")
            ],
        ]
    );
}

#[test]
fn a_clock_set_back_changes_no_stored_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut databases = Databases::default();
    let mut one = store(&mut databases, &path, "a");
    one.open().unwrap();
    for (seq, received) in [("1", 2_000_000_000), ("2", 1_000_000_000), ("3", 0)] {
        let mut batch = batch(&[seq]);
        batch.events[0].received = jiff::Timestamp::from_second(received).unwrap();
        one.append(&batch).unwrap();
    }
    drop((one, databases));
    let mut next = store(&mut Databases::default(), &path, "a");
    assert_eq!(next.open(), Ok(Opened::at(Some(Position::new([3])))));
    // What came when the clock was right is no newer than what comes now.
    next.append(&batch(&["1", "2", "3", "4"])).unwrap();
    assert_eq!(count(&path, "events"), Some(4));
}

#[test]
fn a_sqlite_file_emptied_in_place_is_detected_and_filled_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut store = store(&mut Databases::default(), &path, "a");
    store.open().unwrap();
    store.append(&batch(&["3"])).unwrap();
    File::options()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    let error = store.verify().unwrap_err();
    assert!(error.reason.contains("was emptied"), "{error}");
    let opened = store.open();
    assert_eq!(opened, Ok(Opened::at(None)));
    store.append(&batch(&["3", "4"])).unwrap();
    assert_eq!(count(&path, "events"), Some(2));
}

mod damage;
