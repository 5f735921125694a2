//! Damage to the files between two runs, wherever it is: what is whole stays, and the rest comes again.

use std::collections::BTreeSet;

use super::*;

/// One change of a file's bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip { at: usize, bit: u8 },
    Cut { at: usize },
    EmptyLine { line: usize },
    RemoveBreak { line: usize },
    Hole { at: usize, len: usize },
    Double { from: usize, len: usize, to: usize },
    Append(Vec<u8>),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let at = 0_usize..2000;
    let len = 1_usize..200;
    let damage = prop_oneof![
        (at.clone(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        at.clone().prop_map(|at| Damage::Cut { at }),
        (0_usize..60).prop_map(|line| Damage::EmptyLine { line }),
        (0_usize..60).prop_map(|line| Damage::RemoveBreak { line }),
        (at.clone(), len.clone()).prop_map(|(at, len)| Damage::Hole { at, len }),
        (at.clone(), len, at).prop_map(|(from, len, to)| Damage::Double { from, len, to }),
        vec(any::<u8>(), 1..40).prop_map(Damage::Append),
    ];
    vec(damage, 1..4)
}

impl Damage {
    /// Does it; numbers beyond the end count from the beginning again.
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let size = bytes.len();
        let nth_break = |bytes: &[u8], line: usize| {
            let breaks: Vec<_> = memchr::memchr_iter(b'\n', bytes).collect();
            (!breaks.is_empty()).then(|| {
                let line = line % breaks.len();
                let start = line.checked_sub(1).map_or(0, |before| breaks[before] + 1);
                (start, breaks[line])
            })
        };
        match self {
            Self::Flip { at, bit } => bytes[at % size] ^= 1 << bit,
            Self::Cut { at } => bytes.truncate(at % size),
            Self::EmptyLine { line } => {
                if let Some((start, end)) = nth_break(bytes, *line) {
                    bytes.drain(start..end);
                }
            }
            Self::RemoveBreak { line } => {
                if let Some((_, end)) = nth_break(bytes, *line) {
                    bytes.remove(end);
                }
            }
            Self::Hole { at, len } => {
                let at = at % size;
                let end = (at + len).min(size);
                bytes[at..end].fill(0);
            }
            Self::Double { from, len, to } => {
                let from = from % size;
                let block = bytes[from..(from + len).min(size)].to_vec();
                let to = to % size;
                bytes.splice(to..to, block);
            }
            Self::Append(more) => bytes.extend(more),
        }
    }
}

/// The numbers of the lines that are events of the test, to the byte, in their order.
fn in_order(bytes: &[u8], sent: u64) -> Vec<u64> {
    let numbers: std::collections::BTreeMap<_, _> = events(1..=sent)
        .into_iter()
        .map(|e| (e.body.as_str().as_bytes().to_vec(), e.identity.offset + 1))
        .collect();
    let lines = bytes.split(|b| *b == b'\n');
    lines
        .filter_map(|line| numbers.get(line).copied())
        .collect()
}

/// The numbers of the lines that are events of the test, to the byte.
fn whole(bytes: &[u8], sent: u64) -> BTreeSet<u64> {
    in_order(bytes, sent).into_iter().collect()
}

/// Returns whether a line stands before one that came earlier, as when a block was doubled into the lines before it.
fn is_displaced(bytes: &[u8], sent: u64) -> bool {
    let mut seen = BTreeSet::new();
    let numbers = in_order(bytes, sent).into_iter();
    let firsts: Vec<_> = numbers.filter(|n| seen.insert(*n)).collect();
    !firsts.is_sorted()
}

