//! Meddling of administrators, quotas, policies and later versions with a cluster, and how it is undone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use datastream_e2e::{ControlPlane, checkout};
use serde_json::{Value, json};

use super::harness::NAMESPACE;

/// A subscription that a later version has written.
pub(super) const LATER: &str = "later";
const PATIENCE: Duration = Duration::from_mins(1);

/// Something done by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meddling {
    /// No more Secrets may be made where subscriptions are, or where routes are.
    Quota(bool),
    /// A policy refuses what operators and gateways write to a kind of objects.
    Policy(&'static str),
    /// A webhook that does not answer is asked before a kind of objects is written.
    Webhook(&'static str),
    /// The routing object of this number is deleted, or the access rules of the gateways are.
    DeleteRoutes(usize),
    /// Objects like routing objects that are none are there.
    Garbage,
    /// The definition is that of a later version, which somebody uses; at the end it is this version's again.
    Later,
    /// A status is what no operator writes.
    Status(usize),
}

/// The kinds of objects to which writes are refused. Claims are Leases.
pub(super) const REFUSED: [&str; 4] = [
    "secrets",
    "leases",
    "datastreamsubscriptions/status",
    "events",
];

/// Does it, and undoes it.
pub(super) struct Meddler {
    dir: PathBuf,
}

impl Meddler {
    pub(super) fn new(dir: &Path) -> Self {
        let dir = dir.to_owned();
        Self { dir }
    }

    /// Does it. The API server may be away: then it does not happen.
    pub(super) fn begin(&self, cluster: &ControlPlane, what: Meddling) -> anyhow::Result<()> {
        match what {
            Meddling::Quota(routes) => {
                let namespace = namespace(routes);
                let quota = [
                    "create",
                    "quota",
                    "chaos",
                    "--hard=count/secrets=0",
                    "-n",
                    namespace,
                ];
                cluster.kubectl(&quota)?;
            }
            Meddling::Policy(resource) => self.apply(cluster, &policy(resource))?,
            Meddling::Webhook(resource) => self.apply(cluster, &webhook(resource))?,
            Meddling::DeleteRoutes(number) => {
                if let Some(name) = routes(cluster, number)? {
                    cluster.kubectl(&["delete", &name, "-n", NAMESPACE])?;
                }
            }
            Meddling::Garbage => self.apply(cluster, &garbage())?,
            Meddling::Later => {
                self.define(cluster, true)?;
                let spec = json!({"spec": {"eventTypes": ["datapoint", "alarm"]}}).to_string();
                let deadline = Instant::now() + Duration::from_secs(2);
                let patch = ["patch", "dss", LATER, "--type=merge", "-p", &spec];
                // The API server takes a moment to follow the definition.
                while !cluster.kubectl(&patch)?.success && Instant::now() < deadline {}
            }
            Meddling::Status(number) => {
                let name = format!("stable-{number}");
                let status = json!({"status": {
                    "connection": {"state": "Offline", "since": "2026-11-24T06:14:44+99:99"},
                    "conditions": [{"type": "Theirs", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "9999-12-31T23:59:59-23:59"}],
                }});
                let patch = status.to_string();
                cluster.kubectl(&[
                    "patch",
                    "dss",
                    &name,
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    &patch,
                ])?;
            }
        }
        Ok(())
    }

    /// Undoes it. Returns whether it is undone.
    pub(super) fn end(&self, cluster: &ControlPlane, what: Meddling) -> anyhow::Result<bool> {
        let delete = |kinds: &str, name: &str| -> anyhow::Result<bool> {
            let args = ["delete", kinds, name, "--ignore-not-found"];
            Ok(cluster.kubectl(&args)?.success)
        };
        match what {
            Meddling::Quota(routes) => {
                let quota = [
                    "delete",
                    "quota",
                    "chaos",
                    "-n",
                    namespace(routes),
                    "--ignore-not-found",
                ];
                Ok(cluster.kubectl(&quota)?.success)
            }
            Meddling::Policy(resource) => {
                let kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy";
                delete(kinds, &name(resource))
            }
            Meddling::Webhook(resource) => {
                delete("validatingwebhookconfiguration", &name(resource))
            }
            Meddling::Garbage => {
                let delete = ["delete", "secret", "-l", "chaos=garbage", "-n", NAMESPACE];
                Ok(cluster.kubectl(&delete)?.success)
            }
            Meddling::Later => {
                self.define(cluster, false)?;
                Ok(true)
            }
            Meddling::DeleteRoutes(_) | Meddling::Status(_) => Ok(true),
        }
    }

    /// Undoes everything that may have been done.
    pub(super) fn tidy(&self, cluster: &ControlPlane) -> anyhow::Result<()> {
        let refused = REFUSED
            .iter()
            .flat_map(|resource| [Meddling::Policy(resource), Meddling::Webhook(resource)]);
        let all = refused.chain([
            Meddling::Quota(false),
            Meddling::Quota(true),
            Meddling::Garbage,
            Meddling::Later,
        ]);
        let deadline = Instant::now() + PATIENCE;
        for what in all {
            while !self.end(cluster, what)? {
                anyhow::ensure!(Instant::now() < deadline, "{what:?} cannot be undone");
            }
        }
        Ok(())
    }

    fn apply(&self, cluster: &ControlPlane, manifests: &[Value]) -> anyhow::Result<()> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
        let file = self.dir.join("meddling.json");
        std::fs::write(&file, list.to_string())?;
        cluster.kubectl(&["apply", "-f", file.to_str().context("a path")?])?;
        Ok(())
    }

    /// Applies this version's definition, or a later one's, which has one more event type.
    fn define(&self, cluster: &ControlPlane, is_later: bool) -> anyhow::Result<()> {
        let definition = checkout("crds/generated/datastreamsubscriptions.yaml");
        let mut text = std::fs::read_to_string(definition)?;
        if is_later {
            let enumeration = "                  enum:\n                  - connectivity";
            anyhow::ensure!(
                text.contains(enumeration),
                "the definition has no event types"
            );
            let later = "                  enum:\n                  - alarm\n                  - connectivity";
            text = text.replace(enumeration, later);
        }
        let file = self.dir.join("definition.yaml");
        std::fs::write(&file, text)?;
        let file = file.to_str().context("a path")?;
        cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", file])?;
        Ok(())
    }
}

