//! The leader's work as a whole, over an API server that knows some objects and keeps what is written.

use std::sync::Mutex;

use datastream_routing::names::{INDEX, INDEX_KEY, decode_index};
use datastream_routing::{Bucket, BucketId, KeyHash};
use datastream_service_kube::api_server::answered_by;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::access::AccessSettings;
use crate::groups::Limits;
use crate::namespaces::Namespaces;
use crate::spec::validate;
use datastream_routing::buckets;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const ALL_SUBSCRIPTIONS: &str = "/apis/datastream.dev/v1alpha1/datastreamsubscriptions";
const PATIENCE: Duration = Duration::from_mins(1);

/// Requests that write: method, path and body.
type Written = Arc<Mutex<Vec<(String, String, Value)>>>;

/// An API server that answers GETs of a path with these items, or with an error of this code, and takes every write. Watches are never
/// answered: nothing happens.
fn server(get: impl Fn(&str) -> Result<Vec<Value>, u16> + Send + 'static) -> (Client, Written) {
    let written = Written::default();
    let log = written.clone();
    let client = answered_by(move |parts, mut body| {
        let path = parts.uri.path().to_owned();
        if parts.method != "GET" {
            let method = parts.method.to_string();
            log.lock().unwrap().push((method, path, body.clone()));
            body["metadata"]["resourceVersion"] = json!("9");
            return Some((StatusCode::OK, body));
        }
        if parts.uri.query().unwrap_or_default().contains("watch") {
            return None;
        }
        Some(match get(&path) {
            Ok(items) => {
                let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "5"}, "items": items});
                (StatusCode::OK, list)
            }
            Err(error) => {
                let reason = if error == 404 {
                    "NotFound"
                } else {
                    "Forbidden"
                };
                let failure = json!({"kind": "Status", "status": "Failure", "code": error, "reason": reason, "message": path});
                (StatusCode::from_u16(error).unwrap(), failure)
            }
        })
    });
    (client, written)
}

fn subscription(name: &str, types: &[&str], status: Value) -> Value {
    json!({
        "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
        "metadata": {"namespace": "team", "name": name, "uid": name, "generation": 1, "resourceVersion": "1"},
        "spec": {"eventTypes": types}, "status": status,
    })
}

fn secret(name: &str) -> Value {
    let text = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "namespace": "team", "name": format!("{name}-stream-key"), "resourceVersion": "1",
            "labels": {"datastream.dev/component": "stream-key"},
            "ownerReferences": [{"apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription", "name": name, "uid": name, "controller": true}],
        },
        "data": {"stream_key": text(KEY), "url": text(&format!("ws://h/stream?stream_key={KEY}"))},
    })
}

