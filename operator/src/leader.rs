//! Leader election: of all replicas one works. It holds a Lease, and stops working when it cannot renew it.
//!
//! Gateways may write every Lease of their namespace, because Kubernetes cannot narrow rights to names that are not known before. Who
//! has the Lease of the operator can stop it, so there a ConfigMap with the same content takes the Lease's place.
//!
//! No clock of another machine counts. A Lease is judged by when it was seen to change, by the own monotonic clock; the times in
//! it are for people. Crates for this (kube-lease-manager among them) compare `renewTime` with their own clock, so that a standby
//! whose clock is ahead deposes a leader that is well.
//!
//! The election has a thread, a runtime and a client of its own: a leader that is busy renews its Lease in time, and does not hand over
//! to another one that would be as busy. A process whose other threads hang for longer gives no [sign of life](Pulse), and its Lease is not
//! renewed; it is ended from outside, because they answer `/livez`, too.

mod pulse;

use std::time::Duration;

use anyhow::Context as _;
use datastream_service_kube::api::{in_time, reason};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt as _};
use pulse::Pulse;
use serde_json::{Value, json};
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The name of the Lease, or of the ConfigMap in its place.
pub(crate) const NAME: &str = "datastream-operator";
/// A leader whose Lease has not changed for so long is replaced.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that has not renewed its Lease for so long stops working: before anybody replaces it.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two renewals, and between two looks of a standby.
const EVERY: Duration = Duration::from_secs(2);
/// The longest that a Lease which says so itself is waited for, whoever wrote it.
const LONGEST_DURATION: Duration = Duration::from_mins(1);

/// The object that the leader has: a Lease, or a ConfigMap with the same content.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    namespace: String,
    resource: ApiResource,
    /// The field with what a Lease has in its spec.
    field: &'static str,
}

impl Lock {
    /// The lock in this namespace: out of reach of gateways whose Leases are in `gateways`.
    pub(crate) fn in_namespace(namespace: &str, gateways: &str) -> Self {
        let (resource, field) = if namespace == gateways {
            (ApiResource::erase::<ConfigMap>(&()), "data")
        } else {
            (ApiResource::erase::<Lease>(&()), "spec")
        };
        Self {
            namespace: namespace.to_owned(),
            resource,
            field,
        }
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The API group of its kind, and its kind in the plural.
    pub(crate) fn resource(&self) -> (&str, &str) {
        (&self.resource.group, &self.resource.plural)
    }

    /// An object or a patch with this content. A ConfigMap has text only.
    fn with(&self, mut content: Value) -> Value {
        if let (true, Some(fields)) = (self.field == "data", content.as_object_mut()) {
            for value in fields.values_mut().filter(|value| value.is_number()) {
                *value = Value::String(value.to_string());
            }
        }
        json!({ self.field: content })
    }

    /// The content of an object.
    fn content<'a>(&self, object: &'a DynamicObject) -> &'a Value {
        &object.data[self.field]
    }

    /// The holder. Nothing else of it is read that could be malformed.
    fn holder<'a>(&self, object: &'a DynamicObject) -> Option<&'a str> {
        let holder = self.content(object)["holderIdentity"].as_str();
        holder.filter(|holder| !holder.is_empty())
    }

    /// The time for which it counts after it has changed.
    fn duration(&self, object: &DynamicObject) -> Duration {
        let seconds = number(&self.content(object)["leaseDurationSeconds"]);
        seconds.map_or(DURATION, |s| Duration::from_secs(s).min(LONGEST_DURATION))
    }

    /// The number of times that it has changed hands.
    fn transitions(&self, object: &DynamicObject) -> u64 {
        number(&self.content(object)["leaseTransitions"]).unwrap_or(0)
    }
}

/// A number, also as text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// A candidate, and at times the leader.
pub(crate) struct Candidate {
    term: watch::Receiver<Option<Term>>,
    /// Ends the election when it is dropped: the process waits for its thread.
    stop: DropGuard,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Number of a term as leader, which distinguishes it from the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term(u64);

impl Candidate {
    /// Stands for election, with the client that `connect` makes.
    pub(crate) fn stand<C>(
        connect: impl FnOnce() -> C + Send + 'static,
        lock: Lock,
        identity: &str,
    ) -> Self
    where
        C: Future<Output = anyhow::Result<Client>>,
    {
        let (sender, term) = watch::channel(None);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let pulse = Pulse::beating(stop.clone());
        let identity = identity.to_owned();
        let task = spawn_blocking(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.context("cannot stand for election")?;
            runtime.block_on(async {
                // Here, because a client works on the runtime on which it was made.
                let client = tokio::select! {
                    client = connect() => client.context("cannot stand for election")?,
                    () = stopped.cancelled() => return Ok(()),
                };
                let elector = Elector::new(client, lock, identity, sender, pulse);
                elector.run(stopped).await;
                Ok(())
            })
        });
        let stop = stop.drop_guard();
        Self { term, stop, task }
    }

