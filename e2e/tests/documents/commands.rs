//! The commands of documents: targets of make, and tests of cargo.

use std::fs;

use datastream_e2e::checkout;

use super::documents;
use super::markdown::commands;
use super::sources::{LIBRARY, Sources, Test};

/// What a selection of tests begins with that a document names without `cargo test`.
const SELECTIONS: [&str; 3] = ["--test ", "--lib ", "-p datastream-"];

/// Returns the arguments of a `cargo test` command, which may stand alone.
pub(crate) fn selection(span: &str) -> Option<&str> {
    let after = span.split_once("cargo test").map(|(_, args)| args);
    let alone = SELECTIONS.iter().any(|flag| span.starts_with(flag));
    after.or(alone.then_some(span))
}

/// Selection of tests by a `cargo test` command.
#[derive(Default)]
struct Selection<'a> {
    packages: Vec<&'a str>,
    targets: Vec<&'a str>,
    names: Vec<&'a str>,
}

impl<'a> Selection<'a> {
    fn parse(args: &'a str) -> Self {
        let mut selection = Self::default();
        let mut words = args.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "-p" | "--package" => selection.packages.extend(words.next()),
                "--test" => selection.targets.extend(words.next()),
                LIBRARY => selection.targets.push(LIBRARY),
                flag if flag.starts_with('-') => {}
                name => selection.names.push(name),
            }
        }
        selection
    }

    fn has_package(&self, name: &str) -> bool {
        self.packages.is_empty() || self.packages.contains(&name)
    }

    fn has(&self, test: &Test) -> bool {
        let is_target = self.targets.is_empty() || self.targets.contains(&test.target.as_str());
        is_target && self.has_package(&test.package)
    }

    /// Returns the words that select nothing.
    fn missing(&self, sources: &Sources) -> Vec<&'a str> {
        let known = &sources.targets;
        let is_package = |name: &str| known.iter().any(|(package, _)| package == name);
        let is_target = |name: &str| {
            let mut found = known.iter().filter(|(_, target)| target == name);
            found.any(|(package, _)| self.has_package(package))
        };
        let is_test = |name: &str| {
            let mut selected = sources.tests.iter().filter(|test| self.has(test));
            selected.any(|test| test.path.contains(name))
        };
        let mut missing = self.packages.clone();
        missing.retain(|name| !is_package(name));
        missing.extend(self.targets.iter().filter(|name| !is_target(name)));
        missing.extend(self.names.iter().filter(|name| !is_test(name)));
        missing
    }
}

/// Returns the targets that a command asks make for.
fn make_targets(command: &str) -> Vec<&str> {
    let mut words = command.split(' ').skip_while(|word| word.contains('='));
    if words.next() != Some("make") {
        return vec![];
    }
    let own = words.take_while(|word| !["&&", ";", "|"].contains(word));
    own.filter(|word| !word.is_empty() && !word.contains('='))
        .collect()
}

/// The Makefile and the sources.
struct Checkout {
    makefile: String,
    sources: Sources,
}

impl Checkout {
    fn read() -> Self {
        Self {
            makefile: fs::read_to_string(checkout("Makefile")).unwrap(),
            sources: Sources::read(),
        }
    }

    fn has_target(&self, name: &str) -> bool {
        let lines = self.makefile.lines();
        let mut rules = lines.filter_map(|line| line.split_once(':'));
        rules.any(|(target, _)| target == name)
    }

    /// Returns the words of a command that name nothing.
    fn missing<'a>(&self, command: &'a str) -> Vec<&'a str> {
        let mut missing = make_targets(command);
        missing.retain(|target| !self.has_target(target));
        if let Some(args) = selection(command) {
            missing.extend(Selection::parse(args).missing(&self.sources));
        }
        missing
    }
}

#[test]
fn commands_that_documents_name_can_be_run() {
    let checkout = Checkout::read();
    let mut wrong = vec![];
    for (document, text) in documents() {
        for command in commands(&text) {
            for word in checkout.missing(&command) {
                let document = document.display();
                wrong.push(format!("{document}: {command}: there is no {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_a_command_names_and_is_not_there_is_seen() {
    let checkout = Checkout::read();
    let this = "what_a_command_names";
    for (command, missing) in [
        ("FLUVIO=chart make lint tilt KEY=value", vec![]),
        ("make lint tests && make", vec!["tests"]),
        ("cargo test --workspace", vec![]),
        (
            "cargo test -p datastream-nothing",
            vec!["datastream-nothing"],
        ),
        ("cargo test --workspace --test document", vec!["document"]),
        (
            "cargo test -p datastream-cli --test documents",
            vec!["documents"],
        ),
        (
            "cargo test -p datastream-e2e --test chart commands::",
            vec!["commands::"],
        ),
        (
            "cargo test -p datastream-e2e --test documents commands::",
            vec![],
        ),
        (
            "KEY=1 cargo test --test documents -- --exact what_a_command_names",
            vec![],
        ),
        ("--test documents what_a_command_names", vec![]),
        (
            "--test documents what_nobody_names",
            vec!["what_nobody_names"],
        ),
        (
            "cargo test -p datastream-e2e --lib what_a_command_names",
            vec![this],
        ),
    ] {
        assert_eq!(checkout.missing(command), missing, "{command}");
    }
}
