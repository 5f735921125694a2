//! Sections of the reference in `docs/reference.md` that are made from the programs, for tests that keep them in step.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Variable that has sections written instead of compared.
const UPDATE: &str = "UPDATE_GOLDEN";

/// One family of metrics.
#[derive(Default)]
struct Family<'a> {
    help: &'a str,
    kind: &'a str,
    labels: Vec<&'a str>,
}

/// Renders the metrics of an exposition whose names begin with `prefix` as a Markdown table: name, type, labels and meaning.
fn metrics_table(exposition: &str, prefix: &str) -> String {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    for line in exposition.lines() {
        if let Some((name, help)) = after(line, "# HELP ") {
            families.entry(name).or_default().help = help;
        } else if let Some((name, kind)) = after(line, "# TYPE ") {
            families.entry(name).or_default().kind = kind;
        } else if let Some((name, labels)) = line.split_once('{') {
            let name = name.trim_end_matches("_bucket");
            if let Some(family) = families.get_mut(name)
                && family.labels.is_empty()
            {
                let labels = labels.split('}').next().unwrap_or_default().split("\",");
                let names = labels.filter_map(|label| label.split('=').next());
                family.labels = names.filter(|name| *name != "le").collect();
            }
        }
    }
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, family) in families.iter().filter(|(name, _)| name.starts_with(prefix)) {
        let labels: Vec<_> = family.labels.iter().map(|l| format!("`{l}`")).collect();
        let (kind, help) = (family.kind, family.help.replace('|', "\\|"));
        let _ = writeln!(
            table,
            "| `{name}` | {kind} | {} | {help} |",
            labels.join(", ")
        );
    }
    table
}

fn after<'a>(line: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(mark)?.split_once(' ')
}

/// Checks that the section "metrics of the PROGRAM" of `docs/reference.md` lists the metrics of an exposition.
///
/// # Panics
/// It does not ([`assert_section`]).
pub fn assert_metrics(program: &str, exposition: &str) {
    let table = metrics_table(exposition, &format!("datastream_{program}_"));
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference.md");
    assert_section(
        Path::new(document),
        &format!("metrics of the {program}"),
        &table,
    );
}

/// Checks that a section of a document, between `<!-- begin NAME -->` and `<!-- end NAME -->`, has this content. With
/// `UPDATE_GOLDEN=1` in the environment it is written.
///
/// # Panics
/// It has another content, or the document cannot be read, has no such section, or cannot be written.
pub fn assert_section(document: &Path, name: &str, content: &str) {
    let shown = document.display();
    let text = std::fs::read_to_string(document).unwrap_or_else(|e| panic!("{shown}: {e}"));
    let (begin, end) = (
        format!("<!-- begin {name} -->\n"),
        format!("<!-- end {name} -->"),
    );
    let parts = text.split_once(&begin).and_then(|(before, rest)| {
        let (found, after) = rest.split_once(&end)?;
        Some((before, found, after))
    });
    let Some((before, found, after)) = parts else {
        panic!("{shown} has no section {name}");
    };
    let wanted = format!("\n{}\n\n", content.trim_matches('\n'));
    if found == wanted {
        return;
    }
    if std::env::var_os(UPDATE).is_some() {
        let written = format!("{before}{begin}{wanted}{end}{after}");
        std::fs::write(document, written).unwrap_or_else(|e| panic!("{shown}: {e}"));
        return;
    }
    let differs = found.lines().zip(wanted.lines()).find(|(a, b)| a != b);
    panic!(
        "section {name} of {shown} is not what the programs say, first here: {differs:?}: if that is meant, run with {UPDATE}=1 and look at the diff"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    #[test]
    fn a_table_has_every_metric_with_type_labels_and_meaning() {
        let registry = Registry::new("p").unwrap();
        registry.counter("a_total", "A.").unwrap();
        let gauges = registry.gauges("b", "B.", "state").unwrap();
        gauges.with_label_values(&["live"]).set(1);
        registry.histogram("c", "C.", &[1.0]).unwrap();
        let table = metrics_table(&registry.render().unwrap(), "p_");
        let rows: Vec<_> = table.lines().skip(2).collect();
        let expected = [
            "| `p_a_total` | counter |  | A. |",
            "| `p_b` | gauge | `state` | B. |",
            "| `p_c` | histogram |  | C. |",
        ];
        assert_eq!(rows, expected);
    }
}
