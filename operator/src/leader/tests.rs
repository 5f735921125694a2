//! Elections in virtual time, over an API server that keeps one Lease.

use std::collections::BTreeSet;
use std::future::{Ready, ready};
use std::sync::{Arc, Condvar, Mutex};

use datastream_service_kube::api::REQUEST_TIMEOUT;
use datastream_service_kube::api_server::answered_by;
use hyper::{Method, StatusCode};
use k8s_openapi::jiff::SignedDuration;
use tokio::time::timeout;

use super::pulse::HUNG_AFTER;
use super::*;

/// An API server that keeps one Lease, and replaces it only if it is as the writer saw it.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>, Arc<Condvar>);

/// Longer than any wait that ends.
const PATIENCE: Duration = Duration::from_mins(1);

/// The namespace of the gateways.
const GATEWAYS: &str = "gateways";

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    is_down: bool,
    /// The last parts of the paths that were asked for.
    kinds: BTreeSet<String>,
}

impl Server {
    /// A Lease of somebody else, whose clock is off by so many seconds.
    fn write(&self, holder: &str, seconds: i64, duration: i64) {
        let renewed = Timestamp::now() + SignedDuration::from_secs(seconds);
        let mut state = self.0.lock().unwrap();
        state.put(json!({"spec": {
            "holderIdentity": holder, "leaseDurationSeconds": duration, "renewTime": MicroTime(renewed),
        }}));
    }

    fn holder(&self) -> Option<String> {
        let state = self.0.lock().unwrap();
        let holder = state.lease.as_ref()?["spec"]["holderIdentity"].as_str();
        holder.map(str::to_owned)
    }

    fn set_down(&self, is_down: bool) {
        self.0.lock().unwrap().is_down = is_down;
    }

    fn candidate(&self, identity: &str) -> Candidate {
        self.candidate_in("operator", identity)
    }

    /// A candidate whose lock is in this namespace, on the runtime of the test, so that its time is virtual.
    fn candidate_in(&self, namespace: &str, identity: &str) -> Candidate {
        let lock = Lock::in_namespace(namespace, GATEWAYS);
        let (sender, term) = watch::channel(None);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let pulse = Pulse::beating(stop.clone());
        let elector = Elector::new(self.client(), lock, identity.to_owned(), sender, pulse);
        let task = tokio::spawn(async move {
            elector.run(stopped).await;
            Ok(())
        });
        let stop = stop.drop_guard();
        Candidate { term, stop, task }
    }

    fn client(&self) -> Client {
        let this = self.clone();
        answered_by(move |parts, body| {
            let kind = parts.uri.path().split('/').rev();
            let mut state = this.0.lock().unwrap();
            state.kinds.extend(kind.take(2).map(str::to_owned));
            let answer = state.answer(&parts.method, body);
            this.1.notify_all();
            Some(answer)
        })
    }

    /// Blocks the thread until the Lease was written so many times more.
    fn block_until_written(&self, times: u64) {
        let state = self.0.lock().unwrap();
        let enough = state.version + times;
        let waited = self
            .1
            .wait_timeout_while(state, PATIENCE, |s| s.version < enough);
        assert!(!waited.unwrap().1.timed_out());
    }
}

impl State {
    fn put(&mut self, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"] = json!({"name": NAME, "resourceVersion": self.version.to_string()});
        self.lease = Some(lease.clone());
        lease
    }

    fn answer(&mut self, method: &Method, body: Value) -> (StatusCode, Value) {
        let refused = |code: StatusCode, reason: &str| {
            let status = json!({"kind": "Status", "status": "Failure", "code": code.as_u16(), "reason": reason, "message": reason});
            (code, status)
        };
        if self.is_down {
            return refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
        }
        match (method, self.lease.clone()) {
            (&Method::POST, Some(_)) => refused(StatusCode::CONFLICT, "AlreadyExists"),
            (&Method::POST, None) => (StatusCode::CREATED, self.put(body)),
            (_, None) => refused(StatusCode::NOT_FOUND, "NotFound"),
            (&Method::GET, Some(lease)) => (StatusCode::OK, lease),
            (_, Some(mut lease)) => {
                if body["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"] {
                    return refused(StatusCode::CONFLICT, "Conflict");
                }
                let part = if body["data"].is_object() {
                    "data"
                } else {
                    "spec"
                };
                for (field, value) in body[part].as_object().unwrap() {
                    lease[part][field] = value.clone();
                }
                (StatusCode::OK, self.put(lease))
            }
        }
    }
}

