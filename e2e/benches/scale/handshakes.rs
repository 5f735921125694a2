//! Handshakes: clients that come and go, as fast as asked, and the streams that are open meanwhile.

use crate::STREAMS;
use crate::figures;
use crate::gateway::Settings;
use crate::options::Options;
use crate::stand::{Stand, steady};
use crate::visitors::{self, Outcome, Visitors};

/// Handshakes a second: none first, more than there is time for last.
pub(crate) const RATES: [usize; 5] = [0, 1_000, 5_000, 10_000, 20_000];
pub(crate) const SERVER: &str = "gateway";
/// Subscriptions of those that come and go, enough for none to be wanted while its last stream is about to close.
const VISITORS: usize = 20_000;

/// Names of figures: handshakes a second that were answered 101; answers with another status, by status; those that were not answered.
pub(crate) const REACHED: &str = "handshakes_per_second";
pub(crate) const REFUSED: &str = "handshakes_refused";
pub(crate) const UNANSWERED: &str = "handshakes_unanswered";
/// Milliseconds from connecting to the answer.
pub(crate) const HANDSHAKE_P50: &str = "handshake_p50_ms";
pub(crate) const HANDSHAKE_P99: &str = "handshake_p99_ms";
/// Of the streams that are open all the time: those that were closed, and deliveries that did not come, or twice.
pub(crate) const CLOSED: &str = "streams_closed";
pub(crate) const WRONG: &str = "deliveries_missing";

/// The name of the load.
pub(crate) fn load(rate: usize) -> String {
    format!("{rate}-handshakes")
}

pub(crate) fn round(stand: &mut Stand, options: &Options) {
    stand.share();
    let settings = Settings {
        tls: false,
        cores: None,
        subscriptions: STREAMS,
        visitors: VISITORS,
        streams: STREAMS + 2 * visitors::MOST,
        partitions: 1,
        threads: None,
        addresses: 8,
    };
    let mut open = stand.open(settings, SERVER, &load(0));
    open.warm_up(steady(STREAMS));
    let mut visitors = Visitors::new(&open.endpoint, STREAMS..STREAMS + VISITORS);
    let mut closed = 0;
    // CPU time of the gateway for the deliveries alone, in seconds.
    let mut alone = 0.0;
    for rate in RATES {
        let load = load(rate);
        stand.distance.wait_until_near(|time| open.idle(time));
        let (turn, outcome) = std::thread::scope(|scope| {
            let coming = scope.spawn(|| visitors.come(rate, options.turn));
            let turn = open.measure(steady(STREAMS), options.turn);
            (turn, coming.join().unwrap())
        });
        stand.add(SERVER, &load, &turn);
        let mut add = |figure: &str, value| stand.figures.add(SERVER, Some(&load), figure, value);
        add(CLOSED, (turn.closed - closed) as f64);
        add(WRONG, turn.wrong as f64);
        closed = turn.closed;
        if rate == 0 {
            alone = turn.cpu;
            continue;
        }
        let Outcome {
            opened,
            refused,
            unanswered,
            seconds,
            times,
        } = outcome;
        add(REACHED, opened as f64 / seconds);
        add(UNANSWERED, unanswered as f64);
        add(REFUSED, refused.values().sum::<u64>() as f64);
        for (status, count) in refused {
            add(&format!("{REFUSED}_{status}"), count as f64);
        }
        let time = |quantile: f64| {
            let time = times.get((times.len() as f64 * quantile) as usize);
            time.map_or(f64::NAN, |time| f64::from(*time) / 1000.0)
        };
        add(HANDSHAKE_P50, time(0.5));
        add(HANDSHAKE_P99, time(0.99));
        let each = (turn.cpu - alone) * 1000.0 / opened as f64;
        add(figures::HANDSHAKE, each);
    }
}