    /// Waits until elected.
    ///
    /// # Errors
    /// The election has ended: [resigning](Self::resign) says why.
    pub(crate) async fn elected(&mut self) -> anyhow::Result<Term> {
        let term = self.term.wait_for(Option::is_some).await;
        let term = term.ok().and_then(|term| *term);
        term.context("the election ended")
    }

    /// Waits until this term is over.
    pub(crate) async fn deposed(&mut self, term: Term) {
        // If the election itself ends, nobody renews the Lease any more.
        let _ = self.term.wait_for(|now| *now != Some(term)).await;
    }

    /// Gives the Lease back, so that another replica takes over at once.
    ///
    /// # Errors
    /// The election had ended before, or ended badly: why.
    pub(crate) async fn resign(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.task.await.context("the election ended badly")?
    }
}

/// The Lease as this replica holds it.
struct Held {
    version: String,
    /// The time at which the last renewal that went through was sent.
    renewed: Instant,
}

/// The Lease as a standby sees it.
struct Seen {
    version: String,
    since: Instant,
}

struct Elector {
    leases: Api<DynamicObject>,
    lock: Lock,
    identity: String,
    term: watch::Sender<Option<Term>>,
    pulse: Pulse,
}

impl Elector {
    fn new(
        client: Client,
        lock: Lock,
        identity: String,
        term: watch::Sender<Option<Term>>,
        pulse: Pulse,
    ) -> Self {
        Self {
            leases: Api::namespaced_with(client, &lock.namespace, &lock.resource),
            lock,
            identity,
            term,
            pulse,
        }
    }

    async fn run(self, stop: CancellationToken) {
        for term in 0.. {
            let mut held = tokio::select! {
                held = self.acquire() => held,
                () = stop.cancelled() => return,
            };
            self.term.send_replace(Some(Term(term)));
            tokio::select! {
                () = self.hold(&mut held) => {
                    self.term.send_replace(None);
                }
                () = stop.cancelled() => {
                    self.term.send_replace(None);
                    self.release(&held).await;
                    return;
                }
            }
        }
    }

