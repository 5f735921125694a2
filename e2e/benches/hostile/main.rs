//! Honest clients of a gateway under attack: how late their events come, compared to when it is quiet, and how soon probes are
//! answered, attack by attack, in one run.
//!
//! Gateway, honest clients and attackers are processes of their own; broker and producer are in this one. Before each attack it is
//! quiet for as long, so that the two are compared as the machine was then.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod attacks;
#[path = "../crowd/crowd.rs"]
mod crowd;
#[path = "../shared/routes.rs"]
mod routes;
#[path = "../shared/server.rs"]
mod server;

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use attacks::Attack;
use datastream_broker::{Broker, BrokerOptions};
use datastream_e2e::get;
use datastream_routing::{Field, Filter};
use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record};
use routes::key;
use server::Server;
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Honest streams; the first number is nobody's.
const STREAMS: usize = 1_001;
/// Streams of attackers, with keys of their own.
const ATTACKERS: usize = 2_000;
/// Events a second, to each stream.
const EVENTS_PER_SECOND: u64 = 10;
/// Seconds of a turn.
const TURN: u64 = 5;
/// Files that this process and the gateway may open.
const FILES: usize = 16_000;
/// Files that a gateway may open that is to run out of them.
const FEW_FILES: usize = 2_500;
const TOPIC: &str = "device-events";
/// The most that the 99th percentile of an attack may be of that without, and a probe take.
const RATIO: f64 = 2.0;
const PROBE: Duration = Duration::from_secs(1);

/// Honest clients and attackers are there for different devices: what an attacker is sent is no load that an honest client would be.
const DEVICES: [&str; 2] = ["all", "flood"];
/// Events for attackers, by which those that read nothing are full.
const FLOOD_EVENTS: usize = 80;
const FLOOD_BYTES: usize = 8 << 10;

fn filters(number: usize) -> Vec<Filter> {
    let device = DEVICES[usize::from(number >= STREAMS)];
    vec![Filter::default().with(Field::Dsn, [device.into()])]
}

fn record(device: &str, bytes: usize) -> Record {
    let value = format!(
        r#"{{"metadata":{{"oem_id":"0dfc7900","oem_model":"ledevb","dsn":"{device}","property_name":"n","event_type":"datapoint"}},"datapoint":{{{}{},"note":"{:x>bytes$}"}}}}"#,
        crowd::SENT,
        crowd::clock(),
        ""
    );
    Record {
        key: device.to_owned(),
        value: value.into_bytes(),
    }
}

/// A gateway with its honest clients.
struct Stand {
    _gateway: Server,
    crowd: Server,
    producer: Producer,
    address: String,
    admin: String,
    _routes: tempfile::TempDir,
}

impl Stand {
    async fn start(broker: &Broker, files: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        routes::write(dir.path(), STREAMS + ATTACKERS, filters);
        let target = FluvioTarget::new(broker.address().to_string(), TOPIC);
        let args = ["--handshakes-per-second=2000".to_owned()];
        let (gateway, bound) = Server::gateway(&target, dir.path(), &args, files);
        let host = |name: &str| bound[name].as_str().unwrap().replace("http://", "");
        let (address, admin) = (host("stream"), host("admin"));
        sleep(Duration::from_secs(3)).await;
        let url = format!("ws://{address}/stream?stream_key=");
        let me = std::env::current_exe().unwrap();
        let mut crowd = Server::start(&me, &["crowd".to_owned(), url], FILES);
        crowd.line();
        Self {
            _gateway: gateway,
            crowd,
            producer: Producer::new(target),
            address,
            admin,
            _routes: dir,
        }
    }

    /// Attackers, once they have begun.
    fn attackers(&self, attack: Attack) -> Server {
        let me = std::env::current_exe().unwrap();
        let attack = format!("{attack:?}");
        let me = me.display().to_string();
        // Their own work is no load on the gateway: they have the time that it and honest clients leave.
        let args = ["-n", "19", &me, "attack", &attack, &self.address].map(str::to_owned);
        let mut attackers = Server::start(Path::new("nice"), &args, FILES);
        attackers.line();
        attackers
    }

