//! Streams: memory of one, and CPU of a delivery, as there are more of them, at the same rate of deliveries.

use crate::RAW;
use crate::gateway::Settings;
use crate::options::Options;
use crate::stand::{Open, Stand, steady};

/// Numbers of streams; the others are compared with the first.
pub(crate) const NUMBERS: [usize; 3] = [1_000, 10_000, 18_000];
/// Without TLS, and with it.
pub(crate) const SERVERS: [&str; 2] = ["gateway", "gateway-tls"];
/// The server that shows how much the kernel alone takes, as there are more sockets.
pub(crate) const FLOOR: &str = RAW;

/// The name of the load.
pub(crate) fn load(streams: usize) -> String {
    format!("{streams}-streams")
}

pub(crate) fn round(stand: &mut Stand, options: &Options) {
    stand.split();
    for streams in NUMBERS {
        let load = load(streams);
        let open = stand.open_raw((stand.cores, 1, streams), FLOOR, &load);
        turn(stand, open, (FLOOR, streams), options);
        for server in SERVERS {
            let settings = Settings {
                tls: server == SERVERS[1],
                cores: stand.cores,
                subscriptions: streams,
                visitors: 0,
                streams,
                partitions: 1,
                threads: None,
                addresses: 4,
            };
            let open = stand.open(settings, server, &load);
            turn(stand, open, (server, streams), options);
        }
    }
}

/// Measures a server and ends it: the next one needs its files.
fn turn(stand: &mut Stand, mut open: Open, (server, streams): (&str, usize), options: &Options) {
    let pattern = steady(streams);
    open.warm_up(pattern);
    stand.distance.wait_until_near(|time| open.idle(time));
    let turn = open.measure_all(pattern, options.turn);
    stand.add(server, &load(streams), &turn);
}
