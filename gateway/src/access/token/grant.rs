//! Subscriptions that a token opens, as its claims name them.

use std::collections::BTreeMap;

use datastream_routing::{Labels, Route, SubscriptionId};
use serde::Deserialize;
use serde_json::Value;

use super::TokenSettings;

/// Grants that a token may have.
const MAX_GRANTS: usize = 256;

/// Subscriptions of one namespace: all, one by its name, or those with these labels.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    namespace: String,
    name: Option<String>,
    selector: Option<LabelSelector>,
}

/// A label selector, as Kubernetes has it (`meta/v1`). What it does not know it refuses: a typing error must not widen a grant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LabelSelector {
    #[serde(default)]
    match_labels: BTreeMap<String, String>,
    #[serde(default)]
    match_expressions: Vec<Requirement>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    key: String,
    operator: Operator,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// One grant, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    More(Vec<Value>),
    One(Value),
}

/// The grants in the claims of a token.
///
/// # Errors
/// A claim that is malformed.
pub(super) fn grants(claims: &Value, settings: &TokenSettings) -> Result<Vec<Grant>, String> {
    let mut grants = vec![];
    if let Some(namespace) = settings
        .namespace_claim
        .as_ref()
        .and_then(|path| at(claims, path))
    {
        grants.push(Grant {
            namespace: namespace.to_owned(),
            name: None,
            selector: None,
        });
    }
    let claim = &settings.claim;
    let malformed = |error: String| format!("its claim {claim} cannot be read: {error}");
    let given = claims.get(claim).map(OneOrMore::deserialize).transpose();
    let given = match given.map_err(|error| malformed(error.to_string()))? {
        None => vec![],
        Some(OneOrMore::One(grant)) => vec![grant],
        Some(OneOrMore::More(grants)) => grants,
    };
    if given.len() > MAX_GRANTS {
        return Err(malformed(format!("it has more than {MAX_GRANTS} entries")));
    }
    for grant in given {
        let grant = Grant::deserialize(grant).map_err(|error| malformed(error.to_string()))?;
        let requirements = grant.selector.iter().flat_map(|s| &s.match_expressions);
        if let Some(requirement) = requirements.into_iter().find(|r| !r.is_valid()) {
            let key = &requirement.key;
            return Err(malformed(format!(
                "the requirement of label {key} has values where its operator takes none, or none where it takes some"
            )));
        }
        grants.push(grant);
    }
    Ok(grants)
}

/// The text at this path.
fn at<'a>(claims: &'a Value, path: &[String]) -> Option<&'a str> {
    path.iter()
        .try_fold(claims, |value, name| value.get(name))?
        .as_str()
}

impl Grant {
    /// Returns whether this is one of its subscriptions.
    pub(super) fn is_of(&self, route: &Route) -> bool {
        let none = Labels::new();
        let labels = route.labels.as_deref().unwrap_or(&none);
        *self.namespace == *route.id.namespace
            && self
                .name
                .as_deref()
                .is_none_or(|name| *name == *route.id.name)
            && self
                .selector
                .as_ref()
                .is_none_or(|selector| selector.matches(labels))
    }

    /// Its one subscription, if it names one.
    pub(super) fn only(&self) -> Option<SubscriptionId> {
        let name = self.name.as_deref()?;
        Some(SubscriptionId::new(self.namespace.as_str(), name))
    }
}

impl LabelSelector {
    fn matches(&self, labels: &Labels) -> bool {
        let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.match_labels.iter().all(has)
            && self
                .match_expressions
                .iter()
                .all(|r| r.matches(labels.get(&r.key)))
    }
}

impl Requirement {
    const fn is_valid(&self) -> bool {
        match self.operator {
            Operator::In | Operator::NotIn => !self.values.is_empty(),
            Operator::Exists | Operator::DoesNotExist => self.values.is_empty(),
        }
    }

    fn matches(&self, value: Option<&String>) -> bool {
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}