/// Returns whether a line claims to be an event of the stream, but with another content.
fn has_false_numbers(bytes: &[u8], sent: u64) -> bool {
    let known: BTreeSet<_> = events(1..=sent)
        .iter()
        .map(|e| e.body.as_str().as_bytes().to_vec())
        .collect();
    bytes.split(|b| *b == b'\n').any(|line| {
        let text = std::str::from_utf8(line).ok();
        text.and_then(crate::event::place_of_line).is_some() && !known.contains(line)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn intact_lines_survive_any_damage_and_the_rest_is_fetched_again(
        batches in vec((1_u64..8, any::<bool>()), 1..6), damages in damages(), runs in 1_usize..3,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut one = store(&folder, 1 << 20);
        let mut stored = open(&mut one);
        let mut sent = 0;
        for (size, marked) in batches {
            append(&mut one, &events(sent + 1..=sent + size), &mut stored);
            sent += size;
            if marked {
                // As at a reconnect: nothing that matches has come up to here.
                sent += 1;
                let position = Position::new([sent]);
                one.mark(&Mark { position: position.clone(), gap: None }).unwrap();
                stored = Some(position);
            }
        }
        let path = plan(&folder, 1).dir.join(&one.current.as_ref().unwrap().name);
        drop(one);
        let before = whole(&fs::read(&path).unwrap(), sent);
        for _ in 0..runs {
            let mut bytes = fs::read(&path).unwrap();
            for damage in &damages {
                damage.apply(&mut bytes);
            }
            // A number that was changed into another one cannot be distinguished from a true one.
            prop_assume!(!has_false_numbers(&bytes, sent));
            fs::write(&path, &bytes).unwrap();
            let left = whole(&bytes, sent);

            let mut other = store(&folder, 1 << 20);
            let mut stored = open(&mut other);
            let next = stored.as_ref().map_or(0, |p| p.next(0));
            let after = whole(&fs::read(&path).unwrap(), sent);
            prop_assert!(left.is_subset(&after), "lost {:?}", left.difference(&after));
            // Nothing is fetched that is there, unless it is not in its place: then rather twice than not at all.
            let displaced = is_displaced(&bytes, sent);
            prop_assert!(displaced || after.iter().all(|n| *n <= next), "{next} {after:?}");
            // Everything is fetched that was behind the last event.
            let mut last = after.last().copied().unwrap_or(0);
            if displaced {
                last = last.min(next);
            }
            let left_out = before.iter().find(|n| **n > last && **n <= next);
            prop_assert_eq!(left_out, None, "{} {} {:?}", last, next, before);

            let again: Vec<_> = before.range(next + 1..).copied().collect();
            if !again.is_empty() {
                append(&mut other, &events(again), &mut stored);
            }
            let end = whole(&fs::read(&path).unwrap(), sent);
            prop_assert!(left.is_subset(&end));
            prop_assert!(before.range(last + 1..).all(|n| end.contains(n)));
        }
    }

    #[test]
    fn a_damaged_position_file_is_never_trusted(at in 0_usize..300, bit in 0_u8..8, cut in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let mut one = store(&folder, 1 << 20);
        let mut stored = open(&mut one);
        append(&mut one, &events(1..=3), &mut stored);
        one.mark(&Mark { position: Position::new([7]), gap: None }).unwrap();
        let path = one.files.position();
        drop(one);
        let mut bytes = fs::read(&path).unwrap();
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        fs::write(&path, &bytes).unwrap();
        let position = open(&mut store(&folder, 1 << 20));
        // The events say less, and never too much. (The last line break says nothing.)
        prop_assert!(position == Some(Position::new([3])) || position == Some(Position::new([7])), "{position:?}");
    }
}

#[test]
fn an_emptied_line_loses_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = store(&folder, 1 << 20);
    let mut stored = open(&mut one);
    append(&mut one, &events(1..=300), &mut stored);
    let path = plan(&folder, 1)
        .dir
        .join(&one.current.as_ref().unwrap().name);
    drop(one);
    let text = fs::read_to_string(&path).unwrap();
    let emptied = text.replace(&format!("{}\n", text.lines().nth(10).unwrap()), "\n");
    fs::write(&path, &emptied).unwrap();
    let mut other = store(&folder, 1 << 20);
    let expected = Opened {
        position: Some(Position::new([300])),
        damaged_lines: 1,
    };
    assert_eq!(other.open(), Ok(expected));
    assert_eq!(fs::read_to_string(&path).unwrap(), emptied);
}

#[test]
fn a_damaged_last_line_is_kept_beside_the_file_and_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = store(&folder, 1 << 20);
    let mut stored = open(&mut one);
    append(&mut one, &events(1..=3), &mut stored);
    // Behind the last line, so that the mark rests on it.
    let position = Position::new([7]);
    one.mark(&Mark {
        position,
        gap: None,
    })
    .unwrap();
    let path = plan(&folder, 1)
        .dir
        .join(&one.current.as_ref().unwrap().name);
    drop(one);
    let text = fs::read_to_string(&path).unwrap();
    let damaged = text.replace(r#"{"seq":"3""#, r#"{"seq";"3""#);
    fs::write(&path, &damaged).unwrap();
    let mut other = store(&folder, 1 << 20);
    assert_eq!(open(&mut other), Some(Position::new([2])));
    let aside = fs::read_to_string(recover::damaged_name(&path)).unwrap();
    assert_eq!(aside, "{\"seq\";\"3\",\"n\":1.10}\n");
}

#[test]
fn a_damaged_position_without_events_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = store(&folder, 1 << 20);
    open(&mut one);
    let position = Position::new([7]);
    one.mark(&Mark {
        position,
        gap: None,
    })
    .unwrap();
    let path = one.files.position();
    drop(one);
    let text = fs::read_to_string(&path).unwrap().replace('8', "9");
    fs::write(&path, text).unwrap();
    let error = store(&folder, 1 << 20).open().unwrap_err();
    assert!(
        error.reason.starts_with(&path.display().to_string()),
        "{error}"
    );
    assert!(error.reason.contains("its checksum is wrong"), "{error}");
    assert!(path.exists());
}

#[test]
fn moved_files_are_detected_and_their_events_stored_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = plan(&folder, 1).dir;
    let mut one = store(&folder, 1 << 20);
    one.open().unwrap();
    let begin = Position::new([4]);
    let gap = None;
    one.mark(&Mark {
        position: begin.clone(),
        gap,
    })
    .unwrap();
    let mut stored = Some(begin.clone());
    append(&mut one, &events(5..=6), &mut stored);
    one.verify().unwrap();
    let name = one.current.as_ref().unwrap().name.clone();
    fs::rename(dir.join(&name), folder.path().join("moved")).unwrap();
    let batch = Batch::of_new(&events(7..=7), stored.as_ref()).unwrap();
    let error = one.append(&batch).unwrap_err();
    assert!(
        error.reason.contains(&name) && error.reason.contains("no longer there"),
        "{error}"
    );
    assert_eq!(open(&mut one), Some(begin.clone()));
    let mut stored = Some(begin);
    append(&mut one, &events(5..=7), &mut stored);
    assert_eq!(lines(&folder).0.len(), 3);

    // The whole folder, as when something is mounted over it.
    fs::rename(&dir, folder.path().join("other")).unwrap();
    assert!(one.verify().unwrap_err().reason.contains("leds.lock"));
    assert_eq!(open(&mut one), None);
    append(&mut one, &events(8..=8), &mut None);
    assert_eq!(lines(&folder).0.len(), 1);
}