fn settings() -> Settings {
    Settings {
        routes_namespace: "system".to_owned(),
        leader_namespace: "system".to_owned(),
        namespaces: Namespaces::All,
        groups: vec!["default=ws://h/stream".parse().unwrap()],
        metrics_authorization: false,
        listen: ([127, 0, 0, 1], 0).into(),
        identity: "test".to_owned(),
        limits: Limits::default(),
        access: AccessSettings::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_subscription_gets_a_status_and_one_with_a_bad_status_is_published() {
    let bad_status =
        json!({"connection": {"state": "Offline", "since": "2026-11-24T06:14:44+99:99"}});
    let (client, written) = server(move |path| {
        Ok(match path {
            ALL_SUBSCRIPTIONS => vec![
                subscription("later", &["location", "alarm"], json!({})),
                subscription("leds", &["location"], bad_status.clone()),
            ],
            "/api/v1/secrets" => vec![secret("leds")],
            _ => vec![],
        })
    });
    let metrics = Arc::new(Metrics::new(["default"]).unwrap());
    metrics.leads.set(1);
    let running = tokio::spawn(run(client, settings(), metrics.clone()));
    let find = |part: &str| {
        let written = written.lock().unwrap();
        let found = written.iter().find(|(_, path, _)| path.contains(part));
        found.map(|(_, _, body)| body.clone())
    };
    let both = async {
        loop {
            let status = find("/datastreamsubscriptions/later/status");
            let published = find("/namespaces/system/secrets/datastream-default-routes-");
            if let (Some(status), Some(published)) = (status, published) {
                return (status, published);
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let (status, published) = timeout(PATIENCE, both).await.expect("both are written");
    let conditions = status["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .all(|c| c["reason"] == "Unreadable" && c["status"] == "False")
    );
    let message = conditions[0]["message"].as_str().unwrap();
    assert!(
        message.contains("spec.eventTypes[1]: unknown variant `alarm`"),
        "{message}"
    );
    let list = find("/namespaces/system/secrets/datastream-default-routes").unwrap();
    let secret: Secret = serde_json::from_value(list).unwrap();
    let listed = decode_index(&secret.data.unwrap()[INDEX_KEY].0);
    let leds = SubscriptionId::new("team", "leds").bucket();
    assert_eq!(listed, Ok(BTreeSet::from([leds])));
    let secret: Secret = serde_json::from_value(published).unwrap();
    let (_, _, bytes) = decode_object(&secret).unwrap();
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.contains("leds") && !text.contains("later"), "{text}");
    let exposed = metrics.render().unwrap();
    for line in [
        "datastream_operator_unreadable_objects{objects=\"subscriptions\"} 1",
        "datastream_operator_listed 1",
    ] {
        assert!(exposed.contains(line), "{exposed}");
    }
    assert!(!running.is_finished());
    running.abort();
}

/// The list of routing objects, with this content.
fn index(content: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "namespace": "system", "name": index_name("default"), "resourceVersion": "1",
            "labels": {COMPONENT: INDEX, GROUP: "default"},
        },
        "data": {INDEX_KEY: k8s_openapi::ByteString(content.as_bytes().to_vec())},
    })
}

/// The routing objects that a leader writes, all without routes, that finds these Secrets beside the gateways and no subscription.
async fn emptied(secrets: Vec<Value>, count: usize) -> BTreeSet<BucketId> {
    let (client, written) = server(move |path| {
        let is_beside_gateways = path == "/api/v1/namespaces/system/secrets";
        Ok(if is_beside_gateways {
            secrets.clone()
        } else {
            vec![]
        })
    });
    let metrics = Arc::new(Metrics::new(["default"]).unwrap());
    let running = tokio::spawn(run(client, settings(), metrics));
    let emptied = || {
        let written = written.lock().unwrap();
        let secrets = written.iter().map(|(_, _, body)| body.clone());
        let secrets = secrets.filter_map(|body| serde_json::from_value::<Secret>(body).ok());
        let objects = secrets.filter_map(|secret| {
            let (bucket, _, bytes) = decode_object(&secret)?;
            assert_eq!(Bucket::decode(bytes).unwrap().routes, []);
            Some(bucket)
        });
        objects.collect::<BTreeSet<_>>()
    };
    let all = async {
        while emptied().len() < count {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, all).await.expect("all are written");
    running.abort();
    emptied()
}

#[tokio::test(start_paused = true)]
async fn routing_objects_deleted_while_the_operator_was_away_are_written_empty() {
    let listed = vec![index(r#"["017","200"]"#)];
    let gone = [17, 200].map(BucketId).into();
    assert_eq!(emptied(listed, 2).await, gone);
}

#[tokio::test(start_paused = true)]
async fn without_an_index_every_missing_routing_object_is_written_empty() {
    let all: BTreeSet<_> = BucketId::all().collect();
    assert_eq!(emptied(vec![index("garbage")], all.len()).await, all);
    // Not on a fresh installation.
    assert_eq!(emptied(vec![], 0).await, BTreeSet::new());
    let one = published("team", "leds");
    let (bucket, ..) = decode_object(&serde_json::from_value(one.clone()).unwrap()).unwrap();
    let others = emptied(vec![one], all.len() - 1).await;
    let others: BTreeSet<_> = others.into_iter().chain([bucket]).collect();
    assert_eq!(others, all);
}

/// The routing Secret with one route, that of this subscription.
fn published(namespace: &str, name: &str) -> Value {
    let mut subscription = subscription(name, &["location"], json!({}));
    subscription["metadata"]["namespace"] = json!(namespace);
    let subscription = serde_json::from_value(subscription).unwrap();
    let route = validate(&subscription).unwrap().route(KeyHash::of(name));
    let id = SubscriptionId::new(namespace, name);
    let bytes = buckets([route])[&id.bucket()].encode().unwrap();
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "namespace": "system", "name": routes_name("default", id.bucket()), "resourceVersion": "1",
            "labels": {COMPONENT: "routes", GROUP: "default"},
        },
        "data": {"routes.json": k8s_openapi::ByteString(bytes)},
    })
}

/// The operator of the namespaces `team` and `closed`. The latter, of which one route is published, may not be looked at while `code` is
/// not 200, and a GET of it is answered with `namespace`.
struct Scoped {
    code: Arc<Mutex<u16>>,
    asked: Arc<Mutex<BTreeSet<String>>>,
    written: Written,
    metrics: Arc<Metrics>,
}

impl Scoped {
    fn start(namespace: u16) -> Self {
        let (code, asked) = (Arc::new(Mutex::new(403)), Arc::default());
        let (closed, log): (_, Arc<Mutex<BTreeSet<String>>>) = (code.clone(), Arc::clone(&asked));
        let (client, written) = server(move |path| {
            log.lock().unwrap().insert(path.to_owned());
            let parts: Vec<_> = path.split('/').collect();
            let within = parts.iter().position(|part| *part == "namespaces");
            let within = within.unwrap_or(parts.len() - 1);
            match parts[within + 1..] {
                ["closed"] if namespace != 200 => Err(namespace),
                ["closed", _] => match *closed.lock().unwrap() {
                    200 => Ok(vec![]),
                    code => Err(code),
                },
                ["team", "datastreamsubscriptions"] => {
                    Ok(vec![subscription("leds", &["location"], json!({}))])
                }
                ["team", "secrets"] => Ok(vec![secret("leds")]),
                ["system", "secrets"] => Ok(vec![
                    published("closed", "kept"),
                    published("team", "gone"),
                    published("elsewhere", "unwatched"),
                ]),
                _ => Ok(vec![]),
            }
        });
        let metrics = Arc::new(Metrics::new(["default"]).unwrap());
        metrics.leads.set(1);
        let namespaces = ["team", "closed"].map(|name| name.parse().unwrap());
        let settings = Settings {
            namespaces: namespaces.into_iter().collect(),
            ..settings()
        };
        tokio::spawn(run(client, settings, metrics.clone()));
        Self {
            code,
            asked,
            written,
            metrics,
        }
    }

    /// Returns whether the routing object of a subscription was last written with a route of it; absent if it was never written.
    fn is_routed(&self, namespace: &str, name: &str) -> Option<bool> {
        let bucket = SubscriptionId::new(namespace, name).bucket();
        let object = routes_name("default", bucket);
        let written = self.written.lock().unwrap();
        let of = written
            .iter()
            .rev()
            .find(|(_, path, _)| path.ends_with(&object));
        let secret: Secret = serde_json::from_value(of?.2.clone()).unwrap();
        let (_, _, bytes) = decode_object(&secret).unwrap();
        Some(
            std::str::from_utf8(bytes)
                .unwrap()
                .contains(&format!("\"{name}\"")),
        )
    }

    async fn until(&self, reached: impl Fn(&Self) -> bool) {
        let reached = async {
            while !reached(self) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("it comes to that");
    }

    fn is_failing(&self, what: &str) -> bool {
        self.metrics.watch_failing.with_label_values(&[what]).get() == 1
    }
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_namespace_keeps_its_routes_and_does_not_block_the_others() {
    let scoped = Scoped::start(200);
    scoped
        .until(|s| {
            s.is_routed("team", "leds") == Some(true)
                && s.is_routed("team", "gone") == Some(false)
                && s.is_routed("elsewhere", "unwatched") == Some(false)
        })
        .await;
    sleep(PATIENCE).await;
    assert_eq!(scoped.is_routed("closed", "kept"), None, "as it was");
    assert!(scoped.is_failing("subscriptions/closed") && scoped.is_failing("stream_keys/closed"));
    assert!(!scoped.is_failing("subscriptions/team"));
    assert_eq!(scoped.metrics.listed.get(), 1);

    *scoped.code.lock().unwrap() = 200;
    scoped
        .until(|s| s.is_routed("closed", "kept") == Some(false))
        .await;
    let asked = scoped.asked.lock().unwrap();
    let within = |namespace: &str| format!("/namespaces/{namespace}");
    let watched = ["team", "closed", "system"].map(within);
    // Access rules, and the labels of namespaces, are the cluster's.
    let of_access =
        |path: &&String| !path.ends_with("/datastreamaccessrules") && *path != "/api/v1/namespaces";
    for path in asked.iter().filter(of_access) {
        assert!(watched.iter().any(|part| path.contains(part)), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn routes_of_a_watched_namespace_that_does_not_exist_are_removed() {
    let scoped = Scoped::start(404);
    scoped
        .until(|s| s.is_routed("closed", "kept") == Some(false))
        .await;
    assert!(
        !scoped.is_failing("subscriptions/closed"),
        "nothing of it is unknown"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_a_subscription_that_went_while_it_was_reconciled() {
    let (client, _) = server(|_| Ok(vec![]));
    let metrics = Arc::new(Metrics::new(["default"]).unwrap());
    let history = Reconciles::default();
    let (queue, queued) = mpsc::channel(QUEUE);
    let feed = Feed {
        groups: Groups::new(&settings().groups, [], Limits::default(), AccessMode::Off),
        access: SharedAccess::new(AccessSettings::default()),
        again: LookAgain::default(),
        connections: SharedConnections::default(),
        secrets: Secrets::default(),
        queue: queue.clone(),
        reconciles: history.clone(),
        complete: watch::Sender::new(true),
        heard: Heard::of(&Namespaces::All),
        subscriptions: Subscriptions::default(),
        metrics: metrics.clone(),
    };
    let left_out = metrics.events_left_out.clone();
    let (events, _publisher) =
        events::channel(client.clone(), "test".into(), history.clone(), left_out);
    let context = Context {
        client,
        secrets: feed.secrets.clone(),
        groups: feed.groups.clone(),
        complete: feed.complete.subscribe(),
        heard: feed.heard.clone(),
        events,
        metrics,
        reconciles: history.clone(),
    };
    let id = SubscriptionId::new("team", "leds");
    history.failed(id.clone());
    feed.connections.lock().mark(id.clone(), Instant::now());
    feed.gone(&id);
    assert_eq!(history.failures(&id), 0);
    assert!(feed.connections.lock().take_dirty().is_empty());
    // The reconcile that ran meanwhile comes to its end, and asks for another one.
    history.pending(&id, 1);
    let subscriptions = feed.subscriptions.clone();
    let running = tokio::spawn(reconciles(Arc::new(context), subscriptions, queued));
    queue.send(id).await.unwrap();
    let forgotten = async {
        while history.on_their_way() > 0 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, forgotten)
        .await
        .expect("it is forgotten again");
    running.abort();
}
