//! The loose spec, checked and turned into types that cannot be wrong. Nothing after this looks at the raw spec.

use std::fmt;

use datastream_crds::{ClientCertificate, DatastreamSubscription, EventType, Filter, Resume};
use datastream_protocol::event;
use datastream_routing::{self as routing, Field, PerField};
use kube::ResourceExt;

use crate::key_rotation::KeyRotation;
use crate::stream_secret::ROTATE;

/// A rendered route may not be larger than this, so that the routes of one bucket fit into a Secret (1 MiB).
pub const MAX_ROUTE_BYTES: usize = 32 << 10;

/// Limit of a subscription's name, so that the name of its Secret, `NAME-stream-key`, has no more than the 253 bytes that Kubernetes allows.
pub const MAX_NAME_BYTES: usize = 242;

/// A subscription that the gateways can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidSubscription {
    /// Namespace and name.
    pub id: routing::SubscriptionId,
    /// `metadata.uid`; empty outside a cluster.
    pub uid: String,
    /// `metadata.generation`; 1 outside a cluster.
    pub generation: i64,
    /// Delivery is stopped.
    pub suspended: bool,
    /// The types to deliver.
    pub event_types: event::EventTypes,
    /// Filters for the devices whose events are delivered.
    pub filters: Vec<routing::Filter>,
    /// The heartbeat of the stream.
    pub heartbeat: routing::Heartbeat,
    /// The position from which a client starts that asks for none.
    pub resume: routing::Resume,
    /// Certificates of which a client must have one.
    pub client_certificate: Option<routing::ClientCertificate>,
    /// Labels, by which tokens may select the subscription.
    pub labels: routing::Labels,
}

impl ValidSubscription {
    /// Returns the route of the subscription, for the gateways.
    pub fn route(&self, key_sha256: routing::KeyHash) -> routing::Route {
        routing::Route {
            id: self.id.clone(),
            uid: self.uid.clone(),
            generation: self.generation,
            key_sha256,
            previous_key_sha256: None,
            suspended: self.suspended,
            event_types: self.event_types,
            filters: self.filters.clone(),
            heartbeat: self.heartbeat,
            resume: self.resume,
            client_certificate: self.client_certificate.clone().map(Box::new),
            labels: (!self.labels.is_empty()).then(|| Box::new(self.labels.clone())),
            denied: None,
            policy: None,
        }
    }

    /// Returns the subscription that a route was made of.
    pub(crate) fn of_route(route: &routing::Route) -> Self {
        Self {
            id: route.id.clone(),
            uid: route.uid.clone(),
            generation: route.generation,
            suspended: route.suspended,
            event_types: route.event_types,
            filters: route.filters.clone(),
            heartbeat: route.heartbeat,
            resume: route.resume,
            client_certificate: route.client_certificate.as_deref().cloned(),
            labels: route.labels.as_deref().cloned().unwrap_or_default(),
        }
    }
}

/// A mistake in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field, as in `spec.filters[0].dsns`.
    pub path: String,
    /// The mistake, and what to do about it.
    pub reason: String,
}

/// Everything that is wrong with a subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(pub Vec<FieldError>);

impl Invalid {
    /// One field that is wrong.
    pub(crate) fn one(path: &str, reason: String) -> Self {
        Self(vec![FieldError {
            path: path.to_owned(),
            reason,
        }])
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", error.path, error.reason)?;
        }
        Ok(())
    }
}

