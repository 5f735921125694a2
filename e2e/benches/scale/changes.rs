//! Changes: routes that change by the thousand, and deliveries to the very streams whose routes do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use datastream_routing::{BucketHash, Route};

use crate::STREAMS;
use crate::feed::{EVERYBODY, own};
use crate::gateway::{Settings, filters};
use crate::options::Options;
use crate::routes::{objects, route};
use crate::stand::{Open, Stand, steady};

const SUBSCRIPTIONS: usize = 100_000;
/// Routes that change with each writing of an object: in a second, in which each of 256 is written once, these are 1,024.
const PER_OBJECT: usize = 4;
/// Time in which each object is written once.
const PASS: Duration = Duration::from_secs(1);
/// Turns for which changes go on: a minute, of those of 5 s.
const TURNS: u32 = 12;
/// Time in which the last change has to be there.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const SERVER: &str = "gateway";
pub(crate) const LOADS: [&str; 2] = ["no-changes", "changes"];
/// Name of a figure: routes that changed, a second.
pub(crate) const CHANGED: &str = "changed_routes_per_second";

/// A routing object: the name of its file, and what is in it by turns.
struct Object {
    name: String,
    contents: [Vec<u8>; 2],
}

pub(crate) fn round(stand: &mut Stand, options: &Options) {
    stand.split();
    let settings = Settings {
        tls: false,
        cores: stand.cores,
        subscriptions: STREAMS,
        visitors: SUBSCRIPTIONS - STREAMS,
        streams: STREAMS,
        partitions: 1,
        threads: None,
        addresses: 1,
    };
    let changing = changing();
    let mut open = stand.open(settings, SERVER, LOADS[0]);
    open.warm_up(steady(STREAMS));
    stand.distance.wait_until_near(|time| open.idle(time));
    let turn = open.measure_all(steady(STREAMS), options.turn);
    stand.add(SERVER, LOADS[0], &turn);
    stand.distance.wait_until_near(|time| open.idle(time));
    let stop = AtomicBool::new(false);
    let folder = open.routes().to_owned();
    let (turn, written) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(&folder, &changing, &stop));
        let turn = open.measure_all(steady(STREAMS), options.turn * TURNS);
        stop.store(true, Ordering::Relaxed);
        (turn, writing.join().unwrap())
    });
    await_all(&open, &folder, &changing);
    stand.add(SERVER, LOADS[1], &turn);
    let rate = (written.objects * PER_OBJECT) as f64 / written.seconds;
    stand.figures.add(SERVER, Some(LOADS[1]), CHANGED, rate);
}

/// All objects. Those subscriptions change that have streams, as far as an object has so many of them.
fn changing() -> Vec<Object> {
    let mut seen = BTreeMap::<_, usize>::new();
    let route = |number, changes| -> Route {
        let (own, other) = (own(number), format!("other-{number}"));
        let everybody = (number < STREAMS).then_some(EVERYBODY);
        let other = Some(other.as_str()).filter(|_| changes);
        route(
            number,
            filters(everybody.into_iter().chain([own.as_str()]).chain(other)),
        )
    };
    let before: Vec<Route> = (0..SUBSCRIPTIONS).map(|n| route(n, false)).collect();
    let after = before.iter().enumerate().map(|(number, before)| {
        let seen = seen.entry(before.id.bucket()).or_default();
        *seen += 1;
        route(number, *seen <= PER_OBJECT)
    });
    let after: Vec<Route> = after.collect();
    let after = objects(after.into_iter());
    let both = objects(before.into_iter()).zip(after);
    both.map(|((name, before), (_, after))| Object {
        name,
        // The gateway has the other one.
        contents: [after, before],
    })
    .collect()
}

/// Objects that were written, and the time that took.
struct Written {
    objects: usize,
    seconds: f64,
}

/// Writes one object after the other, until stopped at the end of a pass.
fn write(folder: &Path, changing: &[Object], stop: &AtomicBool) -> Written {
    let start = Instant::now();
    let each = PASS / changing.len() as u32;
    let (mut objects, mut due) = (0, start);
    for pass in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for object in changing {
            due += each;
            sleep(due.saturating_duration_since(Instant::now()));
            // As a whole: a gateway that reads meanwhile has the one or the other.
            let new = folder.join(".new");
            std::fs::write(&new, &object.contents[pass % 2]).unwrap();
            std::fs::rename(new, folder.join(&object.name)).unwrap();
            objects += 1;
        }
    }
    Written {
        objects,
        seconds: start.elapsed().as_secs_f64(),
    }
}

/// Waits until the gateway routes by what is in the folder.
fn await_all(open: &Open, folder: &Path, changing: &[Object]) {
    let expected = changing.iter().map(|object| {
        let content = std::fs::read(folder.join(&object.name)).unwrap();
        let bucket = object.name.trim_end_matches(".json").to_owned();
        (bucket, BucketHash::of(&content).to_string())
    });
    let expected: BTreeMap<String, String> = expected.collect();
    let give_up = Instant::now() + PATIENCE;
    while held(open) != expected {
        assert!(Instant::now() < give_up, "not all changes have come");
        sleep(Duration::from_millis(200));
    }
}

/// Hashes of what the gateway routes by.
fn held(open: &Open) -> BTreeMap<String, String> {
    let routing: serde_json::Value = serde_json::from_str(&open.admin("/routing")).unwrap();
    serde_json::from_value(routing["buckets"].clone()).unwrap()
}
