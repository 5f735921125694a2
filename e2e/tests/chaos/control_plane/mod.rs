//! The control plane: a real API server, operators and gateways that reach it through a proxy each, subscriptions that
//! come, change and go all the time, clients that contend for streams. In the end everything must be as the subscriptions say.

mod disruptions;
mod harness;
mod meddling;
mod schedule;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use datastream_source::fluvio::producer::Producer;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use self::harness::{Harness, TOPIC};
use self::meddling::LATER;
use self::schedule::schedule;
use crate::checker::{History, Interest};
use crate::client::{Client, Heard, Refusal};
use crate::client_profile::ClientProfile;
use crate::contention::{CONTENDED, Contention};
use crate::dialect::Dialect;
use crate::door::Door;
use crate::gateways::Gateway;
use crate::network::Network;
use crate::recorder::Recorder;
use crate::records;
use crate::report::Report;
use crate::settings::Round;
use crate::subscriptions::Wanted;
use crate::topic;
use crate::verify::{Clients, nothing_left};

const OPERATORS: usize = 2;
const GATEWAYS: usize = 3;
const BATCH: u64 = 6;
const PATIENCE: Duration = Duration::from_mins(2);
/// The longest pause of an operator before it writes a routing object again, with all of its jitter.
const WRITTEN_AGAIN: Duration = Duration::from_mins(1);

/// Clients of subscriptions that stay as they are.
const STABLE: [(ClientProfile, u8); 5] = [
    (ClientProfile::Steady, 0xff),
    (ClientProfile::Steady, 0x11),
    (ClientProfile::Flapping, 0xff),
    (ClientProfile::Replaying, 0x0f),
    (ClientProfile::Slow, 0x33),
];
/// The client of one whose filter is widened and narrowed all the time: devices that it always has, and at most.
const EDITED: (&str, u8, u8) = ("edited", 0x0f, 0x7f);
/// The device whose events access rules deny, though every recorded subscription asks for them.
const DENIED: u8 = 0x80;
/// Subscriptions that come and go.
const CHURN: usize = 6;

fn recorder(
    harness: &Harness,
    clients: &Clients,
    rng: &mut StdRng,
    (name, client_profile): (&str, ClientProfile),
    interest: Interest,
) -> anyhow::Result<Recorder> {
    let history = History {
        client: name.to_owned(),
        contract: client_profile.contract(),
        interest,
        sessions: vec![],
    };
    Ok(Recorder {
        environment: harness.environment.clone(),
        key: harness.subscriptions.key(name)?,
        client_profile,
        roams: true,
        home: 0,
        history: Arc::new(Mutex::new(history)),
        refusals: clients.refusals(),
        rng: StdRng::seed_from_u64(rng.random()),
        phase: clients.phase(),
    })
}

/// The subscriptions whose clients record.
fn recorded() -> Vec<(String, ClientProfile, Interest)> {
    let stable = STABLE
        .iter()
        .enumerate()
        .map(|(number, (client_profile, devices))| {
            let interest = Interest::exactly(*devices & !DENIED);
            (format!("stable-{number}"), *client_profile, interest)
        });
    let (name, must, may) = EDITED;
    let edited = (
        name.to_owned(),
        ClientProfile::Steady,
        Interest { must, may },
    );
    stable.chain([edited]).collect()
}

/// One round.
pub(crate) async fn run(round: Round) {
    let report = Report::new(round.clone());
    let mut rng = StdRng::seed_from_u64(round.seed);
    let mut harness = report.expect("start", Harness::start(report.dir()).await);
    let length = round.faults();
    let clocks = harness.gateways.iter().all(Gateway::has_clock);
    let cuts = report.expect("the network", Network::get()).is_own();
    let steps = schedule(&mut rng, length, (clocks, cuts));
    let faults = steps.iter().filter(|s| s.begins).count();
    for (name, _, interest) in recorded() {
        let wanted = Wanted {
            devices: interest.must | DENIED,
            suspended: false,
        };
        report.expect(&name, harness.subscriptions.want(&name, Some(wanted)));
    }
    let wanted = Wanted {
        devices: 0xff,
        suspended: false,
    };
    report.expect(LATER, harness.subscriptions.want(LATER, Some(wanted)));
    let mut clients = Clients::new();
    for (name, client_profile, interest) in recorded() {
        report.expect(&name, harness.subscriptions.wait_ready(&name));
        let recorder = recorder(
            &harness,
            &clients,
            &mut rng,
            (&name, client_profile),
            interest,
        );
        clients.spawn(0, report.expect(&name, recorder));
    }
    let mut keys = vec![];
    for number in 0..CONTENDED {
        let name = format!("contended-{number}");
        let wanted = Wanted {
            devices: 0xff,
            suspended: false,
        };
        report.expect(&name, harness.subscriptions.want(&name, Some(wanted)));
        report.expect(&name, harness.subscriptions.wait_ready(&name));
        keys.push(report.expect(&name, harness.subscriptions.key(&name)));
    }
    let contention = Contention::start(&keys, &harness.environment.endpoints, &mut rng);
    report.say("everything runs");
    let producing = tokio::spawn({
        let (traffic, topic) = (
            harness.environment.traffic.clone(),
            harness.environment.topic.clone(),
        );
        let rng = StdRng::seed_from_u64(rng.random());
        traffic.run(topic, BATCH, rng, clients.phase())
    });
    report
        .carry_out(steps, length, |step| harness.apply(step))
        .await;
    report.expect("healing", harness.heal());
    report.say("all is healed; waiting for what is left");
    let contested = contention.settle(&report, &harness.disruptions.all).await;
    report.say(contested);
    clients.recover();
    report.expect("the producer", producing.await.context("it panicked"));
    let log = topic::read(harness.environment.topic.cluster.clone(), TOPIC).await;
    let log = log.and_then(|log| topic::join(&[log], &BTreeSet::new()));
    let log = report.expect("reading the topic", log);
    match harness.environment.traffic.check(&log) {
        Ok(figures) => report.say(figures),
        Err(violation) => report.fail(violation),
    }
    let figures = clients.settle(&report, &[log]).await;
    let converged = converge(&mut harness).await;
    report.expect("convergence", converged);
    nothing_left(&report, &harness.gateways).await;
    report.expect("the programs", harness.watch());
    report.say(format!(
        "{faults} faults and changes, operators ended by themselves {} times; {figures}",
        harness.ended
    ));
}

