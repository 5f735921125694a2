use datastream_gateway::position::EventIdentity;

use super::*;
use crate::collect::event::tests::event;

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
fn streams_share_a_file_and_each_goes_on_where_it_was() {
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
fn every_event_is_found_by_its_identity() {
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
fn two_collectors_do_not_share_a_file() {
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
fn a_file_that_is_no_longer_there_is_noticed_before_anything_counts_as_stored() {
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
fn a_folder_that_is_replaced_is_noticed_and_stored_into_anew() {
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
fn a_position_that_somebody_else_moved_stops_the_batch() {
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
fn a_file_that_another_program_holds_is_waited_for() {
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
fn a_damaged_file_is_named_and_left_as_it_is() {
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