/// Checks a subscription.
///
/// The API server has checked the schema and its rules; what is checked again here is what an older definition of the
/// resource may have let through, and what rules cannot express.
///
/// # Errors
/// Every field that is wrong.
pub fn validate(subscription: &DatastreamSubscription) -> Result<ValidSubscription, Invalid> {
    let spec = &subscription.spec;
    let mut errors = Errors::default();
    let name = subscription.name_any();
    errors.check(
        name.len() <= MAX_NAME_BYTES,
        "metadata.name",
        &format!("has {} characters, but the name of its Secret leaves room for {MAX_NAME_BYTES}: create it under a shorter name", name.len()),
    );
    errors.check(
        !spec.event_types.is_empty(),
        "spec.eventTypes",
        "name at least one event type",
    );
    let heartbeat = routing::Heartbeat {
        interval_seconds: errors.number(
            spec.heartbeat.interval_seconds,
            "spec.heartbeat.intervalSeconds",
        ),
        missed_limit: errors.number(spec.heartbeat.missed_limit, "spec.heartbeat.missedLimit"),
    };
    for (index, filter) in spec.filters.iter().enumerate() {
        errors.filter(index, filter);
    }
    let filters: Vec<_> = spec.filters.iter().map(filter).collect();
    let size = serde_json::to_vec(&filters).map_or(usize::MAX, |text| text.len());
    errors.check(
        size <= MAX_ROUTE_BYTES,
        "spec.filters",
        &format!("take {size} bytes, but {MAX_ROUTE_BYTES} is the limit: use patterns, or several subscriptions"),
    );
    let request = subscription.annotations().get(ROTATE);
    let rotation = KeyRotation::of(spec.key_rotation.as_ref(), request.map(String::as_str));
    if let Err((path, reason)) = rotation {
        errors.check(false, &path, &reason);
    }
    let client_certificate = spec.client_certificate.as_ref();
    errors.check(
        client_certificate.is_none_or(|c| !c.names.is_empty()),
        "spec.clientCertificate.names",
        "name at least one",
    );
    errors.into_result()?;
    Ok(ValidSubscription {
        id: routing::SubscriptionId::new(subscription.namespace().unwrap_or_default(), name),
        uid: subscription.uid().unwrap_or_default(),
        generation: subscription.metadata.generation.unwrap_or(1),
        suspended: spec.suspended,
        event_types: spec.event_types.iter().map(|t| event_type(*t)).collect(),
        filters,
        heartbeat,
        resume: match spec.resume {
            Resume::Latest => routing::Resume::Latest,
            Resume::Committed => routing::Resume::Committed,
        },
        client_certificate: client_certificate.map(certificate),
        labels: subscription.labels().clone(),
    })
}

#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn check(&mut self, good: bool, path: &str, reason: &str) {
        if !good {
            self.0.push(FieldError {
                path: path.to_owned(),
                reason: reason.to_owned(),
            });
        }
    }

    fn number(&mut self, value: i32, path: &str) -> u32 {
        self.check(value > 0, path, "must be positive");
        u32::try_from(value).unwrap_or(1)
    }

    fn filter(&mut self, index: usize, filter: &Filter) {
        let lists = filter.lists();
        let path = format!("spec.filters[{index}]");
        let empty = lists.iter().all(|(_, list)| list.is_empty());
        self.check(
            !empty,
            &path,
            "give at least one of oemIds, oemModels, dsns and propertyNames",
        );
        for (name, list) in lists {
            for (item, text) in list.iter().enumerate() {
                self.check(
                    !text.trim().is_empty(),
                    &format!("{path}.{name}[{item}]"),
                    "must not be blank",
                );
            }
        }
    }

    fn into_result(self) -> Result<(), Invalid> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Invalid(self.0))
        }
    }
}

pub(crate) fn event_type(event_type: EventType) -> event::EventType {
    match event_type {
        EventType::Connectivity => event::EventType::Connectivity,
        EventType::Datapoint => event::EventType::Datapoint,
        EventType::Datapointack => event::EventType::Datapointack,
        EventType::Location => event::EventType::Location,
        EventType::Registration => event::EventType::Registration,
    }
}

fn certificate(given: &ClientCertificate) -> routing::ClientCertificate {
    // DNS names are the same in capitals; gateways read those of certificates in lower case.
    let name = |name: &String| {
        if name.contains([':', '@']) {
            name.clone()
        } else {
            name.to_ascii_lowercase()
        }
    };
    let mut names: Vec<_> = given.names.iter().map(name).collect();
    names.sort();
    names.dedup();
    routing::ClientCertificate {
        names,
        without_key: given.without_key,
    }
}