fn namespace(routes: bool) -> &'static str {
    if routes { NAMESPACE } else { "default" }
}

fn name(resource: &str) -> String {
    format!("chaos.{}", resource.replace('/', "-"))
}

/// The routing object of this number, or the access rules, as kubectl names it.
fn routes(cluster: &ControlPlane, number: usize) -> anyhow::Result<Option<String>> {
    let label = "datastream.dev/component in (routes,access)";
    let list = ["get", "secrets", "-n", NAMESPACE, "-l", label, "-o", "name"];
    let listed = cluster.kubectl(&list)?;
    let names: Vec<_> = listed.stdout.lines().collect();
    let name = names.get(number % names.len().max(1));
    Ok(name.map(|name| (*name).to_owned()))
}

/// Conditions that match only what operators and gateways write.
fn conditions() -> Value {
    let ours =
        format!("request.userInfo.username.startsWith('system:serviceaccount:{NAMESPACE}:')");
    json!([{"name": "ours", "expression": ours}])
}

fn rule(resource: &str) -> Value {
    json!({
        "apiGroups": ["*"], "apiVersions": ["*"], "resources": [resource],
        "operations": ["CREATE", "UPDATE", "DELETE"],
    })
}

fn policy(resource: &str) -> [Value; 2] {
    let api = "admissionregistration.k8s.io/v1";
    let name = name(resource);
    [
        json!({
            "apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [rule(resource)]},
                "matchConditions": conditions(),
                "validations": [{"expression": "false", "message": "refused by the test"}],
            },
        }),
        json!({
            "apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }),
    ]
}

fn webhook(resource: &str) -> [Value; 1] {
    [json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name(resource)},
        "webhooks": [{
            "name": "chaos.example.com",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [rule(resource)],
            "matchConditions": conditions(),
            "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 1,
            "admissionReviewVersions": ["v1"],
        }],
    })]
}

/// Contents of a later version, empty, and no JSON.
fn garbage() -> Vec<Value> {
    let contents = [r#"{"version":99,"later":[]}"#, "{}", "no JSON \u{0}"];
    let object = |(number, content): (usize, &&str)| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": format!("chaos-garbage-{number}"), "namespace": NAMESPACE,
                "labels": {"chaos": "garbage", "datastream.dev/component": "routes", "datastream.dev/gateway-group": "default"},
            },
            "stringData": {"routes.json": content, "routes": content},
        })
    };
    contents.iter().enumerate().map(object).collect()
}
