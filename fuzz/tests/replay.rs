//! Every input of every corpus goes through its target, as one test for each target; and targets, corpora and programs are the
//! same ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use datastream_fuzz::TARGETS;

/// A place in this package.
fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Names of what is in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn targets() -> BTreeSet<String> {
    let names = TARGETS.iter().map(|(name, _)| (*name).to_owned());
    names.collect()
}

fn replay(target: &str) {
    let found = TARGETS.into_iter().find(|(name, _)| *name == target);
    let (_, run) = found.unwrap();
    let corpus = place("corpus").join(target);
    let inputs = names(&corpus);
    assert!(!inputs.is_empty(), "{} has no inputs", corpus.display());
    let mut failed = vec![];
    for input in inputs {
        let data = fs::read(corpus.join(&input)).unwrap();
        if catch_unwind(|| run(&data)).is_err() {
            failed.push(input);
        }
    }
    assert!(failed.is_empty(), "{}: {failed:?}", corpus.display());
}

macro_rules! replays {
    ($($target:ident)*) => {
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];

        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*
    };
}

replays!(access bucket frame manifest pattern proxy query record scan seq);

#[test]
fn every_target_is_replayed() {
    let replayed: BTreeSet<_> = REPLAYED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(replayed, targets());
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    assert_eq!(names(&place("corpus")), targets());
}

#[test]
fn every_target_has_a_program_and_every_program_a_target() {
    let manifest = fs::read_to_string(place("Cargo.toml")).unwrap();
    let programs: Vec<_> = manifest.split("[[bin]]\n").skip(1).collect();
    assert_eq!(programs.len(), TARGETS.len());
    for target in targets() {
        let path = format!("fuzz_targets/{target}.rs");
        let lines = format!("name = \"{target}\"\npath = \"{path}\"\n");
        let declared = programs.iter().any(|program| program.starts_with(&lines));
        assert!(declared, "fuzz/Cargo.toml has no [[bin]] {target}");
        let code = fs::read_to_string(place(&path)).unwrap();
        assert!(code.contains(&format!("::{target}::run(data)")), "{path}");
    }
    let files = targets().into_iter().map(|target| format!("{target}.rs"));
    let files: BTreeSet<_> = files.collect();
    assert_eq!(names(&place("fuzz_targets")), files);
}
