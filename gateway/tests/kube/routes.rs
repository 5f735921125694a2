//! The watch of the routing Secrets.

use std::sync::Arc;
use std::time::Duration;

use datastream_gateway::config::{ConfigSource as _, ConfigState, ConfigStore, KubeSource};
use datastream_routing::names::{INDEX_KEY, ROUTES_KEY, index_name, routes_name};
use datastream_routing::{Bucket, BucketId};
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::api::{Answer, Api, status};
use super::common::route;

const PATIENCE: Duration = Duration::from_mins(5);

/// A name that belongs into the bucket: the label and a number.
fn in_bucket(bucket: BucketId, label: &str) -> String {
    let names = (0..).map(|n| format!("{label}-{n}"));
    let fits = |name: &String| route(name).id.bucket() == bucket;
    names.into_iter().find(fits).unwrap()
}

/// The routing Secret of a bucket, with routes of these labels.
fn secret(bucket: u8, version: u32, labels: &[&str]) -> Value {
    let id = BucketId(bucket);
    let routes = labels
        .iter()
        .map(|label| route(&in_bucket(id, label)))
        .collect();
    let bytes = Bucket::new(id, routes).encode().unwrap();
    with_data(bucket, version, &json!({ROUTES_KEY: ByteString(bytes)}))
}

fn with_data(bucket: u8, version: u32, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "data": data,
        "metadata": {
            "name": routes_name("default", BucketId(bucket)),
            "namespace": "ds",
            "resourceVersion": version.to_string(),
        },
    })
}

fn list(version: u32, items: &[Value]) -> Answer {
    Answer::Json(json!({
        "apiVersion": "v1", "kind": "SecretList",
        "metadata": {"resourceVersion": version.to_string()}, "items": items,
    }))
}

fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

struct Watched {
    api: Api,
    store: Arc<ConfigStore>,
}

impl Watched {
    fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let api = Api::new(script, None);
        let store = Arc::new(ConfigStore::new());
        let source = Box::new(KubeSource::new(api.client(), "ds", "default"));
        tokio::spawn(source.run(store.clone(), CancellationToken::new()));
        Self { api, store }
    }

    async fn until(&self, reached: impl Fn(&ConfigState) -> bool) -> Arc<ConfigState> {
        let mut changes = self.store.subscribe();
        let state = timeout(PATIENCE, changes.wait_for(|state| reached(state)))
            .await
            .expect("the state is reached")
            .unwrap();
        state.clone()
    }

    /// Waits until the script has been answered and one more request waits.
    async fn until_asked(&self, requests: usize) {
        let asked = async {
            while self.api.asked().len() < requests {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, asked)
            .await
            .expect("the requests are made");
    }

    /// The labels of the routes in force.
    fn labels(&self) -> Vec<String> {
        let table = self.store.table();
        let label = |name: &str| name.split_once('-').unwrap().0.to_owned();
        let mut labels: Vec<_> = table.routes().map(|r| label(&r.id.name)).collect();
        labels.sort();
        labels
    }
}

/// The Secret that lists the routing objects.
fn index(version: u32, buckets: &str) -> Value {
    let mut secret = with_data(0, version, &json!({INDEX_KEY: ByteString(buckets.into())}));
    secret["metadata"]["name"] = json!(index_name("default"));
    secret
}

