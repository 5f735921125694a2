use datastream_protocol::position::Seq;
use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::event::Event;
use crate::event::tests::event;
use crate::store::Gap;

fn plan(folder: &TempDir, rotate_bytes: u64) -> JsonlPlan {
    JsonlPlan {
        dir: folder.path().join("made/for/it"),
        rotate_bytes,
        rotate_every: None,
    }
}

fn store(folder: &TempDir, rotate_bytes: u64) -> JsonlStore {
    JsonlStore::new(plan(folder, rotate_bytes), "leds")
}

fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<Event> {
    let event = |n: u64| event(&format!(r#"{{"seq":"{n}","n":1.10}}"#));
    numbers.into_iter().map(event).collect()
}

fn open(store: &mut JsonlStore) -> Option<Position> {
    store.open().unwrap().position
}

fn append(store: &mut JsonlStore, events: &[Event], stored: &mut Option<Position>) {
    let batch = Batch::of_new(events, stored.as_ref()).unwrap();
    store.append(&batch).unwrap();
    *stored = Some(batch.after);
}

/// The lines of all files, oldest first, and how many files there are.
fn lines(folder: &TempDir) -> (Vec<String>, usize) {
    let mut files = Files::new(&plan(folder, 1).dir, "leds").list().unwrap();
    files.reverse();
    let text = |path| fs::read_to_string(path).unwrap();
    let lines = files.iter().flat_map(|(path, _)| {
        let text = text(path);
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    (lines.collect(), files.len())
}

#[test]
fn lines_are_event_bodies_and_a_reopened_store_resumes_after_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = store(&folder, 1 << 20);
    let mut stored = open(&mut one);
    assert_eq!(stored, None);
    append(&mut one, &events(1..=3), &mut stored);
    drop(one);
    let mut other = store(&folder, 1 << 20);
    assert_eq!(open(&mut other), Some(Position::new([3])));
    append(&mut other, &events(2..=5), &mut stored);
    let expected: Vec<_> = events(1..=5)
        .iter()
        .map(|e| e.body.as_str().to_owned())
        .collect();
    assert_eq!(lines(&folder), (expected, 1));
}

#[test]
fn a_full_file_is_rotated_and_may_be_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = store(&folder, 70);
    let mut stored = open(&mut one);
    // 21 bytes a line, so three a file; one line that is too long has a file of its own.
    append(&mut one, &events(1..=7), &mut stored);
    let long = event(&format!(r#"{{"seq":"8","x":"{}"}}"#, "x".repeat(100)));
    append(&mut one, &[long], &mut stored);
    append(&mut one, &events(9..=9), &mut stored);
    let (all, files) = lines(&folder);
    assert_eq!((all.len(), files), (9, 5));
    drop(one);
    let listed = Files::new(&plan(&folder, 1).dir, "leds").list().unwrap();
    for (path, _) in &listed[1..] {
        fs::remove_file(path).unwrap();
    }
    let mut other = store(&folder, 70);
    assert_eq!(open(&mut other), Some(Position::new([9])));
    drop(other);
    fs::remove_file(&listed[0].0).unwrap();
    // What is no longer there is fetched again, but only that.
    assert_eq!(open(&mut store(&folder, 70)), Some(Position::new([8])));
}

#[test]
fn an_old_file_is_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan(&folder, 1 << 20);
    plan.rotate_every = Some(Duration::from_hours(1));
    let mut store = JsonlStore::new(plan, "leds");
    let mut stored = open(&mut store);
    append(&mut store, &events(1..=1), &mut stored);
    append(&mut store, &events(2..=2), &mut stored);
    assert_eq!(lines(&folder).1, 1);
    let current = store.current.as_mut().unwrap();
    current.age.before += Duration::from_hours(1);
    append(&mut store, &events(3..=3), &mut stored);
    let (all, files) = lines(&folder);
    assert_eq!((all.len(), files), (3, 2));
}

#[test]
fn a_file_named_after_a_future_time_is_rotated_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan(&folder, 1 << 20);
    plan.rotate_every = Some(Duration::from_hours(1));
    fs::create_dir_all(&plan.dir).unwrap();
    let future = plan.dir.join("leds-20991231T235959.000Z.jsonl");
    fs::write(&future, "{\"seq\":\"1\"}\n").unwrap();
    let mut store = JsonlStore::new(plan, "leds");
    let mut stored = open(&mut store);
    append(&mut store, &events(2..=2), &mut stored);
    append(&mut store, &events(3..=3), &mut stored);
    let (all, files) = lines(&folder);
    assert_eq!((all.len(), files), (3, 2));
    assert_eq!(fs::read_to_string(future).unwrap().lines().count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn complete_lines_survive_a_truncated_write_and_the_rest_is_fetched_again(
        sizes in vec(1_u64..6, 1..6), cut in 0_usize..400, rubbish in vec(any::<u8>(), 0..40), rotate in 50_u64..300,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut one = store(&folder, rotate);
        let mut stored = open(&mut one);
        let mut sent = 0;
        for size in sizes {
            append(&mut one, &events(sent + 1..=sent + size), &mut stored);
            sent += size;
        }
        let newest = one.current.take().unwrap();
        drop(one);
        let left = newest.len.saturating_sub(cut as u64);
        newest.file.set_len(left).unwrap();
        let path = plan(&folder, 1).dir.join(&newest.name);
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(&rubbish).unwrap();

        let mut other = store(&folder, rotate);
        let mut stored = open(&mut other);
        let whole = stored.as_ref().map_or(0, |p| p.next(0));
        prop_assert!(whole <= sent);
        prop_assert_eq!(lines(&folder).0.len() as u64, whole);
        append(&mut other, &events(whole + 1..=sent + 1), &mut stored);
        let all: Vec<_> = events(1..=sent + 1).iter().map(|e| e.body.as_str().to_owned()).collect();
        prop_assert_eq!(lines(&folder).0, all);
    }
}

#[test]
fn after_an_error_only_synced_lines_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder, 1 << 20);
    let mut stored = open(&mut store);
    append(&mut store, &events(1..=2), &mut stored);
    // As when syncing fails: the line may be read back, and be gone after a power cut all the same.
    let path = plan(&folder, 1)
        .dir
        .join(&store.current.as_ref().unwrap().name);
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    writeln!(file, r#"{{"seq":"3"}}"#).unwrap();
    assert_eq!(open(&mut store), Some(Position::new([2])));
    assert_eq!(lines(&folder).0.len(), 2);
}

#[test]
fn positions_of_all_partitions_survive_another_interleaving() {
    let folder = tempfile::tempdir().unwrap();
    let at = |a, b, own| {
        let seq = Seq::of(&Position::new([a, b]), own);
        event(&format!(r#"{{"seq":"{seq}"}}"#))
    };
    let mut one = store(&folder, 1 << 20);
    let mut stored = open(&mut one);
    append(&mut one, &[at(0, 1, 1), at(0, 2, 1)], &mut stored);
    // From the beginning again, the other partition first: the last line knows nothing of partition 1.
    append(&mut one, &[at(1, 0, 0)], &mut stored);
    assert_eq!(stored, Some(Position::new([1, 2])));
    drop(one);
    assert_eq!(open(&mut store(&folder, 1 << 20)), stored);
}

#[test]
fn marks_and_gaps_survive_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = store(&folder, 1 << 20);
    one.open().unwrap();
    let position = Position::new([41]);
    let gap = Some(Gap {
        from: "3".to_owned(),
        to: position.clone(),
    });
    one.mark(&Mark {
        position: position.clone(),
        gap,
    })
    .unwrap();
    drop(one);
    let mut other = store(&folder, 1 << 20);
    assert_eq!(open(&mut other), Some(position));
    let gaps = fs::read_to_string(other.files.gaps()).unwrap();
    assert!(
        gaps.contains(r#""asked_for":"3","went_on_at":"42""#),
        "{gaps}"
    );
}

#[test]
fn an_event_with_line_breaks_is_stored_on_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder, 1 << 20);
    let mut stored = open(&mut store);
    append(
        &mut store,
        &[event("{\"seq\":\"1\",\n\"a\":\r\n1}")],
        &mut stored,
    );
    assert_eq!(lines(&folder).0, [r#"{"seq":"1", "a":  1}"#]);
}

#[test]
fn a_second_collector_cannot_open_the_same_stream() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = store(&folder, 1);
    one.open().unwrap();
    one.open().unwrap();
    let mut other = store(&folder, 1);
    assert!(
        other
            .open()
            .unwrap_err()
            .reason
            .starts_with("another collector")
    );
    let mut neighbour = JsonlStore::new(plan(&folder, 1), "leds-2");
    neighbour.open().unwrap();
    drop(one);
    other.open().unwrap();
}

#[test]
fn a_clock_set_back_changes_neither_order_nor_position() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stored, mut sent) = (None, 0);
    // Each collector is later than the one before, by a clock that was set back in between.
    for received in [2_000_000_000, 1_000_000_000, 0] {
        let mut store = store(&folder, 70);
        assert_eq!(open(&mut store), stored);
        let mut events = events(sent + 1..=sent + 5);
        for event in &mut events {
            event.received = Timestamp::from_second(received).unwrap();
        }
        append(&mut store, &events, &mut stored);
        sent += 5;
        // As if the file that is written had been begun an hour from now.
        let current = store.current.take().unwrap();
        let hour = SignedDuration::from_hours(1);
        let (name, _) = store.files.next(Some(current.begun + hour));
        fs::rename(plan(&folder, 1).dir.join(&current.name), name).unwrap();
    }
    let expected: Vec<_> = events(1..=sent)
        .iter()
        .map(|e| e.body.as_str().to_owned())
        .collect();
    assert_eq!(lines(&folder).0, expected);
}

mod damage;
