//! A rollout: every gateway is replaced, one after the other, while events flow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Client, Received};
use super::datapoint;
use super::stack::{PATIENCE, Stack};

const SUBSCRIPTIONS: usize = 30;
/// Events that are sent at once, every few milliseconds.
const BATCH: i64 = 20;

/// The addresses at which clients find gateways, as behind a Service: those that are ready.
type Addresses = Arc<Mutex<Vec<String>>>;

/// `seq` plus one, of a topic with one partition.
fn after(event: &Value) -> String {
    let seq: u64 = event["seq"].as_str().unwrap().parse().unwrap();
    (seq + 1).to_string()
}

/// Reads the numbers 0, 1, 2, … up to `last`, with the `seq` of the last event at hand whenever it has to connect again.
async fn follow(
    addresses: Addresses,
    key: String,
    mut turn: usize,
    last: Arc<AtomicUsize>,
    reconnects: Arc<AtomicUsize>,
) {
    let mut start = "1".to_owned();
    let mut expected = 0;
    loop {
        turn += 1;
        let address = {
            let addresses = addresses.lock().unwrap();
            addresses[turn % addresses.len()].clone()
        };
        let Ok(mut client) = Client::connect_from(&address, &key, &start).await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        loop {
            if expected > last.load(Ordering::Relaxed) {
                return client.leave().await;
            }
            match client.next().await {
                Received::Event(event) => {
                    assert_eq!(event["datapoint"]["value"], expected);
                    expected += 1;
                    start = after(&event);
                }
                Received::Closed(code) => {
                    assert_eq!(code, 1001);
                    reconnects.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_of_three_gateways_under_load_loses_nothing() {
    let mut stack = Stack::start().await;
    let _operator = stack.operator("operator-0");
    let mut gateways = vec![];
    for number in 0..3 {
        gateways.push(stack.gateway(&format!("old-{number}")));
    }
    stack.subscriptions(SUBSCRIPTIONS, &json!({"eventTypes": ["datapoint"]}));
    let address = |gateway: &datastream_e2e::Program| gateway.address("stream").unwrap().to_owned();
    let addresses: Addresses = Arc::new(Mutex::new(gateways.iter().map(address).collect()));
    // Unknown while events are still to come.
    let last = Arc::new(AtomicUsize::new(usize::MAX));
    let reconnects = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for number in 0..SUBSCRIPTIONS {
        let key = stack.key(&format!("s{number}"));
        let (addresses, last) = (addresses.clone(), last.clone());
        clients.spawn(follow(addresses, key, number, last, reconnects.clone()));
    }

    let mut sent = 0;
    for number in 0..3 {
        // The new one first, as a Deployment with a surge does.
        let new = stack.gateway(&format!("new-{number}"));
        let lease = format!("datastream-gateway-new-{number}");
        let ready = "jsonpath={.metadata.annotations.datastream\\.dev/ready}";
        let namespace = super::NAMESPACE;
        stack.eventually(
            &["get", "lease", &lease, "-n", namespace, "-o", ready],
            |r| r == "true",
        );
        let mut old = gateways.remove(0);
        {
            let mut addresses = addresses.lock().unwrap();
            addresses.retain(|a| *a != address(&old));
            addresses.push(address(&new));
        }
        gateways.push(new);
        old.server.terminate();
        let deadline = Instant::now() + PATIENCE;
        while !old.server.has_ended() {
            assert!(Instant::now() < deadline, "{}", old.log());
            let events: Vec<_> = (sent..sent + BATCH).map(|n| datapoint("A", n)).collect();
            stack.produce(&events).await;
            sent += BATCH;
            sleep(Duration::from_millis(5)).await;
        }
    }
    last.store(sent as usize - 1, Ordering::Relaxed);
    // One more, for those who wait for what they have already.
    stack.produce(&[datapoint("A", sent)]).await;
    let finished = async {
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, finished)
        .await
        .expect("every client has every event in time");
    assert!(reconnects.load(Ordering::Relaxed) >= SUBSCRIPTIONS);
}
