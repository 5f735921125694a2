//! `datastream access check`: a dry run of access rules on subscriptions.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use datastream_operator::access::AccessDefault;
use datastream_service::stdout;

use crate::manifests::{Access, Object, ObjectId, read};

/// Bytes that one file may have.
const MAX_FILE: u64 = 64 << 20;

const EXAMPLES: &str = "Examples:
  datastream access check rules.yaml subscription.yaml
  kubectl get datastreamaccessrules,namespaces -o yaml | datastream access check - subscription.yaml
  kubectl get datastreamaccessrules,namespaces,datastreamsubscriptions -A -o yaml | datastream access check - new-rule.yaml";

/// Options of `datastream access check`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// Files with subscriptions, access rules and namespaces with their labels; - is standard input. An object that several files define
    /// counts as the last of them has it.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Handling of events that no rule selects, as the operator is set.
    #[arg(long, value_enum, default_value_t)]
    pub access_default: AccessDefault,
}

/// Prints a line for each subscription. Fails if one of them asks for more than it may.
///
/// # Errors
/// A file that cannot be read, or that has something else in it than the API server would take.
pub(super) fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let mut objects = BTreeMap::new();
    let mut problems = 0;
    for path in &args.files {
        let (name, text) = content(path)?;
        let reading = read(&name, &text);
        for problem in &reading.problems {
            tracing::error!("{problem}");
        }
        problems += reading.problems.len();
        let good = reading.good.into_iter();
        objects.extend(good.map(|(id, manifest)| (id, manifest.object)));
    }
    anyhow::ensure!(problems == 0, "nothing was checked: correct that first");
    let access = Access::of(objects.iter(), args.access_default);
    access.check_size()?;
    for namespace in access.guessed() {
        tracing::warn!(
            "namespace {namespace} is not in the files, and rules select by labels: only its name is known (kubectl get namespaces -o yaml)"
        );
    }
    let (text, are_allowed) = verdicts(&objects, &access)?;
    stdout::write(text.as_bytes())?;
    Ok(if are_allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A line for each subscription, and whether all of them are allowed.
fn verdicts(
    objects: &BTreeMap<ObjectId, Object>,
    access: &Access,
) -> anyhow::Result<(String, bool)> {
    let (mut lines, mut are_allowed) = (vec![], true);
    for object in objects.values() {
        let Object::Subscription(subscription) = object else {
            continue;
        };
        let verdict = match access.check(subscription) {
            Ok(()) => "allowed".to_owned(),
            Err(denial) => {
                are_allowed = false;
                format!("denied: {denial}")
            }
        };
        lines.push(format!("{}: {verdict}\n", subscription.id));
    }
    anyhow::ensure!(
        !lines.is_empty(),
        "there is no subscription in the files: name one with the manifests of some"
    );
    Ok((lines.concat(), are_allowed))
}

/// The name of a file in messages, and its text.
fn content(path: &Path) -> anyhow::Result<(String, String)> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let mut text = String::new();
    let read = if is_stdin {
        io::stdin().take(MAX_FILE + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
    };
    let bytes = read.with_context(|| format!("cannot read {name}"))? as u64;
    anyhow::ensure!(
        bytes <= MAX_FILE,
        "{name} has more than {} MiB: name a file of manifests",
        MAX_FILE >> 20
    );
    Ok((name, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "\
apiVersion: datastream.dev/v1alpha1
kind: DatastreamAccessRule
metadata: {name: lights}
spec:
  effect: Allow
  namespaces: {matchLabels: {team: lights}}
  filters: [{oemIds: [acme*]}]
---
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {team: lights}}
";

    fn checked(oem_id: &str, namespace: &str) -> (String, bool, Vec<String>) {
        let subscription = format!(
            "apiVersion: datastream.dev/v1alpha1\nkind: DatastreamSubscription\nmetadata: {{name: leds, namespace: {namespace}}}\nspec: {{eventTypes: [location], filters: [{{oemIds: [{oem_id}]}}]}}\n"
        );
        let good = [RULES, &subscription].map(|text| read("f.yaml", text).good);
        let objects = good.into_iter().flatten();
        let objects: BTreeMap<_, _> = objects.map(|(id, m)| (id, m.object)).collect();
        let access = Access::of(objects.iter(), AccessDefault::default());
        let (text, are_allowed) = verdicts(&objects, &access).unwrap();
        let guessed = access.guessed().map(str::to_owned).collect();
        (text, are_allowed, guessed)
    }

    #[test]
    fn each_subscription_is_allowed_or_denied_by_a_rule_that_is_named() {
        let (text, are_allowed, guessed) = checked("acme-1", "team-a");
        assert_eq!(text, "team-a/leds: allowed\n");
        assert!(are_allowed && guessed.is_empty());
        let (text, are_allowed, _) = checked("other", "team-a");
        assert_eq!(
            text,
            "team-a/leds: denied: no access rule allows location events of oemIds other (spec.filters[0])\n"
        );
        assert!(!are_allowed);
    }

    #[test]
    fn a_namespace_whose_labels_are_not_known_is_named() {
        let (_, are_allowed, guessed) = checked("acme-1", "team-b");
        assert!(!are_allowed);
        assert_eq!(guessed, ["team-b"]);
    }
}
