//! The tests that the sources have, by what `cargo test` selects them by.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::files;

/// The target of tests that are beside the code.
pub(crate) const LIBRARY: &str = "--lib";

/// One test function.
pub(crate) struct Test {
    pub(crate) package: String,
    pub(crate) target: String,
    /// Modules and function, as in `rules::tests::names_are_short`.
    pub(crate) path: String,
}

/// Tests of the checkout.
#[derive(Default)]
pub(crate) struct Sources {
    /// Packages and targets: files of `tests/`, and libraries.
    pub(crate) targets: Vec<(String, String)>,
    pub(crate) tests: Vec<Test>,
}

impl Sources {
    pub(crate) fn read() -> Self {
        let packages = packages();
        let mut sources = Self::default();
        for file in files(".rs") {
            let mut folders = file.ancestors();
            let Some((folder, package)) = folders.find_map(|f| packages.get_key_value(f)) else {
                continue;
            };
            let path = file.strip_prefix(folder).unwrap().with_extension("");
            let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
            let (target, modules, is_root) = match &parts[..] {
                ["src", modules @ ..] => (LIBRARY, modules, modules == ["lib"]),
                ["tests", target, modules @ ..] => {
                    let is_root = modules.is_empty() || modules == ["main"];
                    (*target, modules, is_root)
                }
                _ => continue,
            };
            if is_root {
                let target = (package.clone(), target.to_owned());
                sources.targets.push(target);
            }
            let modules = match modules {
                [modules @ .., "lib" | "main" | "mod"] => modules,
                modules => modules,
            };
            let code = fs::read_to_string(&file).unwrap();
            let found = paths(&code, modules).into_iter();
            sources.tests.extend(found.map(|path| Test {
                package: package.clone(),
                target: target.to_owned(),
                path,
            }));
        }
        sources
    }
}

/// Names of packages, by their folders.
fn packages() -> BTreeMap<PathBuf, String> {
    let manifests = files("Cargo.toml").into_iter();
    let named = manifests.filter_map(|manifest| {
        let text = fs::read_to_string(&manifest).unwrap();
        let mut lines = text.lines();
        let name = lines.find_map(|line| line.strip_prefix("name = \""))?;
        let name = name.trim_end_matches('"').to_owned();
        Some((manifest.parent()?.to_owned(), name))
    });
    named.collect()
}

/// Paths of the test functions in the code of a module.
fn paths(code: &str, modules: &[&str]) -> Vec<String> {
    let mut inline = None;
    let mut is_test = false;
    let mut paths = vec![];
    for line in code.lines() {
        let module = line.strip_prefix("mod ");
        if let Some(name) = module.and_then(|rest| rest.strip_suffix(" {")) {
            inline = Some(name);
        } else if line.starts_with('}') {
            inline = None;
        }
        let text = line.trim();
        is_test |= text.starts_with("#[test]") || text.starts_with("#[tokio::test");
        let declared = text.trim_start_matches("async ").strip_prefix("fn ");
        if let Some(rest) = declared
            && is_test
        {
            is_test = false;
            let name = rest.split('(').next().unwrap();
            let parts = modules.iter().copied().chain(inline).chain([name]);
            paths.push(parts.collect::<Vec<_>>().join("::"));
        }
    }
    paths
}

#[test]
fn tests_are_found_where_they_are() {
    let sources = Sources::read();
    for (package, target, path) in [
        (
            "datastream-e2e",
            "documents",
            "sources::tests_are_found_where_they_are",
        ),
        (
            "datastream-service",
            LIBRARY,
            "reference::tests::a_table_has_every_metric_with_type_labels_and_meaning",
        ),
    ] {
        let is_it =
            |test: &Test| test.package == package && test.target == target && test.path == path;
        assert!(sources.tests.iter().any(is_it), "{path}");
    }
}
