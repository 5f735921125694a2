//! The gateway's own Lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datastream_gateway::StreamCount;
use datastream_gateway::config::{ConfigStore, ConfigUpdate};
use datastream_gateway::ownership::KubeClaims;
use datastream_routing::names::{COMPONENT, GROUP, HELD, PEER, READY, STREAMS, encode_held};
use datastream_routing::{Bucket, BucketHash, BucketId};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::api::{Answer, Api, Asked};

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/ds/leases/datastream-gateway-gw-0";

struct Kept {
    api: Api,
    store: Arc<ConfigStore>,
    ready: watch::Sender<bool>,
    cancel: CancellationToken,
    renewer: JoinHandle<()>,
}

impl Kept {
    fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}});
        Self::on(Api::new(script, Some(Answer::Json(lease))))
    }

    fn on(api: Api) -> Self {
        let store = Arc::new(ConfigStore::new());
        let (ready, receiver) = watch::channel(false);
        let cancel = CancellationToken::new();
        let claims = KubeClaims::new(api.client(), "ds", "default", "gw-0", 0);
        let renewer = claims.lease_renewer(Some("10.0.0.7:9090".to_owned()));
        let streams = StreamCount::default();
        let renewer = tokio::spawn(renewer.run(store.clone(), receiver, streams, cancel.clone()));
        Self {
            api,
            store,
            ready,
            cancel,
            renewer,
        }
    }

    /// Puts an empty bucket in force and returns what has to be acknowledged of it.
    fn hold(&self, bucket: u8) -> (BucketId, BucketHash) {
        let id = BucketId(bucket);
        let bytes = Bucket::new(id, vec![]).encode().unwrap();
        let hash = BucketHash::of(&bytes);
        let object = format!("bucket {bucket}");
        self.store.apply(vec![
            ConfigUpdate::Set { object, bytes },
            ConfigUpdate::Synced,
        ]);
        (id, hash)
    }

    async fn asked_after(&self, time: Duration) -> Vec<Asked> {
        sleep(time).await;
        self.api.asked()
    }
}

fn annotation<'a>(asked: &'a Asked, name: &str) -> &'a Value {
    &asked.body["metadata"]["annotations"][name]
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_the_routes_are_complete() {
    let kept = Kept::start([]);
    assert!(kept.asked_after(Duration::from_mins(1)).await.is_empty());
    let held = BTreeMap::from([kept.hold(7)]);
    let asked = kept.asked_after(Duration::from_secs(1)).await;
    let [first] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (first.method.as_str(), first.path.as_str()),
        ("PATCH", PATH)
    );
    assert!(
        first.query.contains("fieldManager=datastream-gateway"),
        "{first:?}"
    );
    assert_eq!(*annotation(first, HELD), encode_held(&held));
    assert_eq!(*annotation(first, READY), "false");
    assert_eq!(
        first.body["metadata"]["labels"],
        json!({COMPONENT: "gateway", GROUP: "default"})
    );
    assert_eq!(*annotation(first, STREAMS), "0");
    assert_eq!(*annotation(first, PEER), "10.0.0.7:9090");
    // A pod that starts again under the same name is somebody else.
    let holder = first.body["spec"]["holderIdentity"].as_str().unwrap();
    assert!(holder.starts_with("gw-0_"), "{holder}");
    assert_eq!(first.body["spec"]["leaseDurationSeconds"], 15);
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_every_five_seconds_and_at_once_on_a_change() {
    let kept = Kept::start([]);
    let first = kept.hold(7);
    let asked = kept.asked_after(Duration::from_millis(11_500)).await;
    let times: Vec<_> = asked.iter().map(|a| a.after.as_secs()).collect();
    assert_eq!(times, [0, 5, 10]);

    let held = BTreeMap::from([first, kept.hold(9)]);
    let asked = kept.asked_after(Duration::from_millis(100)).await;
    assert_eq!(asked.len(), 4, "not acknowledged at once");
    assert_eq!(*annotation(&asked[3], HELD), encode_held(&held));

    kept.ready.send_replace(true);
    let asked = kept.asked_after(Duration::from_millis(100)).await;
    assert_eq!(asked.len(), 5, "readiness is not reported at once");
    assert_eq!(*annotation(&asked[4], READY), "true");
}

#[tokio::test(start_paused = true)]
async fn many_simultaneous_changes_are_one_write_of_the_lease() {
    let kept = Kept::start([]);
    kept.hold(0);
    kept.asked_after(Duration::from_secs(1)).await;
    let held: BTreeMap<_, _> = (0..200).map(|bucket| kept.hold(bucket)).collect();
    let asked = kept.asked_after(Duration::from_secs(1)).await;
    assert_eq!(asked.len(), 2);
    assert_eq!(*annotation(&asked[1], HELD), encode_held(&held));
}

#[tokio::test(start_paused = true)]
async fn the_newest_state_is_written_to_the_lease_after_an_outage() {
    let kept = Kept::start([Answer::Error(500), Answer::Error(503)]);
    let first = kept.hold(7);
    sleep(Duration::from_millis(100)).await;
    let held = BTreeMap::from([first, kept.hold(9)]);
    let asked = kept.asked_after(Duration::from_secs(2)).await;
    assert_eq!(asked.len(), 3);
    assert_eq!(*annotation(&asked[2], HELD), encode_held(&held));
    assert!(!kept.renewer.is_finished());
}

#[tokio::test(start_paused = true)]
async fn renewals_and_shutdown_do_not_hang_on_a_silent_api_server() {
    let kept = Kept::on(Api::new([], None));
    kept.store.apply(vec![ConfigUpdate::Synced]);
    assert!(
        kept.asked_after(Duration::from_secs(12)).await.len() >= 2,
        "a request without an answer is given up"
    );
    kept.cancel.cancel();
    tokio::time::timeout(Duration::from_secs(10), kept.renewer)
        .await
        .expect("ends")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_deleted_at_shutdown() {
    let kept = Kept::start([]);
    kept.hold(7);
    sleep(Duration::from_secs(1)).await;
    kept.cancel.cancel();
    kept.renewer.await.unwrap();
    let asked = kept.api.asked();
    let last = asked.last().unwrap();
    assert_eq!((last.method.as_str(), last.path.as_str()), ("DELETE", PATH));
}