#[tokio::test(start_paused = true)]
async fn a_routing_object_deleted_before_the_start_is_reported_missing() {
    let listed = || list(5, &[secret(1, 4, &["a"]), index(5, r#"["001","002"]"#)]);
    let watched = Watched::start([listed()]);
    let state = watched.until(|state| state.synced).await;
    assert!(state.incomplete && state.refused.is_empty(), "{state:?}");
    let written = Answer::Watch(vec![event("ADDED", &secret(2, 6, &["b"]))]);
    // What was listed is to be there, whatever becomes of the list.
    let gone = Answer::Watch(vec![event("DELETED", &index(7, "[]"))]);
    let watched = Watched::start([listed(), written, gone]);
    watched.until_asked(4).await;
    let state = watched.until(|state| !state.incomplete).await;
    assert_eq!(watched.labels(), ["a", "b"]);
    assert_eq!(state.listed.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn routes_are_incomplete_while_the_index_cannot_be_read() {
    let watched = Watched::start([list(5, &[secret(1, 4, &["a"]), index(5, "{")])]);
    let state = watched.until(|state| state.synced).await;
    assert!(state.incomplete, "{state:?}");
    assert!(state.refused.contains_key(&index_name("default")));
}

#[tokio::test(start_paused = true)]
async fn listed_and_watched_routes_are_in_force_and_deletions_are_ignored() {
    let watched = Watched::start([
        list(5, &[secret(1, 4, &["a"]), secret(2, 5, &["b"])]),
        Answer::Watch(vec![
            event("MODIFIED", &secret(1, 6, &["a", "c"])),
            event("ADDED", &secret(3, 7, &["d"])),
        ]),
        Answer::Watch(vec![event("DELETED", &secret(2, 8, &["b"]))]),
    ]);
    let state = watched.until(|state| !state.refused.is_empty()).await;
    assert_eq!(watched.labels(), ["a", "b", "c", "d"]);
    assert_eq!(state.held.len(), 3);
    let reason = &state.refused[&routes_name("default", BucketId(2))];
    assert!(reason.contains("deleted"), "{reason}");

    watched.until_asked(4).await;
    let asked = watched.api.asked();
    assert!(
        asked
            .iter()
            .all(|a| a.method == "GET" && a.path == "/api/v1/namespaces/ds/secrets")
    );
    for a in &asked {
        assert!(
            a.query.contains("labelSelector=") && a.query.contains("component+in+%28routes%2C"),
            "{a:?}"
        );
    }
    // A watch that ends resumes where it was; nothing is listed again.
    let versions: Vec<_> = asked[1..]
        .iter()
        .map(|a| {
            assert!(a.query.contains("watch=true"), "{a:?}");
            a.query.split("resourceVersion=").nth(1).unwrap().to_owned()
        })
        .collect();
    assert_eq!(versions, ["5", "7", "8"]);
}

#[tokio::test(start_paused = true)]
async fn after_410_gone_objects_are_listed_again_and_missing_ones_stay_in_force() {
    let watched = Watched::start([
        list(5, &[secret(1, 4, &["a"]), secret(2, 5, &["b"])]),
        Answer::Watch(vec![event("ERROR", &status(410))]),
        list(90, &[secret(1, 80, &["a2"])]),
    ]);
    let state = watched.until(|state| !state.refused.is_empty()).await;
    assert_eq!(watched.labels(), ["a2", "b"]);
    assert!(
        state
            .refused
            .contains_key(&routes_name("default", BucketId(2)))
    );
    watched.until_asked(4).await;
    assert!(watched.api.asked()[3].query.contains("resourceVersion=90"));
}

#[tokio::test(start_paused = true)]
async fn a_source_error_is_reported_during_an_outage_and_cleared_after_it() {
    let watched = Watched::start([
        Answer::Error(500),
        Answer::Error(403),
        list(5, &[secret(1, 4, &["a"])]),
        Answer::Error(503),
        Answer::Watch(vec![event("MODIFIED", &secret(1, 6, &["b"]))]),
    ]);
    let state = watched.until(|state| state.source_error.is_some()).await;
    assert!(!state.synced, "nothing was listed yet");
    watched.until(|state| state.synced).await;
    watched.until_asked(6).await;
    watched.until(|state| state.source_error.is_none()).await;
    assert_eq!(watched.labels(), ["b"]);
    let asked = watched.api.asked();
    assert!(
        asked[1].after > asked[0].after,
        "tried again without a pause"
    );
}

#[tokio::test(start_paused = true)]
async fn a_damaged_object_is_rejected_whole_until_it_is_repaired() {
    let future = br#"{"version":99,"bucket":1,"routes":[]}"#.to_vec();
    let broken = [
        list(5, &[secret(1, 4, &["a"]), secret(2, 5, &["b"])]),
        Answer::Watch(vec![
            event(
                "MODIFIED",
                &with_data(1, 6, &json!({ROUTES_KEY: ByteString(future)})),
            ),
            event("MODIFIED", &with_data(2, 7, &json!({}))),
        ]),
    ];
    let watched = Watched::start(broken.clone());
    watched.until(|state| state.refused.len() == 2).await;
    assert_eq!(watched.labels(), ["a", "b"]);

    let mended = Answer::Watch(vec![event("MODIFIED", &secret(1, 8, &["c"]))]);
    let watched = Watched::start(broken.into_iter().chain([mended]));
    let state = watched.until(|state| state.refused.len() == 1).await;
    assert_eq!(watched.labels(), ["b", "c"]);
    assert!(
        state
            .refused
            .contains_key(&routes_name("default", BucketId(2)))
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_is_named_and_the_others_are_in_force() {
    let bad = with_data(2, 5, &json!("none"));
    let watched = Watched::start([
        list(
            5,
            &[secret(1, 4, &["a"]), bad.clone(), secret(3, 5, &["c"])],
        ),
        Answer::Watch(vec![event("MODIFIED", &with_data(3, 6, &json!("none")))]),
    ]);
    let state = watched.until(|state| state.refused.len() == 2).await;
    assert!(state.synced && state.incomplete);
    let reason = &state.refused[&routes_name("default", BucketId(2))];
    assert!(reason.starts_with("data: "), "{reason}");
    assert_eq!(watched.labels(), ["a", "c"], "the last good content stays");
}
