//! Writes the connections into the statuses, at a bounded rate, however many streams come and go.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use datastream_crds::Connection;
use datastream_routing::SubscriptionId;
use datastream_service::backoff::Backoff;
use datastream_service_kube::api::reason;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::SharedConnections;
use super::connections::Verdict;
use crate::metrics::Metrics;
use crate::subscription::{Subscription, Subscriptions};

/// Its fields of the status are its own; the reconcile's are not touched.
const FIELD_MANAGER: &str = "datastream-operator-connection";
const EVERY: Duration = Duration::from_millis(500);
/// Writes in one round: with the pause between two, at most 20 a second.
const ROUND: usize = 10;
/// The longest pause after claims could not be deleted.
const LAST_PAUSE: Duration = Duration::from_mins(1);

/// The writer of one operator.
pub(crate) struct Writer {
    pub client: Client,
    /// The gateways' namespace.
    pub leases: Api<Lease>,
    pub connections: SharedConnections,
    pub subscriptions: Subscriptions,
    /// True once everything has been listed.
    pub complete: watch::Receiver<bool>,
    pub metrics: Arc<Metrics>,
}

/// Subscriptions to look at, first come first served, each once.
#[derive(Default)]
struct Queue {
    order: VecDeque<SubscriptionId>,
    waiting: BTreeSet<SubscriptionId>,
}

impl Queue {
    fn push(&mut self, id: SubscriptionId) {
        if self.waiting.insert(id.clone()) {
            self.order.push_back(id);
        }
    }

    fn pop(&mut self) -> Option<SubscriptionId> {
        let id = self.order.pop_front()?;
        self.waiting.remove(&id);
        Some(id)
    }
}

impl Writer {
    /// Writes for as long as the operator leads.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        self.complete.wait_for(|complete| *complete).await?;
        // What was true of an operator before this one may have changed since.
        for id in self.subscriptions.ids(|s| s.connection.is_some()) {
            self.connections.lock().mark(id, Instant::now());
        }
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut queue = Queue::default();
        let (mut clear_at, mut backoff) = (Instant::now(), Backoff::new(EVERY, LAST_PAUSE));
        loop {
            ticks.tick().await;
            let abandoned = {
                let mut connections = self.connections.lock();
                let abandoned = connections.abandoned(Instant::now());
                for id in connections.take_dirty() {
                    queue.push(id);
                }
                self.metrics.streams_online.set(connections.online() as i64);
                abandoned
            };
            if Instant::now() >= clear_at {
                let cleared = self.clear(abandoned).await;
                if cleared {
                    backoff.reset();
                }
                clear_at = Instant::now() + backoff.next_delay();
            }
            self.round(&mut queue).await;
        }
    }

    /// Looks at everything that waits once, and writes what is due, up to a bound.
    async fn round(&self, queue: &mut Queue) {
        let mut writes = 0;
        for _ in 0..queue.order.len() {
            let Some(id) = queue.pop() else { return };
            let Some(subscription) = self.subscriptions.get(&id) else {
                self.connections.lock().forget(&id);
                continue;
            };
            let said = subscription.connection.as_deref();
            let uid = subscription.uid_text().unwrap_or_default();
            let (now, clock) = (Instant::now(), Timestamp::now());
            let verdict = self.connections.lock().verdict(&id, &uid, said, now, clock);
            match verdict {
                Verdict::Same => (),
                Verdict::Later => queue.push(id),
                Verdict::Write(_) if writes >= ROUND => queue.push(id),
                Verdict::Write(connection) => {
                    writes += 1;
                    match self.write(&subscription, &connection).await {
                        Ok(()) => {
                            self.connections.lock().wrote(id.clone(), now);
                            // Until the watch has brought it, it would seem not to be written.
                            queue.push(id);
                        }
                        Err(error) => {
                            let pause = self.connections.lock().failed(id.clone(), now);
                            tracing::warn!(subscription = %id, error = reason(&error), "cannot write the connection into the status; trying again in {pause:?}");
                            queue.push(id);
                        }
                    }
                }
            }
        }
    }

    async fn write(
        &self,
        subscription: &Subscription,
        connection: &Connection,
    ) -> kube::Result<()> {
        let status = json!({ "connection": connection });
        let written = subscription.apply_status(&self.client, FIELD_MANAGER, &status);
        match written.await {
            Ok(()) => self.metrics.statuses_written.inc(),
            // Deleted, or made again, meanwhile.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => (),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Deletes claims that nobody will ever release, up to a bound. Returns whether that went well.
    async fn clear(&self, claims: Vec<(String, String)>) -> bool {
        for (name, version) in claims.into_iter().take(ROUND) {
            if !self.delete(&name, version).await {
                return false;
            }
        }
        true
    }

    /// Deletes a claim if it is still as it was seen. Returns whether it is not there any more as it was.
    async fn delete(&self, name: &str, version: String) -> bool {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                resource_version: Some(version),
                uid: None,
            }),
            ..DeleteParams::default()
        };
        match self.leases.delete(name, &params).await {
            Ok(_) => tracing::info!(name, "deleted the claim of a gateway that is gone"),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => (),
            Err(error) => {
                tracing::warn!(
                    name,
                    error = reason(&error),
                    "cannot delete the claim of a gateway that is gone"
                );
                return false;
            }
        }
        true
    }
}
