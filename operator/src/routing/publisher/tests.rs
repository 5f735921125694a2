//! A publisher in virtual time, over an API server that takes every write, or does not answer it.

use std::sync::Mutex;

use datastream_crds::DatastreamSubscription;
use datastream_routing::KeyHash;
use datastream_service_kube::api_server::answered_by;
use hyper::StatusCode;
use tokio::task::AbortHandle;

use super::*;
use crate::access::AccessMode;
use crate::routing::{Budget, ObservedKey, RoutingState, Synced};
use crate::spec::validate;

/// Longer than a round of all routing objects.
const PATIENCE: Duration = Duration::from_mins(1);
/// Time in which a revocation is on its way, whatever else is.
const AT_ONCE: Duration = Duration::from_millis(200);

struct Fixture {
    state: SharedRoutingState,
    changed: Arc<Notify>,
    urgent: Arc<Notify>,
    /// The names of the Secrets that were written, in order.
    written: Arc<Mutex<Vec<String>>>,
    /// The names of those of which a write is not answered.
    silent: Arc<Mutex<BTreeSet<String>>>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn id(name: &str) -> SubscriptionId {
    SubscriptionId::new("team", name)
}

fn object(name: &str) -> String {
    routes_name("default", id(name).bucket())
}

/// Names of subscriptions, as many as there are buckets at the most, each of another bucket.
fn names(count: usize) -> Vec<String> {
    let mut buckets = BTreeSet::new();
    let names = (0..100_000).map(|n| format!("s{n}"));
    let names = names.filter(|name| buckets.insert(id(name).bucket()));
    names.take(count).collect()
}

impl Fixture {
    /// A publisher that has published these subscriptions.
    async fn with(names: &[String]) -> Self {
        let state = RoutingState::new(Duration::ZERO, Budget::default(), AccessMode::default());
        let state = SharedRoutingState::new(state);
        let written = Arc::new(Mutex::new(vec![]));
        let silent = Arc::new(Mutex::new(BTreeSet::<String>::new()));
        let (log, unanswered) = (written.clone(), silent.clone());
        let client = answered_by(move |parts, mut body| {
            let name = parts.uri.path().rsplit('/').next().unwrap().to_owned();
            let is_silent = unanswered.lock().unwrap().contains(&name);
            let mut log = log.lock().unwrap();
            log.push(name);
            body["metadata"]["resourceVersion"] = json!(log.len().to_string());
            (!is_silent).then_some((StatusCode::OK, body))
        });
        let (published, mut queue) = mpsc::channel(16);
        let publisher = Publisher {
            secrets: Api::namespaced(client, "system"),
            group: "default".to_owned(),
            state: state.clone(),
            changed: Arc::default(),
            urgent: Arc::default(),
            published,
            metrics: Arc::new(Metrics::new(["default"]).unwrap()),
        };
        let (changed, urgent) = (publisher.changed.clone(), publisher.urgent.clone());
        let drained = tokio::spawn(async move { while queue.recv().await.is_some() {} });
        let running = tokio::spawn(publisher.run());
        let tasks = vec![drained.abort_handle(), running.abort_handle()];
        let fixture = Self {
            state,
            changed,
            urgent,
            written,
            silent,
            tasks,
        };
        for name in names {
            fixture.set(name, 1);
            fixture.set_key(name, Some(name.as_str()));
        }
        for kind in Synced::PUBLISHABLE {
            if fixture.state.lock().synced(kind) {
                fixture.state.lock().settle(Instant::now());
            }
        }
        fixture.wake();
        let all = async {
            while fixture.state.lock().totals().1 < names.len() {
                sleep(SETTLE).await;
            }
        };
        timeout_at(Instant::now() + PATIENCE, all).await.unwrap();
        // Until the pause after the round is over.
        sleep(PATIENCE).await;
        fixture.written.lock().unwrap().clear();
        fixture
    }

    fn set(&self, name: &str, generation: i64) {
        let subscription: DatastreamSubscription = serde_json::from_value(json!({
            "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
            "metadata": {"namespace": "team", "name": name, "uid": name, "generation": generation},
            "spec": {"eventTypes": ["location"]},
        }))
        .unwrap();
        let valid = validate(&subscription).unwrap();
        let mut state = self.state.lock();
        state.set_subscription(&subscription, Some(valid));
    }

    fn set_key(&self, name: &str, key: Option<&str>) {
        let key = key.map(|key| ObservedKey {
            owner_uid: Some(name.into()),
            hash: KeyHash::of(key),
            previous: None,
        });
        self.state.lock().set_key(&id(name), key);
    }

    fn wake(&self) {
        let state = self.state.lock();
        if state.is_dirty() {
            self.changed.notify_one();
        }
        if state.has_urgent() {
            self.urgent.notify_one();
        }
    }

    fn count(&self, name: &str) -> usize {
        let written = self.written.lock().unwrap();
        written.iter().filter(|n| **n == object(name)).count()
    }

    /// Waits until the object of this subscription was written so often. Returns the virtual time that it takes.
    async fn written(&self, name: &str, times: usize) -> Duration {
        let started = Instant::now();
        let written = async {
            while self.count(name) < times {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout_at(started + PATIENCE, written).await.unwrap();
        started.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_does_not_wait_for_the_round_of_other_changes() {
    let names = names(200);
    let fixture = Fixture::with(&names).await;
    let (revoked, others) = names.split_last().unwrap();
    let mut generation = 1;
    let mut change_others = || {
        generation += 1;
        for name in others {
            fixture.set(name, generation);
        }
        fixture.wake();
    };
    change_others();
    fixture.written(&others[0], 1).await;
    // Changes keep coming, and the next round is seconds away.
    for _ in 0..5 {
        change_others();
        sleep(Duration::from_millis(100)).await;
    }
    fixture.set_key(revoked, None);
    fixture.wake();
    let waited = fixture.written(revoked, 1).await;
    assert!(waited <= AT_ONCE, "{waited:?}");
    assert_eq!(fixture.count(&others[0]), 1);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_waits_for_a_write_of_its_own_object_only() {
    let names = names(3);
    let fixture = Fixture::with(&names).await;
    let [silent, other, last] = [&names[0], &names[1], &names[2]];
    fixture.silent.lock().unwrap().insert(object(silent));
    fixture.set(silent, 2);
    fixture.wake();
    fixture.written(silent, 1).await;
    // One of the same object waits until that write is given up, and for its pause.
    fixture.set_key(silent, None);
    fixture.set_key(other, None);
    fixture.wake();
    let waited = fixture.written(other, 1).await;
    assert!(waited <= AT_ONCE, "{waited:?}");
    assert_eq!(fixture.count(silent), 1);
    // Nor does one wait for another one that hangs.
    let waited = fixture.written(silent, 2).await;
    assert!(
        waited <= WRITE_TIMEOUT + Duration::from_secs(3),
        "{waited:?}"
    );
    fixture.set_key(last, None);
    fixture.wake();
    let waited = fixture.written(last, 1).await;
    assert!(waited <= AT_ONCE, "{waited:?}");
    fixture.silent.lock().unwrap().clear();
    fixture.written(silent, 3).await;
    sleep(PATIENCE).await;
    assert_eq!(fixture.state.lock().totals().1, 0);
}
