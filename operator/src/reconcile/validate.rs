//! The decision whether a subscription can be served, by the verdict on its spec.

use std::sync::Arc;

use super::gather::Gathered;
use super::status::Outcome;
use crate::groups::Group;
use crate::key_rotation::KeyRotation;
use crate::spec::Invalid;
use crate::uid::Uid;
use crate::verdicts::{Fault, Verdict};

/// A subscription that can be served, and where.
pub(super) struct Target<'a> {
    pub uid: Uid,
    pub generation: i64,
    pub group: &'a Group,
    /// The URL at which clients connect, without a key.
    pub endpoint: &'a str,
    /// Rules for the replacement of its key.
    pub rotation: KeyRotation,
}

/// Decides whether a subscription can be served, by the verdict on its spec.
///
/// # Errors
/// The reason for which it cannot.
pub(super) fn target<'a>(gathered: &'a Gathered<'_>) -> Result<Target<'a>, Outcome> {
    if let Verdict::Faulty(fault) = &gathered.subscription.verdict {
        return Err(Outcome::Faulty(fault.clone()));
    }
    let group = gathered.group.as_ref();
    let &(group, endpoint) =
        group.map_err(|invalid| Outcome::Faulty(Arc::new(Fault::Invalid(invalid.clone()))))?;
    let subscription = gathered.subscription;
    let rotation = KeyRotation::of(
        subscription.key_rotation.as_deref(),
        subscription.rotate_key.as_deref(),
    );
    let rotation = rotation.map_err(|(path, reason)| {
        let invalid = Invalid::one(&path, reason);
        Outcome::Faulty(Arc::new(Fault::Invalid(invalid)))
    })?;
    Ok(Target {
        uid: subscription.uid.clone().unwrap_or_default(),
        generation: subscription.generation.unwrap_or(1),
        group,
        endpoint,
        rotation,
    })
}