/// Waits until the candidate is elected. Returns the virtual time that it takes, too.
async fn elected(candidate: &mut Candidate) -> (Term, Duration) {
    let started = Instant::now();
    let term = candidate.elected().await.unwrap();
    (term, started.elapsed())
}

const SOON: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn a_leader_with_a_wrong_clock_stays_leader_while_it_renews() {
    for seconds in [-3600, -60, 60, 3600] {
        let server = Server::default();
        server.write("other", seconds, 15);
        let mut standby = server.candidate("standby");
        for _ in 0..100 {
            sleep(Duration::from_secs(2)).await;
            server.write("other", seconds, 15);
        }
        let elected = timeout(Duration::ZERO, standby.elected()).await;
        assert!(elected.is_err(), "{seconds} s off");
        assert_eq!(server.holder().as_deref(), Some("other"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_vanished_leader_is_replaced_after_its_lease_duration_whatever_its_clock() {
    for seconds in [-3600, -60, 0, 60, 3600] {
        let server = Server::default();
        server.write("ghost", seconds, 15);
        let (_, waited) = elected(&mut server.candidate("standby")).await;
        assert!(
            waited >= DURATION && waited <= DURATION + SOON,
            "{seconds} s off: {waited:?}"
        );
        assert_eq!(server.holder().as_deref(), Some("standby"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_replaced_after_its_lease_duration() {
    let server = Server::default();
    let mut first = server.candidate("first");
    let (_, waited) = elected(&mut first).await;
    assert!(waited < SOON, "{waited:?}");
    let mut second = server.candidate("second");
    sleep(Duration::from_mins(5)).await;
    assert_eq!(server.holder().as_deref(), Some("first"));
    first.task.abort();
    let (_, waited) = elected(&mut second).await;
    assert!(
        waited + EVERY >= DURATION && waited <= DURATION + SOON,
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_resigns_is_replaced_at_once() {
    let server = Server::default();
    let mut first = server.candidate("first");
    elected(&mut first).await;
    let mut second = server.candidate("second");
    sleep(Duration::from_mins(1)).await;
    first.resign().await.unwrap();
    let (_, waited) = elected(&mut second).await;
    assert!(waited < SOON, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_another_one_leads() {
    let server = Server::default();
    let mut first = server.candidate("first");
    let (term, _) = elected(&mut first).await;
    sleep(Duration::from_mins(1)).await;
    server.set_down(true);
    let down = Instant::now();
    first.deposed(term).await;
    assert!(down.elapsed() <= RENEW_WITHIN, "{:?}", down.elapsed());
    assert!(RENEW_WITHIN + REQUEST_TIMEOUT <= DURATION);
    // It is the same one again, for another term, when the API server is back.
    server.set_down(false);
    let (again, waited) = elected(&mut first).await;
    assert!(again != term && waited < SOON, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_keeps_a_lease_written_by_others_unless_the_holder_changes() {
    let server = Server::default();
    let mut leader = server.candidate("leader");
    let (term, _) = elected(&mut leader).await;
    for _ in 0..20 {
        sleep(Duration::from_secs(3)).await;
        server.write("leader", 0, 15);
    }
    assert!(timeout(Duration::ZERO, leader.deposed(term)).await.is_err());
    server.write("other", 0, 15);
    let taken = Instant::now();
    leader.deposed(term).await;
    assert!(taken.elapsed() < SOON);
}

#[tokio::test(start_paused = true)]
async fn a_lease_with_an_excessive_duration_locks_no_candidate_out() {
    let server = Server::default();
    server.write("ghost", 0, i64::from(i32::MAX));
    let (_, waited) = elected(&mut server.candidate("standby")).await;
    assert!(waited <= LONGEST_DURATION + SOON, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn one_of_two_candidates_gets_a_free_lease() {
    let server = Server::default();
    let candidates = [server.candidate("a"), server.candidate("b")];
    sleep(Duration::from_mins(1)).await;
    let leading = candidates.iter().filter(|c| c.term.borrow().is_some());
    assert_eq!(leading.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn in_the_namespace_of_gateway_leases_a_configmap_is_the_lock() {
    let server = Server::default();
    let mut first = server.candidate_in(GATEWAYS, "first");
    elected(&mut first).await;
    let mut second = server.candidate_in(GATEWAYS, "second");
    sleep(Duration::from_mins(5)).await;
    first.task.abort();
    let (_, waited) = elected(&mut second).await;
    assert!(
        waited + EVERY >= DURATION && waited <= DURATION + SOON,
        "{waited:?}"
    );
    let (content, kinds) = {
        let state = server.0.lock().unwrap();
        (
            state.lease.clone().unwrap()["data"].clone(),
            state.kinds.clone(),
        )
    };
    assert_eq!(content["holderIdentity"], "second");
    assert_eq!(content["leaseDurationSeconds"], "15");
    assert_eq!(content["leaseTransitions"], "1");
    let texts = content.as_object().unwrap().values();
    assert!(texts.into_iter().all(Value::is_string), "{content}");
    assert!(kinds.contains("configmaps") && !kinds.contains("leases"));
    // One that resigns leaves no holder.
    second.resign().await.unwrap();
    let (_, waited) = elected(&mut server.candidate_in(GATEWAYS, "third")).await;
    assert!(waited < SOON, "{waited:?}");
}

#[tokio::test]
async fn a_leader_renews_its_lease_while_everything_else_is_blocked() {
    let server = Server::default();
    let lock = Lock::in_namespace("operator", GATEWAYS);
    let at = server.clone();
    let mut leader = Candidate::stand(move || async move { Ok(at.client()) }, lock, "leader");
    let term = leader.elected().await.unwrap();
    // The test has one thread, on which nothing else runs meanwhile.
    server.block_until_written(2);
    assert!(timeout(Duration::ZERO, leader.deposed(term)).await.is_err());
    assert_eq!(server.holder().as_deref(), Some("leader"));
    leader.resign().await.unwrap();
    assert_eq!(server.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_other_threads_hang_is_replaced_and_stands_no_more() {
    let server = Server::default();
    let lock = Lock::in_namespace("operator", GATEWAYS);
    let (sender, mut term) = watch::channel(None);
    let pulse = Pulse::last();
    let elector = Elector::new(server.client(), lock, "hung".to_owned(), sender, pulse);
    let hung = tokio::spawn(elector.run(CancellationToken::new()));
    term.wait_for(Option::is_some).await.unwrap();
    let mut second = server.candidate("second");
    let (_, waited) = elected(&mut second).await;
    assert!(
        waited >= HUNG_AFTER && waited < HUNG_AFTER + DURATION + SOON,
        "{waited:?}"
    );
    assert!(term.borrow().is_none());
    sleep(Duration::from_mins(1)).await;
    assert_eq!(server.holder().as_deref(), Some("second"));
    hung.abort();
}

#[tokio::test]
async fn an_election_that_ends_by_itself_is_an_error_that_says_why() {
    let lock = || Lock::in_namespace("operator", GATEWAYS);
    let mut unconnected = Candidate::stand(
        || ready(Err(anyhow::anyhow!("no account"))),
        lock(),
        "unconnected",
    );
    unconnected.elected().await.unwrap_err();
    let error = unconnected.resign().await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "cannot stand for election: no account"
    );
    let broken = || -> Ready<anyhow::Result<Client>> { panic!("broken") };
    let mut broken = Candidate::stand(broken, lock(), "broken");
    broken.elected().await.unwrap_err();
    let error = broken.resign().await.unwrap_err();
    assert!(error.to_string().contains("ended badly"), "{error:#}");
}
