//! Access rules: which events the subscriptions of which namespaces may ask for.

// The derive repeats the visibility of the type on helper items of its own; each printer column has the same fields.
#![allow(unreachable_pub, clippy::duplicated_attributes)]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{EventType, Filter};

/// Events that the subscriptions of some namespaces may ask for, or may not. A rule that denies wins over all that allow. Once there is
/// a rule, what none allows is denied, unless the operator is set otherwise.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "datastream.dev",
    version = "v1alpha1",
    kind = "DatastreamAccessRule",
    shortname = "dsar",
    category = "datastream",
    derive = "PartialEq",
    cel,
    doc = "A rule of which events the subscriptions of which namespaces may ask for.",
    printcolumn(name = "Effect", type_ = "string", json_path = ".spec.effect"),
    printcolumn(name = "Event Types", type_ = "string", json_path = ".spec.eventTypes"),
    printcolumn(
        name = "Description",
        type_ = "string",
        json_path = ".spec.description",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("!has(self.eventTypes) || self.eventTypes.all(t, self.eventTypes.exists_one(u, u == t))")
        .message("eventTypes must not name a type twice"),
    validation = Rule::new(
        "!has(self.eventTypes) || !has(self.filters) || self.filters.all(f, !has(f.propertyNames)) || \
         self.eventTypes.exists(t, t == 'datapoint' || t == 'datapointack')"
    )
    .message("propertyNames can only match datapoint and datapointack events: add one of them to eventTypes, or leave propertyNames out")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatastreamAccessRuleSpec {
    /// Effect on the events that the rule selects: Allow or Deny. Deny wins over every rule that allows.
    pub effect: Effect,

    /// The namespaces whose subscriptions the rule is for, by their labels; kubernetes.io/metadata.name is their name. Unset: all.
    #[serde(default)]
    pub namespaces: NamespaceSelector,

    /// The types of the events that the rule selects, each once. Unset: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 5))]
    pub event_types: Vec<EventType>,

    /// The events that the rule selects, by device and property, as filters of subscriptions do: any entry. Unset: those of every
    /// device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub filters: Vec<Filter>,

    /// Purpose of the rule, for people. Unset: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub description: Option<String>,
}

/// Effect of a rule on the events that it selects.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Subscriptions may ask for them.
    Allow,
    /// Subscriptions may not, whatever other rules allow.
    Deny,
}

/// Selection of namespaces by their labels, as label selectors of Kubernetes: all that is given must match.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceSelector {
    /// Labels that a namespace must have. Unset: any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub match_labels: BTreeMap<String, String>,

    /// Requirements that the labels of a namespace must meet. Unset: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<Requirement>,
}

/// Requirement of one label.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.values) == (self.operator == 'In' || self.operator == 'NotIn')")
        .message("values go with the operators In and NotIn, which need at least one, and with no other")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The key of the label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,

    /// In: the value is one of values. `NotIn`: it is none of them, or the label is absent. Exists, `DoesNotExist`: the label is there, or
    /// not.
    pub operator: Operator,

    /// Values of the label. Unset: none, as Exists and `DoesNotExist` have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// Relation of a label to the values of a requirement.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Its value is one of them.
    In,
    /// Its value is none of them, or it is absent.
    NotIn,
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

impl NamespaceSelector {
    /// The keys of the labels that it looks at.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let required = self.match_expressions.iter().map(|r| r.key.as_str());
        self.match_labels.keys().map(String::as_str).chain(required)
    }

    /// Returns whether it selects a namespace with these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let mut by_label = self.match_labels.iter();
        by_label.all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|r| r.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let is_listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => is_listed,
            Operator::NotIn => !is_listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn namespaces_are_selected_as_label_selectors_do() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let (eu, us, none) = (
            labels(&[("region", "eu")]),
            labels(&[("region", "us")]),
            labels(&[]),
        );
        let requirement = |operator: &str, values: serde_json::Value| json!({"matchExpressions": [{"key": "region", "operator": operator, "values": values}]});
        for (selector, expected) in [
            (json!({}), [true, true, true]),
            (
                json!({"matchLabels": {"region": "eu"}}),
                [true, false, false],
            ),
            (requirement("In", json!(["eu", "us"])), [true, true, false]),
            (requirement("NotIn", json!(["eu"])), [false, true, true]),
            (requirement("Exists", json!([])), [true, true, false]),
            (requirement("DoesNotExist", json!([])), [false, false, true]),
            (
                json!({"matchLabels": {"region": "eu"}, "matchExpressions": [{"key": "team", "operator": "Exists"}]}),
                [false, false, false],
            ),
        ] {
            let read: NamespaceSelector = serde_json::from_value(selector.clone()).unwrap();
            assert_eq!(
                [&eu, &us, &none].map(|l| read.matches(l)),
                expected,
                "{selector}"
            );
        }
    }
}