    /// Waits until the Lease is this replica's.
    async fn acquire(&self) -> Held {
        let mut seen = None;
        let mut failing = false;
        loop {
            if !self.pulse.is_there() {
                sleep(EVERY).await;
                continue;
            }
            match self.try_acquire(&mut seen).await {
                Ok(Some(held)) => return held,
                Ok(None) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(
                        lease = NAME,
                        error = reason(&error),
                        "cannot stand for election; trying again"
                    );
                }
                Err(_) => (),
            }
            sleep(EVERY).await;
        }
    }

    async fn try_acquire(&self, seen: &mut Option<Seen>) -> kube::Result<Option<Held>> {
        let Some(lease) = in_time(self.leases.get_opt(NAME)).await? else {
            return self.create().await;
        };
        let version = lease.resource_version().unwrap_or_default();
        let now = Instant::now();
        let before = seen.take();
        let is_first = before.is_none();
        let before = before.filter(|seen| seen.version == version);
        let since = before.map_or(now, |seen| seen.since);
        let is_free = match self.lock.holder(&lease) {
            None => true,
            // This replica before it was restarted, or a request whose answer was lost.
            Some(holder) => holder == self.identity || now - since >= self.lock.duration(&lease),
        };
        if !is_free {
            if is_first {
                let leader = self.lock.holder(&lease).unwrap_or_default();
                tracing::info!(leader, "standing by");
            }
            *seen = Some(Seen { version, since });
            return Ok(None);
        }
        let is_change = self.lock.holder(&lease) != Some(&self.identity);
        let transitions = self.lock.transitions(&lease);
        let mut spec = self.record();
        spec["acquireTime"] = json!(MicroTime(Timestamp::now()));
        spec["leaseTransitions"] = json!(transitions.saturating_add(u64::from(is_change)));
        match self.patch(&version, &spec).await {
            Ok(held) => Ok(Some(held)),
            Err(error) if is_overtaken(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self) -> kube::Result<Option<Held>> {
        let renewed = Instant::now();
        let mut spec = self.record();
        spec["acquireTime"] = json!(MicroTime(Timestamp::now()));
        let lease = DynamicObject::new(NAME, &self.lock.resource).data(self.lock.with(spec));
        match in_time(self.leases.create(&PostParams::default(), &lease)).await {
            Ok(made) => Ok(Some(Held {
                version: made.resource_version().unwrap_or_default(),
                renewed,
            })),
            Err(kube::Error::Api(status)) if status.is_already_exists() || status.is_conflict() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Renews the Lease for as long as that goes well.
    async fn hold(&self, held: &mut Held) {
        let mut failing = false;
        loop {
            let deadline = held.renewed + RENEW_WITHIN;
            sleep_until(deadline.min(Instant::now() + EVERY)).await;
            if Instant::now() >= deadline {
                break;
            }
            if !self.pulse.is_there() {
                tracing::error!(
                    lease = NAME,
                    "nothing else in this process runs any more: leaving the Lease to another replica"
                );
                return;
            }
            match timeout_at(deadline, self.renew(held)).await {
                Ok(Ok(true)) => failing = false,
                Ok(Ok(false)) => {
                    tracing::warn!(lease = NAME, "another replica has the Lease");
                    return;
                }
                Ok(Err(error)) if !failing => {
                    failing = true;
                    tracing::warn!(
                        lease = NAME,
                        error = reason(&error),
                        "cannot renew the Lease; trying again"
                    );
                }
                Ok(Err(_)) => (),
                Err(_) => break,
            }
        }
        tracing::warn!(
            lease = NAME,
            "could not renew the Lease for {RENEW_WITHIN:?}"
        );
    }

    /// Returns whether the Lease is still this replica's.
    async fn renew(&self, held: &mut Held) -> kube::Result<bool> {
        match self.patch(&held.version, &self.record()).await {
            Ok(renewed) => {
                *held = renewed;
                Ok(true)
            }
            Err(error) if is_overtaken(&error) => {
                let found = in_time(self.leases.get_opt(NAME)).await?;
                let ours = found.filter(|lease| self.lock.holder(lease) == Some(&self.identity));
                let is_ours = ours.is_some();
                // Someone else has written into it, or the answer to a renewal was lost: the next renewal counts.
                held.version = ours
                    .and_then(|lease| lease.resource_version())
                    .unwrap_or_default();
                Ok(is_ours)
            }
            Err(error) => Err(error),
        }
    }

    async fn release(&self, held: &Held) {
        let release = async {
            let released = json!({ "holderIdentity": null });
            match self.patch(&held.version, &released).await {
                Err(error) if is_overtaken(&error) => {
                    let found = self.leases.get_opt(NAME).await?;
                    let ours =
                        found.filter(|lease| self.lock.holder(lease) == Some(&self.identity));
                    match ours.and_then(|lease| lease.resource_version()) {
                        Some(version) => self.patch(&version, &released).await.map(|_| ()),
                        None => Ok(()),
                    }
                }
                released => released.map(|_| ()),
            }
        };
        if let Err(error) = in_time(release).await {
            tracing::warn!(
                error = reason(&error),
                "cannot give the Lease back; it expires"
            );
        }
    }

    /// Writes into the Lease, if it is as it was seen.
    async fn patch(&self, version: &str, spec: &Value) -> kube::Result<Held> {
        let renewed = Instant::now();
        let mut patch = self.lock.with(spec.clone());
        patch["metadata"] = json!({ "resourceVersion": version });
        let params = PatchParams::default();
        let patch = Patch::Merge(&patch);
        let written = in_time(self.leases.patch(NAME, &params, &patch)).await?;
        Ok(Held {
            version: written.resource_version().unwrap_or_default(),
            renewed,
        })
    }

    /// The fields of the Lease that every renewal writes.
    fn record(&self) -> Value {
        json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": DURATION.as_secs(),
            "renewTime": MicroTime(Timestamp::now()),
        })
    }
}

/// Returns whether the object is no longer as it was seen.
fn is_overtaken(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(s) if s.is_conflict() || s.is_already_exists() || s.is_not_found())
}

#[cfg(test)]
mod tests;
