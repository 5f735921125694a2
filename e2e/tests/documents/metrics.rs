//! Alerts and panels are on metrics that the reference lists, which tests of each program keep in step with the program.

use std::collections::BTreeSet;
use std::fs;

use datastream_e2e::checkout;
use datastream_service::metrics::Registry;

use super::markdown::code_spans;

/// Names of the series of all programs. Those of a histogram have names of their own.
fn series() -> BTreeSet<String> {
    let reference = fs::read_to_string(checkout("docs/reference.md")).unwrap();
    let mut names = BTreeSet::new();
    for row in reference
        .lines()
        .filter(|l| l.starts_with("| `datastream_"))
    {
        let name = code_spans(row).into_iter().next().unwrap();
        if row.contains("| histogram |") {
            names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        } else {
            names.insert(name);
        }
    }
    let of_process = Registry::new("any").unwrap().render().unwrap();
    let samples = of_process.lines().filter(|line| !line.starts_with('#'));
    names.extend(samples.filter_map(|line| Some(line.split_once([' ', '{'])?.0.to_owned())));
    names
}

/// One gateway that is cut off must not be hidden by others that are not.
#[test]
fn alerts_see_each_gateway_that_is_cut_off() {
    let rules = fs::read_to_string(checkout("charts/datastream/files/alerts.yaml")).unwrap();
    let mut seen = 0;
    for line in rules.lines() {
        for gauge in ["source_connected", "config_connected", "issuer_connected"] {
            if let Some(at) = line.find(&format!("(datastream_gateway_{gauge}) == 0")) {
                let by = &line[..at];
                let by = &by[by.find("min by (").unwrap_or_else(|| panic!("{line}"))..];
                assert!(!by.contains(" or "), "{line}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn alerts_and_panels_are_on_metrics_that_exist() {
    let series = series();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for file in ["alerts.yaml", "dashboard.json"] {
        let path = format!("charts/datastream/files/{file}");
        let text = fs::read_to_string(checkout(&path)).unwrap();
        for prefix in [
            "datastream_gateway_",
            "datastream_operator_",
            "datastream_collector_",
            "process_",
        ] {
            let words = text.split(|c| !is_name(c));
            let named: BTreeSet<_> = words.filter(|word| word.starts_with(prefix)).collect();
            assert!(prefix == "process_" || named.len() > 3, "{path} {prefix}");
            let unknown: Vec<_> = named.iter().filter(|n| !series.contains(**n)).collect();
            assert!(unknown.is_empty(), "{path}: {unknown:?}");
        }
    }
}