/// Every subscription is ready, and served by every gateway as it is now; deleted ones are served by none.
async fn converge(harness: &mut Harness) -> anyhow::Result<()> {
    let wanted = harness.subscriptions.wanted.clone();
    for (name, wanted) in wanted {
        let Some(wanted) = wanted else { continue };
        let deadline = Instant::now() + PATIENCE;
        // An operator that has just ended is started again.
        while let Err(error) = harness.subscriptions.wait_ready(&name) {
            harness.watch()?;
            anyhow::ensure!(Instant::now() < deadline, error);
        }
        let key = harness.subscriptions.key(&name)?;
        for gateway in &harness.gateways {
            let endpoint = gateway.endpoint.door().context("an address")?;
            if wanted.suspended {
                refused(&endpoint, &key, 403).await?;
            } else {
                let devices = wanted.devices & !DENIED;
                let exactly = exactly(harness, &endpoint, &key, devices).await;
                exactly.with_context(|| format!("{name} on {}", gateway.process.name))?;
            }
        }
    }
    // Subscriptions that are ready do not say that others are gone: the routing object of one may wait to be written again.
    let deadline = Instant::now() + WRITTEN_AGAIN;
    for key in &harness.subscriptions.revoked {
        for gateway in &harness.gateways {
            let endpoint = gateway.endpoint.door().context("an address")?;
            while let Err(error) = refused(&endpoint, key, 401).await {
                anyhow::ensure!(Instant::now() < deadline, error);
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    Ok(())
}

/// A client is refused with this status.
async fn refused(endpoint: &Door, key: &str, expected: u16) -> anyhow::Result<()> {
    match Client::connect(endpoint, &format!("stream_key={key}"), Dialect::Dss, false).await {
        Err(Refusal::Status(status, _)) if status == expected => Ok(()),
        other => anyhow::bail!("{:?} instead of {expected}", other.err()),
    }
}

/// A new stream gets exactly the events of these devices.
async fn exactly(harness: &Harness, endpoint: &Door, key: &str, devices: u8) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut client = loop {
        match Client::connect(
            endpoint,
            &format!("stream_key={key}&markers=1"),
            Dialect::Dss,
            false,
        )
        .await
        {
            Ok(client) => break client,
            // The stream before may not have gone yet.
            Err(Refusal::Status(409 | 503, _) | Refusal::Unreachable) => (),
            Err(other) => anyhow::bail!("{other:?}"),
        }
        anyhow::ensure!(Instant::now() < deadline, "no stream");
        sleep(Duration::from_millis(50)).await;
    };
    let traffic = &harness.environment.traffic;
    let first = traffic.next();
    let mut producer = Producer::new(harness.environment.topic.clone());
    traffic.send(&mut producer, 40).await;
    let wants = |n: &u64| records::device(*n).is_some_and(|d| devices & (1 << d) != 0);
    let expected: Vec<_> = (first..traffic.next()).filter(wants).collect();
    let mut got = vec![];
    while got.len() < expected.len() && Instant::now() < deadline {
        match client.next(Duration::from_secs(10)).await {
            Heard::Heartbeat => client.answer().await,
            Heard::Frame(frame) => {
                let (_, body) = frame.split_once('|').context("a frame")?;
                // What was produced before it was live is not asked for, and a marker is no event.
                got.extend(
                    records::read_body(body, false)
                        .map(|e| e.0)
                        .filter(|n| *n >= first),
                );
            }
            other => anyhow::bail!("{other:?} after {got:?} of {expected:?}"),
        }
    }
    client.leave().await;
    anyhow::ensure!(got == expected, "got {got:?} instead of {expected:?}");
    Ok(())
}
