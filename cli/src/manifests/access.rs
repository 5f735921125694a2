//! Access rules of a set of manifests, for the namespaces of its subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use datastream_operator::access::{AccessDefault, MAX_RULES, resolve};
use datastream_operator::spec::ValidSubscription;
use datastream_routing::{AccessRules, Denial};

use super::{Object, ObjectId};

/// The label of every namespace of a cluster that has its name.
const NAME: &str = "kubernetes.io/metadata.name";

/// The access rules of some manifests.
pub struct Access {
    rules: AccessRules,
    /// Namespaces whose labels are not known, where a rule looks at them.
    guessed: BTreeSet<String>,
}

impl Access {
    /// The rules among these objects, for the namespaces among them and those of their subscriptions. A namespace that is not among
    /// them has the label of its name and no other.
    pub fn of<'a>(
        objects: impl Iterator<Item = (&'a ObjectId, &'a Object)>,
        default: AccessDefault,
    ) -> Self {
        let mut rules = vec![];
        let mut namespaces: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
        let (mut defined, mut named) = (BTreeSet::new(), BTreeSet::new());
        for (id, object) in objects {
            match (id, object) {
                (ObjectId::AccessRule(name), Object::AccessRule(spec)) => {
                    rules.push((name.as_str(), spec.as_ref()));
                }
                (ObjectId::Namespace(name), Object::Namespace(labels)) => {
                    namespaces.entry(name).or_default().extend(labels.clone());
                    defined.insert(name.to_owned());
                }
                (ObjectId::Subscription(id), _) => {
                    namespaces.entry(&id.namespace).or_default();
                    named.insert(id.namespace.to_string());
                }
                _ => (),
            }
        }
        for (name, labels) in &mut namespaces {
            labels.insert(NAME.to_owned(), (*name).to_owned());
        }
        let by_label = rules.iter().any(|(_, spec)| {
            let mut keys = spec.namespaces.keys();
            keys.any(|key| key != NAME)
        });
        let guessed = named.difference(&defined).filter(|_| by_label).cloned();
        let guessed = guessed.collect();
        let namespaces = namespaces.iter().map(|(name, labels)| (*name, labels));
        let rules = resolve(rules.into_iter(), namespaces, default);
        Self { rules, guessed }
    }

    /// Namespaces of subscriptions that are not among the objects, where a rule looks at labels that they may have.
    pub fn guessed(&self) -> impl Iterator<Item = &str> {
        self.guessed.iter().map(String::as_str)
    }

    /// The rules, and which of them hold for which namespace.
    pub const fn rules(&self) -> &AccessRules {
        &self.rules
    }

    /// Checks that an operator could publish the rules.
    ///
    /// # Errors
    /// All of them are too large together.
    pub fn check_size(&self) -> anyhow::Result<()> {
        let bytes = self.rules.encode()?.len();
        anyhow::ensure!(
            bytes <= MAX_RULES,
            "all rules together take {bytes} bytes, but {MAX_RULES} is the limit, and an operator would leave those before in force: use patterns instead of long lists"
        );
        Ok(())
    }

    /// Checks that a subscription asks for nothing that its namespace may not have.
    ///
    /// # Errors
    /// The first part that is denied.
    pub fn check(&self, subscription: &ValidSubscription) -> Result<(), Denial> {
        let policy = self.rules.policy(&subscription.id.namespace);
        policy.map_or(Ok(()), |policy| {
            policy.check(subscription.event_types, &subscription.filters)
        })
    }
}
