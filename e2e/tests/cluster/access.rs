//! Rights that the programs really asked the API server for, against those that they are granted.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use crate::kubectl::Kubectl;
use crate::settings::SYSTEM;

/// A right: verb and resource, as in `patch leases.coordination.k8s.io` or `patch datastreamsubscriptions/status.datastream.dev`.
type Rights = BTreeSet<String>;

/// The API server's audit log, if the cluster was made for this test.
pub(crate) fn log() -> Option<PathBuf> {
    std::env::var_os("DATASTREAM_AUDIT_LOG").map(Into::into)
}

/// The rights that an account of the release has been seen to use.
pub(crate) fn used(log: &str, account: &str) -> Rights {
    let user = format!("system:serviceaccount:{SYSTEM}:{account}");
    let event = |line: &str| serde_json::from_str::<Value>(line).ok();
    let used = log
        .lines()
        .filter_map(event)
        .filter(|event| event["user"]["username"] == *user);
    used.filter_map(|event| right(&event)).collect()
}

fn right(event: &Value) -> Option<String> {
    // Discovery and health need no right of a role.
    let object = event["objectRef"].as_object()?;
    let text = |field: &str| object.get(field).and_then(Value::as_str);
    let group = text("apiGroup").unwrap_or_default();
    // Everybody may ask what he himself may do.
    if group == "authorization.k8s.io" {
        return None;
    }
    let subresource = text("subresource").map_or(String::new(), |s| format!("/{s}"));
    Some(format!(
        "{} {}{subresource}.{group}",
        event["verb"].as_str()?,
        text("resource")?
    ))
}

/// The rights that the roles of an account grant, which are called like it, for the operator's with an end to the name.
pub(crate) fn granted(kubectl: &Kubectl, account: &str) -> anyhow::Result<Rights> {
    let mut granted = Rights::new();
    let ends = ["-routes", "-leader"].map(|end| format!("{account}{end}"));
    for role in [
        &["role", "-n", SYSTEM, "--ignore-not-found", account][..],
        &["role", "-n", SYSTEM, "--ignore-not-found", &ends[0]],
        &["role", "-n", SYSTEM, "--ignore-not-found", &ends[1]],
        &["clusterrole", "--ignore-not-found", account],
    ] {
        let text = kubectl.run(&[&["get", "-o", "json"], role].concat())?;
        if text.trim().is_empty() {
            continue;
        }
        let role: Value = serde_json::from_str(&text)?;
        for rule in role["rules"].as_array().context("a role has rules")? {
            let words = |field: &str| {
                let words = rule[field].as_array().into_iter().flatten();
                words
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            for group in words("apiGroups") {
                for resource in words("resources") {
                    for verb in words("verbs") {
                        granted.insert(format!("{verb} {resource}.{group}"));
                    }
                }
            }
        }
    }
    Ok(granted)
}
