//! Damage to the files between two runs, wherever it is: either it is said, or what counts as stored can be read back.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const STREAMS: [&str; 2] = ["a", "b"];
/// The largest change: a page of the database, and more.
const LONGEST: usize = 5000;

/// The files as a killed process left them, and how many events of each stream are stored in them.
struct Snapshot {
    database: Vec<u8>,
    log: Vec<u8>,
    sent: u64,
}

/// Moments in the life of a database: everything in the log, everything in both, more in the log than in the database, and closed.
static SNAPSHOTS: LazyLock<Vec<Snapshot>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let mut databases = Databases::default();
    let mut stores = STREAMS.map(|stream| store(&mut databases, &path, stream));
    for store in &mut stores {
        store.open().unwrap();
    }
    let mut sent = 0;
    let mut store_more = |stores: &mut [SqliteStore; 2]| {
        for _ in 0..12 {
            for store in stores.iter_mut() {
                store.append(&batch_of(sent + 1..=sent + 8)).unwrap();
            }
            sent += 8;
        }
        sent
    };
    let snapshot = |sent| Snapshot {
        database: std::fs::read(&path).unwrap(),
        log: std::fs::read(log_of(&path)).unwrap_or_default(),
        sent,
    };
    let mut snapshots = vec![snapshot(store_more(&mut stores))];
    let checkpoint = |store: &SqliteStore| {
        let state = store.database.turn();
        let connection = &state.open.as_ref().unwrap().connection;
        let rows = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2));
        assert!(rows.unwrap_or(0) > 0);
    };
    checkpoint(&stores[0]);
    snapshots.push(snapshot(snapshots[0].sent));
    snapshots.push(snapshot(store_more(&mut stores)));
    let sent = store_more(&mut stores);
    drop((stores, databases));
    snapshots.push(snapshot(sent));
    assert!(snapshots[3].log.is_empty() && snapshots[3].database.len() > 10 * 4096);
    snapshots
});

/// A number of events of a stream.
fn batch_of(numbers: impl IntoIterator<Item = u64>) -> Batch {
    let numbers: Vec<_> = numbers.into_iter().map(|n| n.to_string()).collect();
    let numbers: Vec<_> = numbers.iter().map(String::as_str).collect();
    batch(&numbers)
}

fn log_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

/// One change of a file's bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip {
        at: usize,
        bit: u8,
    },
    Cut {
        at: usize,
    },
    Hole {
        at: usize,
        len: usize,
    },
    Double {
        from: usize,
        len: usize,
        to: usize,
    },
    Overwrite {
        from: usize,
        len: usize,
        to: usize,
    },
    /// A page in the place of another one.
    Misplace {
        from: usize,
        to: usize,
    },
}

fn damages() -> impl Strategy<Value = Vec<(bool, Damage)>> {
    let at = any::<usize>;
    let len = 1_usize..LONGEST;
    let damage = prop_oneof![
        (at(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        at().prop_map(|at| Damage::Cut { at }),
        (at(), len.clone()).prop_map(|(at, len)| Damage::Hole { at, len }),
        (at(), len.clone(), at()).prop_map(|(from, len, to)| Damage::Double { from, len, to }),
        (at(), len, at()).prop_map(|(from, len, to)| Damage::Overwrite { from, len, to }),
        (at(), at()).prop_map(|(from, to)| Damage::Misplace { from, to }),
    ];
    vec((any::<bool>(), damage), 1..4)
}

impl Damage {
    /// Does it; numbers beyond the end count from the beginning again.
    fn apply(&self, bytes: &mut Vec<u8>) {
        const PAGE: usize = 4096;
        let size = bytes.len();
        if size == 0 {
            return;
        }
        let block = |from: usize, len: usize| (from % size)..(from % size + len).min(size);
        match *self {
            Self::Flip { at, bit } => bytes[at % size] ^= 1 << bit,
            Self::Cut { at } => bytes.truncate(at % size),
            Self::Hole { at, len } => bytes[block(at, len)].fill(0),
            Self::Double { from, len, to } => {
                let block = bytes[block(from, len)].to_vec();
                let to = to % size;
                bytes.splice(to..to, block);
            }
            Self::Overwrite { from, len, to } => {
                let to = block(to, len);
                let from = from % size;
                let len = to.len().min(size - from);
                bytes.copy_within(from..from + len, to.start);
            }
            Self::Misplace { from, to } => {
                let pages = size / PAGE;
                if pages > 0 {
                    let from = from % pages * PAGE;
                    bytes.copy_within(from..from + PAGE, to % pages * PAGE);
                }
            }
        }
    }
}

/// The rows that can be read, with the stream and number that they are stored under.
fn rows(path: &Path) -> rusqlite::Result<Vec<(Vec<u8>, i64)>> {
    let connection = Connection::open(path)?;
    let query = "SELECT CAST(stream AS BLOB), event_offset + 1, CAST(event AS BLOB) FROM events";
    let mut statement = connection.prepare(query)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Numbers of the first events of a stream that are not stored under its name and their number.
fn missing(path: &Path, stream: &str, count: u64) -> Vec<i64> {
    let found: BTreeSet<_> = rows(path).unwrap().into_iter().collect();
    let is_missing = |n: &i64| !found.contains(&(stream.as_bytes().to_vec(), *n));
    (1..=count as i64).filter(is_missing).collect()
}

/// Returns whether an error says which file, and what to do.
fn is_helpful(error: &StoreError, path: &Path) -> bool {
    error.reason.contains(&path.display().to_string())
        && error.reason.contains("restore it from a backup")
        && !error.reason.contains('\n')
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn damage_is_reported_or_stored_events_are_readable(
        moment in 0_usize..4, damages in damages(),
    ) {
        let snapshot = &SNAPSHOTS[moment];
        let (mut database, mut log) = (snapshot.database.clone(), snapshot.log.clone());
        for (is_log, damage) in &damages {
            damage.apply(if *is_log && !log.is_empty() { &mut log } else { &mut database });
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        std::fs::write(&path, &database).unwrap();
        if !log.is_empty() {
            std::fs::write(log_of(&path), &log).unwrap();
        }

        let mut databases = Databases::default();
        let mut stores = Vec::new();
        for stream in STREAMS {
            let mut store = store(&mut databases, &path, stream);
            match store.open() {
                Ok(opened) => stores.push((store, opened.position.map_or(0, |p| p.next(0)))),
                Err(error) => {
                    prop_assert!(is_helpful(&error, &path), "{error}");
                    drop((store, stores, databases));
                    prop_assert!(std::fs::read(&path).unwrap() == database, "{error}");
                    prop_assert!(std::fs::read(log_of(&path)).unwrap_or_default() == log, "{error}");
                    return Ok(());
                }
            }
        }
        for (store, position) in &stores {
            // A number that was changed into another one cannot be distinguished from a true one: of a position …
            prop_assume!(*position <= snapshot.sent);
            // … or of a row, one at a time.
            let missing = missing(&path, &store.stream, *position);
            prop_assert!(missing.len() <= damages.len(), "{missing:?} of {position}");
        }

        // Everything comes again, and is there in the end.
        let all = snapshot.sent + 1;
        for (store, position) in &mut stores {
            if let Err(error) = store.append(&batch_of(*position + 1..=all)) {
                prop_assert!(is_helpful(&error, &path), "{error}");
                return Ok(());
            }
        }
        for (store, _) in &stores {
            let missing = missing(&path, &store.stream, all);
            prop_assert!(missing.len() <= damages.len(), "{missing:?} of {all}");
        }
    }
}
