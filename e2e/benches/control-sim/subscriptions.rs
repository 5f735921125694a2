//! The subscriptions of the simulation, in a hundred namespaces.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::changes::Manager;
use crate::manifest::{generation_programmed, manifest, name};
use crate::operator::NAMESPACE;
use crate::selector::Selector;
use crate::server::Server;
use crate::store::{Name, Object, Watcher};
use crate::target::Target;

const KIND: &str = "datastreamsubscriptions";
const NAMESPACES: usize = 100;
/// The longest time without a change of a subscription.
const PATIENCE: Duration = Duration::from_mins(2);

/// The part of a subscription that says which generation every gateway serves.
#[derive(Deserialize)]
struct Found {
    metadata: Metadata,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize)]
struct Metadata {
    generation: i64,
}

pub(crate) struct Subscriptions {
    server: Arc<Server>,
    watcher: Watcher,
    programmed: HashSet<Name>,
}

fn user() -> Manager {
    Manager::new("bench", "Update")
}

fn namespace(number: usize) -> String {
    format!("team-{:02}", number % NAMESPACES)
}

impl Subscriptions {
    /// Makes the namespaces, without a subscription in them.
    pub(crate) fn new(server: Arc<Server>) -> Self {
        let teams = (0..NAMESPACES).map(namespace);
        for name in teams.chain([NAMESPACE.to_owned()]) {
            let object = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            });
            let target = Target::new("namespaces", "", &name);
            server.create(&target, object, &user()).unwrap();
        }
        let watcher = server.store.follow(KIND, Selector::default(), 0);
        Self {
            server,
            watcher,
            programmed: HashSet::new(),
        }
    }

    /// Creates so many.
    pub(crate) async fn create(&self, count: usize) {
        for number in 0..count {
            let target = Target::new(KIND, &namespace(number), "");
            let created = self.server.create(&target, manifest(number), &user());
            created.unwrap();
            // The operator's requests are answered meanwhile.
            tokio::task::yield_now().await;
        }
    }

    /// Changes the filter of one; returns the new generation.
    pub(crate) fn edit(&self, number: usize) -> i64 {
        let patch = json!({"spec": {"filters": [{"dsns": [format!("AC000W{number:09}")]}]}});
        let target = Target::new(KIND, &namespace(number), &name(number));
        let edited = self.server.merge(&target, &patch, &user()).unwrap();
        let found: Found = serde_json::from_slice(&edited.json).unwrap();
        found.metadata.generation
    }

    /// Waits until every gateway serves so many as they are now.
    pub(crate) async fn all_programmed(&mut self, count: usize) -> Result<(), usize> {
        while self.programmed.len() < count {
            let next = timeout(PATIENCE, self.next()).await;
            let Ok(found) = next else {
                return Err(self.programmed.len());
            };
            for (name, found) in found {
                if generation_programmed(&found.status) == Some(found.metadata.generation) {
                    self.programmed.insert(name);
                }
            }
        }
        Ok(())
    }

    /// Waits until every gateway serves this generation.
    pub(crate) async fn programmed(&mut self, number: usize, generation: i64) {
        let wanted = (namespace(number), name(number));
        loop {
            let found = timeout(PATIENCE, self.next()).await.unwrap();
            let is_done = |(name, found): &(Name, Found)| {
                *name == wanted && generation_programmed(&found.status) == Some(generation)
            };
            if found.iter().any(is_done) {
                return;
            }
        }
    }

    async fn next(&mut self) -> Vec<(Name, Found)> {
        let changes = self.watcher.next().await.unwrap();
        let read = |object: &Object| serde_json::from_slice(&object.json).unwrap();
        let found = changes.iter().map(|change| &change.object);
        found.map(|o| (o.name.clone(), read(o))).collect()
    }
}
