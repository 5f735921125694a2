//! Dependencies that packages may have on each other: the table of `docs/decisions/0011-packages.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use datastream_e2e::checkout;

/// Packages, by folder, with those of the project that they may depend on.
const ARROWS: [(&str, &[&str]); 12] = [
    ("protocol", &[]),
    ("service", &[]),
    ("service/kube", &["service"]),
    ("source", &[]),
    ("crds", &[]),
    ("gateway/routing", &["protocol"]),
    ("client", &["protocol", "service"]),
    ("collector", &["client", "protocol", "service"]),
    ("broker", &["service"]),
    (
        "gateway",
        &[
            "gateway/routing",
            "protocol",
            "service",
            "service/kube",
            "source",
        ],
    ),
    (
        "operator",
        &[
            "crds",
            "gateway/routing",
            "protocol",
            "service",
            "service/kube",
        ],
    ),
    (
        "cli",
        &[
            "broker",
            "client",
            "collector",
            "crds",
            "gateway",
            "gateway/routing",
            "operator",
            "protocol",
            "service",
            "source",
        ],
    ),
];

/// The manifest of a package, its sections by name.
fn manifest(folder: &str) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(checkout(&format!("{folder}/Cargo.toml"))).unwrap();
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once(" = ") {
            sections
                .entry(section.clone())
                .or_default()
                .push(key.to_owned());
        }
    }
    sections
}

fn package(folder: &str) -> String {
    match folder {
        "service/kube" => "datastream-service-kube".to_owned(),
        "gateway/routing" => "datastream-routing".to_owned(),
        folder => format!("datastream-{folder}"),
    }
}

#[test]
fn packages_depend_only_on_those_below_them() {
    for (folder, allowed) in ARROWS {
        let allowed: BTreeSet<_> = allowed.iter().map(|folder| package(folder)).collect();
        let dependencies = manifest(folder).remove("dependencies").unwrap_or_default();
        let ours = dependencies
            .into_iter()
            .filter(|name| name.starts_with("datastream-"));
        let ours: BTreeSet<_> = ours.collect();
        assert_eq!(
            ours, allowed,
            "{folder} depends on other packages than docs/decisions/0011 says"
        );
    }
}

#[test]
fn every_package_is_in_the_table() {
    let workspace = fs::read_to_string(checkout("Cargo.toml")).unwrap();
    let members = workspace
        .lines()
        .find_map(|line| line.strip_prefix("members = "))
        .unwrap();
    let members = members
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|member| *member != "e2e");
    let known: BTreeSet<_> = ARROWS.iter().map(|(folder, _)| *folder).collect();
    assert_eq!(members.collect::<BTreeSet<_>>(), known);
}

/// The packages above in the table know nothing of Kubernetes, of Fluvio or of a WebSocket library but where it says so.
#[test]
fn libraries_of_others_stay_in_their_packages() {
    for (library, allowed) in [
        (
            "kube",
            &["service/kube", "crds", "gateway", "operator", "cli"][..],
        ),
        ("fluvio", &["source"]),
        ("tokio-tungstenite", &["client", "gateway"]),
        ("rusqlite", &["collector"]),
        (
            "tokio",
            &[
                "service",
                "service/kube",
                "source",
                "client",
                "collector",
                "broker",
                "gateway",
                "operator",
                "cli",
            ],
        ),
    ] {
        for (folder, _) in ARROWS {
            let dependencies = manifest(folder).remove("dependencies").unwrap_or_default();
            assert!(
                !dependencies.iter().any(|name| name == library) || allowed.contains(&folder),
                "{folder} depends on {library}"
            );
        }
    }
}
