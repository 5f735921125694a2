//! The data plane: broker, gateways and collectors as processes, two topics, clients of every profile.

mod harness;
mod schedule;

use std::sync::{Arc, Mutex};

use datastream_source::cursors_topic;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use self::harness::Harness;
use self::schedule::schedule;
use crate::checker::{History, Interest};
use crate::client_profile::KINDS;
use crate::collectors;
use crate::gateways::Gateway;
use crate::recorder::Recorder;
use crate::report::Report;
use crate::routes::{DENIED, ROAMING, key};
use crate::settings::Round;
use crate::topic;
use crate::verify::{Clients, nothing_left};

/// Partitions of each topic.
const TOPICS: [u32; 2] = [1, 3];
const GATEWAYS_PER_TOPIC: usize = 2;
/// Subscriptions that storms of clients use.
const STORM: usize = 40;
/// Events that are sent at once, at most.
const BATCH: u64 = 14;

/// Every kind twice: at home and roaming.
fn clients() -> usize {
    2 * KINDS.len()
}

fn name_of(client: usize) -> String {
    let roams = if client < KINDS.len() { "" } else { ROAMING };
    let client_profile = KINDS[client % KINDS.len()];
    format!("{client_profile:?}{roams}").to_lowercase()
}

/// Returns the devices that a client asks for: all, half of them, or one.
fn mask(client: usize) -> u8 {
    [0xff, 0x0f, 0xff, 0x3c, 0x02][client % 5]
}

/// Returns the devices of which a client gets events: what it asks for and is not denied.
fn granted(client: usize) -> u8 {
    let denied = if client < KINDS.len() { 0 } else { DENIED };
    mask(client) & !denied
}

fn recorders(harness: &Harness, clients: &mut Clients, rng: &mut StdRng) {
    for (topic, environment) in harness.environments.iter().enumerate() {
        for client in 0..self::clients() {
            let name = name_of(client);
            let client_profile = KINDS[client % KINDS.len()];
            let history = History {
                client: format!("{name} of topic {topic}"),
                contract: client_profile.contract(),
                interest: Interest::exactly(granted(client)),
                sessions: vec![],
            };
            let recorder = Recorder {
                environment: environment.clone(),
                key: key(&name),
                client_profile,
                roams: client >= KINDS.len(),
                home: rng.random_range(0..environment.endpoints.len()),
                history: Arc::new(Mutex::new(history)),
                refusals: clients.refusals(),
                rng: StdRng::seed_from_u64(rng.random()),
                phase: clients.phase(),
            };
            clients.spawn(topic, recorder);
        }
    }
}

/// One round.
pub(crate) async fn run(round: Round) {
    let report = Report::new(round.clone());
    let mut rng = StdRng::seed_from_u64(round.seed);
    let mut harness = report.expect("start", Harness::start(&report, &round).await);
    let clocks = harness.gateways.iter().all(Gateway::has_clock);
    if !clocks {
        report
            .say("libfaketime is not installed: no clock is set (scripts/install.sh installs it)");
    }
    let length = round.faults();
    let steps = schedule(&mut rng, length, &harness);
    let faults = steps.iter().filter(|s| s.begins).count();
    let mut clients = Clients::new();
    let mut guides = tokio::task::JoinSet::new();
    for collector in &mut harness.collectors {
        let traffic = harness.environments[collector.topic].traffic.clone();
        let begun = collector.begun(|| traffic.next()).await;
        report.expect("a collector", begun);
        let rng = StdRng::seed_from_u64(rng.random());
        guides.spawn(collector.guide().run(rng, clients.phase()));
    }
    let refusing = harness.refuse_some();
    report.expect("the tables", refusing);
    report.say("everything runs");
    let mut producers = tokio::task::JoinSet::new();
    for environment in &harness.environments {
        let rng = StdRng::seed_from_u64(rng.random());
        let (traffic, phase) = (environment.traffic.clone(), clients.phase());
        producers.spawn(traffic.run(environment.topic.clone(), BATCH, rng, phase));
    }
    recorders(&harness, &mut clients, &mut rng);
    report
        .carry_out(steps, length, |step| harness.apply(step))
        .await;
    report.say("all is healed; waiting for what is left");
    clients.recover();
    producers.join_all().await;
    let logs = report.expect("reading the topics", harness.logs(report.dir()).await);
    for (environment, log) in harness.environments.iter().zip(&logs) {
        match environment.traffic.check(log) {
            Ok(figures) => report.say(format!("{} partitions: {figures}", environment.partitions)),
            Err(violation) => report.fail(violation),
        }
    }
    let stored = collectors::settle(&harness.collectors, &report, &logs).await;
    let figures = clients.settle(&report, &logs).await;
    guides.join_all().await;
    report.say(format!(
        "{faults} faults; {figures}; {stored} events stored by collectors"
    ));
    for collector in &mut harness.collectors {
        collector.process.terminate();
    }
    nothing_left(&report, &harness.gateways).await;
    if let Some(excess) = harness.gateways.iter().find_map(Gateway::excess) {
        report.fail(excess);
    }
    if let Some(crash) = harness.crash() {
        report.fail(crash);
    }
    if let Some(address) = &round.fluvio {
        for environment in &harness.environments {
            let events = &environment.topic.topic;
            for topic in [events, &cursors_topic(events)] {
                report.expect("clean up", topic::delete(address, topic).await);
            }
        }
    }
}