pub(crate) fn filter(filter: &Filter) -> routing::Filter {
    // Sorted and each once, so that the order in a manifest makes no difference to the gateways.
    let patterns = |items: &[String]| {
        let mut patterns: Vec<_> = items
            .iter()
            .map(|i| routing::Pattern::new(i.as_str()))
            .collect();
        patterns.sort();
        patterns.dedup();
        patterns
    };
    let given = filter.lists();
    let list = |field: Field| given.iter().find(|(name, _)| *name == field.list_name());
    let patterns = |field| list(field).map_or_else(Vec::new, |(_, items)| patterns(items));
    routing::Filter::new(PerField::from_fn(patterns))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subscription(spec: serde_json::Value) -> DatastreamSubscription {
        serde_json::from_value(json!({
            "apiVersion": "datastream.dev/v1alpha1",
            "kind": "DatastreamSubscription",
            "metadata": {"namespace": "team", "name": "leds", "uid": "u1", "generation": 3},
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn every_list_of_the_resource_reaches_the_gateways_under_its_own_field() {
        let named = Filter::default().lists().map(|(name, _)| name);
        assert_eq!(named.len(), Field::ALL.len());
        let mut given = Filter::default();
        for (list, name) in given.lists_mut().into_iter().zip(named) {
            list.push(name.to_owned());
        }
        let filter = filter(&given);
        for field in Field::ALL {
            assert_eq!(filter.list(field), [field.list_name().into()]);
        }
    }

    #[test]
    fn a_valid_spec_is_converted_into_a_route() {
        let valid = validate(&subscription(json!({
            "eventTypes": ["datapoint", "connectivity"],
            "filters": [{"dsns": ["B", "A*", "B"]}],
            "resume": "Committed",
        })))
        .unwrap();
        assert_eq!(valid.id, routing::SubscriptionId::new("team", "leds"));
        assert_eq!(
            (valid.uid.as_str(), valid.generation, valid.suspended),
            ("u1", 3, false)
        );
        assert_eq!(valid.filters[0].list(Field::Dsn), ["A*".into(), "B".into()]);
        assert_eq!(
            valid.heartbeat,
            routing::Heartbeat {
                interval_seconds: 30,
                missed_limit: 3
            }
        );
        assert_eq!(valid.resume, routing::Resume::Committed);
        assert!(valid.event_types.contains(event::EventType::Connectivity));
    }

    #[test]
    fn names_of_certificates_are_sorted_and_dns_names_in_lower_case() {
        let names = json!(["spiffe://A/b", "B.example", "a.example", "b.example", "X@y"]);
        let valid = validate(&subscription(json!({
            "eventTypes": ["location"],
            "clientCertificate": {"names": names},
        })));
        let certificate = valid.unwrap().client_certificate.unwrap();
        let expected = ["X@y", "a.example", "b.example", "spiffe://A/b"];
        assert_eq!(certificate.names, expected);
        assert!(!certificate.without_key);
    }

    #[test]
    fn all_errors_of_a_spec_are_named_at_once() {
        let error = validate(&subscription(json!({
            "eventTypes": [],
            "filters": [{}, {"dsns": ["A", " "]}],
            "heartbeat": {"intervalSeconds": 0, "missedLimit": -1},
        })))
        .unwrap_err();
        let paths: Vec<_> = error.0.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "spec.eventTypes",
                "spec.heartbeat.intervalSeconds",
                "spec.heartbeat.missedLimit",
                "spec.filters[0]",
                "spec.filters[1].dsns[1]",
            ]
        );
        assert!(
            error
                .to_string()
                .contains("spec.filters[1].dsns[1]: must not be blank"),
            "{error}"
        );
    }

    #[test]
    fn a_name_too_long_for_its_secret_is_refused() {
        let mut long = subscription(json!({"eventTypes": ["location"]}));
        long.metadata.name = Some("n".repeat(MAX_NAME_BYTES + 1));
        assert_eq!(validate(&long).unwrap_err().0[0].path, "metadata.name");
    }

    #[test]
    fn filters_that_would_fill_a_bucket_are_rejected() {
        let long: Vec<_> = (0..256).map(|n| format!("{n:064}")).collect();
        let filters: Vec<_> = (0..8).map(|_| json!({"dsns": long})).collect();
        let error = validate(&subscription(
            json!({"eventTypes": ["location"], "filters": filters}),
        ))
        .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("use patterns, or several subscriptions"),
            "{error}"
        );
    }
}
