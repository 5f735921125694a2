//! The chart: what it renders, what it refuses, and what becomes of it on a real API server. `UPDATE_GOLDEN=1` rewrites the
//! golden files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
mod dependency;
mod guards;
mod lifecycle;
mod made_up;
mod particulars;
mod refusals;
mod render;
mod rights;
mod sound;
mod values;

use std::path::{Path, PathBuf};

use datastream_e2e::{ControlPlane, Helm, Output, chart};

const NAMESPACE: &str = "datastream-system";

/// A file of the chart.
fn chart_file(path: &str) -> String {
    let path = Path::new(chart()).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The sets of values that the chart is tested with: name and path.
fn sets() -> Vec<(String, PathBuf)> {
    let folder = std::fs::read_dir(Path::new(chart()).join("ci")).unwrap();
    let mut sets: Vec<_> = folder
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    sets.sort();
    assert!(sets.len() >= 5, "{sets:?}");
    sets
}

/// Compares with a file that is expected, or writes it.
fn assert_golden(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    let line = (1..)
        .zip(text.lines().zip(expected.lines()))
        .find(|(_, (a, b))| a != b);
    assert!(
        text == expected,
        "{} is not what the chart gives, first in line {line:?}: if that is meant, run with UPDATE_GOLDEN=1 and look at the diff",
        path.display()
    );
}

/// Returns the standard output of a command that must have succeeded.
fn succeeded(output: Output) -> String {
    assert!(output.success, "{}{}", output.stdout, output.stderr);
    output.stdout
}

/// Returns the message of a command that must have failed: its only line on standard error, but for Helm's hint at --debug.
fn refused(output: &Output) -> String {
    assert!(!output.success, "{}", output.stdout);
    let hint = "Use --debug flag to render out invalid YAML";
    let lines: Vec<_> = output
        .stderr
        .lines()
        .filter(|line| !line.is_empty() && *line != hint)
        .collect();
    assert_eq!(lines.len(), 1, "{}", output.stderr);
    lines[0].to_owned()
}

fn helm() -> Helm {
    Helm::new(None).unwrap()
}

fn helm_on(cluster: &ControlPlane) -> Helm {
    Helm::new(Some(cluster.kubeconfig())).unwrap()
}
