//! Cores: deliveries a second of a saturated gateway that has a part of one core, and one that has the same part of each of two; and the
//! same of raw loops, which share nothing but the caches and the kernel.

use crate::cpu_cgroup::CpuCgroup;
use crate::figures::{Figures, RATE};
use crate::gateway::Settings;
use crate::options::Options;
use crate::pattern::{Pattern, Receivers};
use crate::stand::{Open, Stand};
use crate::{RAW, STREAMS};

/// Partitions of the topic.
const PARTITIONS: [u32; 3] = [2, 4, 8];
/// The gateway on one core, and on two.
pub(crate) const SERVERS: [&str; 2] = ["gateway-1-core", "gateway-2-cores"];
/// A raw loop of one thread on one core, and of two threads on two.
pub(crate) const FLOORS: [&str; 2] = ["raw-1-core", "raw-2-cores"];
/// Share of the periods in which a server would have used more time than its quota.
pub(crate) const THROTTLED: &str = "quota_used_up";
/// The least such share with which the quota is what bounded the server.
const USED_UP: f64 = 0.9;
/// Events on the way to all streams of a gateway: enough for the time in which it has to wait for its next period.
const WINDOW: u64 = 512;
/// The same of a raw loop, which writes each event by itself, however many there are, and would be busy with more for half a minute.
const RAW_WINDOW: u64 = 64;
/// Events on the way that go to one stream each, of gateways and raw loops: so few that a write has one event. Where several go into a
/// write, the busier of two gateways would seem the faster one.
const OWN_WINDOW: u64 = 2 * STREAMS as u64;

/// Events to all, and each to one stream.
const fn patterns(window: u64) -> [(&'static str, Pattern); 2] {
    let all = Pattern {
        to: Receivers::All,
        interval: 0,
        burst: 1,
        window,
    };
    let own = Pattern {
        to: Receivers::One,
        window: OWN_WINDOW,
        ..all
    };
    [("all", all), ("own", own)]
}

/// The name of the load.
fn load(name: &str, partitions: u32) -> String {
    format!("{name}-{partitions}-partitions")
}

/// All loads of gateways.
pub(crate) fn loads() -> impl Iterator<Item = String> {
    let of = |partitions| patterns(WINDOW).map(|(name, _)| load(name, partitions));
    PARTITIONS.into_iter().flat_map(of)
}

/// All servers and loads.
pub(crate) fn rows() -> impl Iterator<Item = (&'static str, String)> {
    let gateways = loads().flat_map(|load| SERVERS.map(|server| (server, load.clone())));
    let floors = patterns(RAW_WINDOW)
        .into_iter()
        .flat_map(|(name, _)| FLOORS.map(|server| (server, name.to_owned())));
    gateways.chain(floors)
}

/// Returns whether the quota is what bounded the gateway, on one core and on two. If not, the load or another process was.
pub(crate) fn used_up(figures: &Figures, load: &str) -> bool {
    SERVERS.iter().all(|server| {
        let share = figures.get(server, Some(load), THROTTLED);
        share.is_some_and(|share| share.median >= USED_UP)
    })
}

pub(crate) fn round(stand: &mut Stand, options: &Options) {
    let Some(cores) = stand.cores else { return };
    stand.share();
    let of = |used: usize| (used == 1).then_some(cores);
    for partitions in PARTITIONS {
        for (server, used) in SERVERS.into_iter().zip(1..) {
            let settings = Settings {
                tls: false,
                cores: of(used),
                subscriptions: STREAMS,
                visitors: 0,
                streams: STREAMS,
                partitions,
                threads: None,
                addresses: 1,
            };
            let open = stand.open(settings, server, &format!("{partitions}-partitions"));
            let load = |name: &str| load(name, partitions);
            turns(stand, open, (server, used), (WINDOW, load), options);
        }
    }
    for (server, used) in FLOORS.into_iter().zip(1..) {
        let open = stand.open_raw((of(used), used, STREAMS), server, RAW);
        turns(
            stand,
            open,
            (server, used),
            (RAW_WINDOW, str::to_owned),
            options,
        );
    }
}

/// Loads that were measured, without a bar: the gateway has not used up its quota.
pub(crate) fn not_judged(figures: &Figures) -> Vec<String> {
    let measured = |load: &String| figures.get(SERVERS[1], Some(load), RATE).is_some();
    loads()
        .filter(|load| measured(load) && !used_up(figures, load))
        .collect()
}

/// Measures a server under each load, and ends it.
fn turns(
    stand: &mut Stand,
    mut open: Open,
    (server, used): (&str, usize),
    (window, load): (u64, impl Fn(&str) -> String),
    options: &Options,
) {
    // It has chosen its number of threads by the cores, not by the quota.
    let cgroup = match CpuCgroup::new(used * options.quota, open.pid()) {
        Ok(cgroup) => cgroup,
        Err(reason) => {
            println!("no CPU cgroup, so cores are left out: {reason}");
            return;
        }
    };
    for (name, pattern) in patterns(window) {
        open.warm_up(pattern);
        stand.distance.wait_until_near(|time| open.idle(time));
        let before = cgroup.periods();
        let turn = open.measure_all(pattern, options.turn);
        let after = cgroup.periods();
        let load = load(name);
        stand.add(server, &load, &turn);
        let throttled = (after.throttled - before.throttled) / (after.all - before.all);
        stand.figures.add(server, Some(&load), THROTTLED, throttled);
    }
    // The cgroup can be removed once the server has ended.
    drop(open);
    drop(cgroup);
}
