//! Rendering of the chart: as expected, word for word, and in step with what it is made of.

use std::path::Path;

use datastream_e2e::{chart, checkout};

use super::{NAMESPACE, assert_golden, chart_file, helm, sets, succeeded};

#[test]
fn every_set_of_values_renders_its_golden_file() {
    let helm = helm();
    for (name, values) in sets() {
        let values = values.to_str().unwrap();
        let rendered = succeeded(helm.template(NAMESPACE, &["--values", values]).unwrap());
        let golden = checkout(&format!("e2e/tests/chart/golden/{name}.yaml"));
        assert_golden(Path::new(&golden), &rendered);
    }
}

#[test]
fn every_set_of_values_passes_lint() {
    let helm = helm();
    for (_, values) in sets() {
        let values = values.to_str().unwrap();
        let args = [
            "lint",
            chart(),
            "--strict",
            "--kube-version",
            "1.33.0",
            "--values",
            values,
        ];
        let linted = helm.run(&args).unwrap();
        assert!(linted.success, "{}{}", linted.stdout, linted.stderr);
    }
}

#[test]
fn the_chart_matches_the_flags_of_the_programs() {
    for plural in ["datastreamaccessrules", "datastreamsubscriptions"] {
        let generated = checkout(&format!("crds/generated/{plural}.yaml"));
        let definition = std::fs::read_to_string(generated).unwrap();
        let copy = Path::new(chart()).join(format!("files/{plural}.yaml"));
        assert_golden(&copy, &definition);
    }
    let version = format!("appVersion: \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(chart_file("Chart.yaml").contains(&version), "{version}");
}

/// Every alert has a section in the runbook, and every section of an alert an alert.
#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let runbook = checkout("docs/operations.md");
    let runbook = std::fs::read_to_string(runbook).unwrap();
    let rules = chart_file("files/alerts.yaml");
    let after = |text: &str, mark: &str| -> Vec<String> {
        let named = text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix(mark));
        named.map(|name| name.trim().to_owned()).collect()
    };
    let mut alerts = after(&rules, "- alert:");
    let mut sections = after(&runbook, "### Datastream");
    for section in &mut sections {
        section.insert_str(0, "Datastream");
    }
    assert!(alerts.len() > 15);
    alerts.sort();
    sections.sort();
    assert_eq!(alerts, sections);

    let values = Path::new(chart()).join("ci/everything.yaml");
    let args = ["--values", values.to_str().unwrap()];
    let rendered = succeeded(helm().template(NAMESPACE, &args).unwrap());
    let links = after(&rendered, "runbook_url:");
    assert_eq!(links.len(), alerts.len() - 1, "one of them is left out");
    for link in links {
        let (page, section) = link.split_once('#').unwrap();
        assert_eq!(page, "https://docs.example.com/operations");
        // As GitHub, GitLab and most generators name a heading.
        assert!(alerts.iter().any(|a| a.to_lowercase() == section), "{link}");
    }
}