    /// Sends events for the length of a turn. Returns the 99th percentile of their ages in milliseconds, and the slowest probe.
    async fn turn(&mut self) -> (f64, Duration) {
        let before = self.crowd.ask("received")[0];
        let (stop, stopped) = mpsc::channel();
        let admin = self.admin.clone();
        let prober = std::thread::spawn(move || probe(&admin, &stopped));
        let mut ticks = interval(Duration::from_millis(1000 / EVENTS_PER_SECOND));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..TURN * EVENTS_PER_SECOND {
            ticks.tick().await;
            let records = [record(DEVICES[0], 200), record(DEVICES[1], FLOOD_BYTES)];
            self.producer.send(&records).await.unwrap();
        }
        let expected = before + TURN * EVENTS_PER_SECOND * (STREAMS as u64 - 1);
        for _ in 0..3_000 {
            if self.crowd.ask("received")[0] >= expected {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.crowd.ask("received")[0], expected, "events were lost");
        drop(stop);
        let slowest = prober.join().unwrap();
        (self.crowd.ask("ages")[1] as f64 / 1e3, slowest)
    }
}

/// Asks whether the gateway lives, again and again. Returns the longest time that an answer took.
fn probe(admin: &str, stopped: &mpsc::Receiver<()>) -> Duration {
    let mut slowest = Duration::ZERO;
    loop {
        let begun = Instant::now();
        let answer = get(admin, "/livez");
        let took = begun.elapsed();
        // One that fails is as bad as one that takes too long.
        let is_good = answer.is_ok_and(|(status, _)| status == 200);
        slowest = slowest.max(if is_good { took } else { PROBE * 100 });
        let pause = Duration::from_millis(200);
        if stopped.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
            return slowest;
        }
    }
}

/// Attacks, says when all have begun, and how much was done when it is asked.
async fn attack_until_asked_to_stop(attack: &str, address: &str) {
    let attack = Attack::ALL
        .into_iter()
        .find(|known| format!("{known:?}") == attack);
    let attack = attack.unwrap();
    let keys = |number: usize| key(STREAMS + number % ATTACKERS);
    let running = attacks::begin(attack, address, attack.whole(), keys);
    // Those that never come to an end have begun when some is done.
    let begun = running.reached(attack.whole().min(5_000) as u64);
    let _ = tokio::time::timeout(Duration::from_secs(15), begun).await;
    println!("begun");
    let mut questions = BufReader::new(stdin()).lines();
    while let Ok(Some(_)) = questions.next_line().await {
        println!("{}", running.done());
    }
}

fn verdict(what: &str, done: u64, quiet: f64, attacked: f64, probe: Duration) -> bool {
    let ratio = attacked / quiet;
    let is_good = ratio <= RATIO && probe <= PROBE;
    let verdict = if is_good { "PASS" } else { "MISS" };
    println!(
        "  {what:<16} {done:>9} done   p99 {quiet:>7.2} ms quiet, {attacked:>8.2} ms attacked: {ratio:>5.2}   slowest probe {:>6.1} ms   {verdict}",
        probe.as_secs_f64() * 1e3
    );
    is_good
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().collect();
    match &args[..] {
        [_, role, url] if role == "crowd" => {
            crowd::run(url).await;
            return ExitCode::SUCCESS;
        }
        [_, role, attack, address] if role == "attack" => {
            attack_until_asked_to_stop(attack, address).await;
            return ExitCode::SUCCESS;
        }
        _ => (),
    }
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    println!(
        "{} honest streams, {EVENTS_PER_SECOND} events/s to each (bars: p99 at most {RATIO} times that of a quiet gateway, probes within {PROBE:?})",
        STREAMS - 1
    );
    let mut stand = Stand::start(&broker, FILES).await;
    // Once for nothing.
    stand.turn().await;
    let mut good = true;
    for attack in Attack::ALL {
        let (quiet, _) = stand.turn().await;
        let mut attackers = stand.attackers(attack);
        if attack == Attack::UnreadStreams {
            for _ in 0..FLOOD_EVENTS {
                let flood = [record(DEVICES[1], FLOOD_BYTES)];
                stand.producer.send(&flood).await.unwrap();
            }
            sleep(Duration::from_secs(5)).await;
        }
        let (attacked, probe) = stand.turn().await;
        let done = attackers.ask("done")[0];
        good &= verdict(&format!("{attack:?}"), done, quiet, attacked, probe);
        drop(attackers);
        sleep(Duration::from_secs(2)).await;
    }
    drop(stand);
    let mut stand = Stand::start(&broker, FEW_FILES).await;
    stand.turn().await;
    let (quiet, _) = stand.turn().await;
    let mut attackers = stand.attackers(Attack::Idle);
    let (attacked, probe) = stand.turn().await;
    let done = attackers.ask("done")[0];
    good &= verdict("OutOfFiles", done, quiet, attacked, probe);
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
