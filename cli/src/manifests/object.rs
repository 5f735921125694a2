//! Objects that a manifest can define.

use std::collections::BTreeMap;
use std::fmt;

use datastream_crds::DatastreamAccessRuleSpec;
use datastream_operator::spec::ValidSubscription;
use datastream_routing::SubscriptionId;

/// The kind of an object, with its name, and its namespace if it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectId {
    /// A subscription.
    Subscription(SubscriptionId),
    /// An access rule.
    AccessRule(String),
    /// A namespace.
    Namespace(String),
}

/// An object that a manifest defines.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A subscription.
    Subscription(Box<ValidSubscription>),
    /// An access rule.
    AccessRule(Box<DatastreamAccessRuleSpec>),
    /// A namespace, with its labels.
    Namespace(BTreeMap<String, String>),
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscription(id) => write!(f, "{id}"),
            Self::AccessRule(name) => write!(f, "access rule {name}"),
            Self::Namespace(name) => write!(f, "namespace {name}"),
        }
    }
}
