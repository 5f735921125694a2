//! Several gateways: a subscription has one stream among all of them, and its status says where.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use datastream_e2e::Program;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Client, Received};
use super::stack::Stack;
use super::{assert_no_forbidden, datapoint, leds};

/// Longest time for which a stream may be refused after its gateway was killed.
const LOCKED_OUT: Duration = Duration::from_secs(20);

fn connection(stack: &Stack, expected: impl Fn(&str) -> bool) {
    let path =
        "jsonpath={.status.connection.state} {.status.connection.pod} {.status.connection.lastSeq}";
    stack.eventually(&["get", "dss", "leds", "-o", path], expected);
}

fn claims(stack: &Stack, output: &str, expected: impl Fn(&str) -> bool) {
    let selector = "datastream.dev/component=stream";
    stack.eventually(
        &["get", "leases", "-A", "-l", selector, "-o", output],
        expected,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_on_one_gateway_and_the_status_says_which() {
    let mut stack = Stack::start().await;
    let operator = stack.operator("operator-0");
    let gateways = [stack.gateway("gateway-0"), stack.gateway("gateway-1")];
    let [first, second] = gateways
        .each_ref()
        .map(|g| g.address("stream").unwrap().to_owned());
    stack.apply(&leds("A"));
    stack.wait_ready("leds");
    let key = stack.key("leds");

    // A client that answers keeps its stream; the other one gets a refusal that names it.
    let mut stream = Client::connect(&first, &key).await.ok().unwrap();
    stack.produce(&[datapoint("A", 1)]).await;
    assert_eq!(stream.value().await, 1);
    let answering = tokio::spawn(stream.answering());
    assert_eq!(Client::connect(&second, &key).await.err(), Some(409));
    connection(&stack, |said| said.starts_with("Online gateway-0"));
    // The claim says how far the stream has come; from there it goes into the status with the next change.
    let last = "jsonpath={.items[*].metadata.annotations.datastream\\.dev/last-seq}";
    claims(&stack, last, |seq| seq == "1");
    let columns = stack.kubectl(&["get", "dss", "leds"]);
    assert!(columns.contains("Online"), "{columns}");
    answering.abort();
    connection(&stack, |said| said == "Offline  1");

    // One that is silent loses it to the next one.
    let mut silent = Client::connect_until(&first, &key, 101).await.unwrap();
    let next = Client::connect(&second, &key).await.ok().unwrap();
    assert_eq!(silent.next().await, Received::Closed(1008));
    let next = tokio::spawn(next.answering());
    connection(&stack, |said| said.starts_with("Online gateway-1"));

    // A gateway that is killed is given up, and its claim with it.
    let [first_gateway, second_gateway] = gateways;
    drop(second_gateway.server);
    let killed = Instant::now();
    let stream = Client::connect_until(&first, &key, 101).await.unwrap();
    assert!(killed.elapsed() < LOCKED_OUT, "{:?}", killed.elapsed());
    let _ = next.await;
    let answering = tokio::spawn(stream.answering());
    connection(&stack, |said| said.starts_with("Online gateway-0"));

    // When it is stopped, a gateway gives its streams back at once.
    first_gateway.server.terminate();
    assert_eq!(answering.await.unwrap(), 1001);
    connection(&stack, |said| said.starts_with("Offline"));
    claims(&stack, "name", str::is_empty);
    assert_no_forbidden(&[&operator, &first_gateway]);
}

/// The clients of one subscription, and what they found.
struct Contest {
    key: String,
    addresses: Vec<String>,
    open: AtomicU32,
    connects: Arc<AtomicU32>,
    overlaps: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    /// Set when a stream was opened since it was last cleared.
    served: AtomicBool,
}

impl Contest {
    /// Connects and leaves again and again, to another gateway each time.
    async fn contend(self: Arc<Self>, seed: usize) {
        for turn in seed.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let address = &self.addresses[turn % self.addresses.len()];
            let Ok(mut stream) = Client::connect(address, &self.key).await else {
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            if self.open.fetch_add(1, Ordering::SeqCst) > 0 {
                self.overlaps.fetch_add(1, Ordering::Relaxed);
            }
            self.connects.fetch_add(1, Ordering::Relaxed);
            self.served.store(true, Ordering::Relaxed);
            stream.stays_for(Duration::from_millis(100)).await;
            self.open.fetch_sub(1, Ordering::SeqCst);
            stream.leave().await;
        }
    }
}

/// 50 subscriptions that two clients each want, on three gateways, one of which is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_reconnects_never_overlap_and_a_killed_gateway_locks_no_client_out() {
    const SUBSCRIPTIONS: usize = 50;
    let mut stack = Stack::start().await;
    let _operator = stack.operator("operator-0");
    let mut gateways: Vec<Program> = ["gateway-0", "gateway-1", "gateway-2"]
        .map(|pod| stack.gateway(pod))
        .into();
    stack.subscriptions(SUBSCRIPTIONS, &json!({"eventTypes": ["datapoint"]}));
    let keys = stack.kubectl(&[
        "get",
        "secrets",
        "-l",
        "datastream.dev/component=stream-key",
        "-o",
        "go-template={{range .items}}{{.data.stream_key | base64decode}}\n{{end}}",
    ]);
    let addresses: Vec<_> = gateways
        .iter()
        .map(|g| g.address("stream").unwrap().to_owned())
        .collect();
    let (connects, overlaps) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let contests: Vec<_> = keys
        .lines()
        .map(|key| {
            Arc::new(Contest {
                key: key.to_owned(),
                addresses: addresses.clone(),
                open: AtomicU32::new(0),
                connects: connects.clone(),
                overlaps: overlaps.clone(),
                stop: stop.clone(),
                served: AtomicBool::new(false),
            })
        })
        .collect();
    assert_eq!(contests.len(), SUBSCRIPTIONS);
    let mut clients = JoinSet::new();
    for (number, contest) in contests.iter().enumerate() {
        clients.spawn(contest.clone().contend(number));
        clients.spawn(contest.clone().contend(number + 1));
    }
    let deadline = Instant::now() + super::PATIENCE;
    while connects.load(Ordering::Relaxed) < 1000 {
        assert!(Instant::now() < deadline, "only {connects:?} connects");
        sleep(Duration::from_millis(100)).await;
    }
    drop(gateways.remove(0).server);
    let killed = Instant::now();
    // Those that were open on it are not counted as being served after it.
    sleep(Duration::from_millis(500)).await;
    for contest in &contests {
        contest.served.store(false, Ordering::Relaxed);
    }
    while !contests.iter().all(|c| c.served.load(Ordering::Relaxed)) {
        assert!(killed.elapsed() < LOCKED_OUT, "somebody is locked out");
        sleep(Duration::from_millis(100)).await;
    }
    stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    let logs: Vec<_> = gateways.iter().map(Program::log).collect();
    let lines = logs.iter().flat_map(|log| log.lines());
    let warnings: Vec<_> = lines.filter(|line| line.contains("WARN")).collect();
    assert_eq!(
        overlaps.load(Ordering::Relaxed),
        0,
        "of {connects:?} connects; {warnings:#?}"
    );
}
