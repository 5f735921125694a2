//! Dependencies that packages may have on each other: the table of `docs/decisions/0011-packages.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use datastream_e2e::checkout;

/// Packages, by folder, with those of the project that they may depend on.
const ARROWS: [(&str, &[&str]); 13] = [
    ("protocol", &[]),
    ("contracts", &["protocol"]),
    ("service", &[]),
    ("service/kube", &["service"]),
    ("source", &["service"]),
    ("crds", &[]),
    ("gateway/routing", &["protocol"]),
    ("client", &["contracts", "protocol", "service"]),
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

/// Packages that are tests of the others, and may know all of them.
const TESTS: [&str; 2] = ["e2e", "fuzz"];

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
fn packages_depend_only_on_packages_of_lower_layers() {
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
fn every_package_is_in_the_table_of_layers() {
    let workspace = fs::read_to_string(checkout("Cargo.toml")).unwrap();
    let members = workspace
        .lines()
        .find_map(|line| line.strip_prefix("members = "))
        .unwrap();
    let members = members
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|member| !TESTS.contains(member));
    let known: BTreeSet<_> = ARROWS.iter().map(|(folder, _)| *folder).collect();
    assert_eq!(members.collect::<BTreeSet<_>>(), known);
}

/// The packages above in the table know nothing of Kubernetes, of Fluvio or of a WebSocket library but where it says so.
#[test]
fn external_libraries_are_used_only_in_their_packages() {
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

/// The source files of a package under each of its top-level modules, tests left out.
fn modules(folder: &str) -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    let root = PathBuf::from(checkout(folder)).join("src");
    let mut waiting = vec![root.clone()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let within = path.strip_prefix(&root).unwrap();
        let first = within.iter().next().unwrap().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        let is_test = within.file_stem().is_some_and(|stem| stem == "tests");
        if is_test || ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let all: &mut String = modules.entry(module).or_default();
        all.extend(lines.flat_map(|line| [line, "\n"]));
    }
    modules
}

/// Top-level modules that a module names, by `crate::NAME`.
fn named<'a>(code: &str, modules: &'a BTreeMap<String, String>) -> BTreeSet<&'a str> {
    let paths = code.split("crate::").skip(1);
    let names = paths.filter_map(|path| {
        path.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
    });
    let known = names.filter_map(|name| modules.get_key_value(name));
    known.map(|(name, _)| name.as_str()).collect()
}

/// Names of the WebSocket library stand where frames are written, and nowhere before.
#[test]
fn the_websocket_library_is_named_only_by_the_transport_of_the_gateway() {
    for (module, code) in modules("gateway") {
        assert!(
            module == "transport" || !code.contains("tungstenite"),
            "{module} names the WebSocket library"
        );
    }
}

#[test]
fn top_level_modules_of_a_package_do_not_depend_on_each_other_in_a_circle() {
    for (folder, _) in ARROWS {
        let modules = modules(folder);
        let mut left: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, code) in &modules {
            let mut others = named(code, &modules);
            others.remove(name.as_str());
            left.insert(name, others);
        }
        // Those that need nothing that is left are taken away, until only circles are.
        loop {
            let free: Vec<_> = left
                .iter()
                .filter(|(_, needs)| !needs.iter().any(|need| left.contains_key(need)))
                .map(|(name, _)| *name)
                .collect();
            if free.is_empty() {
                break;
            }
            left.retain(|name, _| !free.contains(name));
        }
        assert!(left.is_empty(), "a circle within {folder}: {left:?}");
    }
}
