//! The document on programs and libraries.

use std::fs;

use datastream_e2e::checkout;

use crate::programs::example;

#[test]
fn the_document_shows_every_example() {
    let document = fs::read_to_string(checkout("docs/tools.md")).unwrap();
    let indented = |line: &str| {
        if line.is_empty() {
            "\n".to_owned()
        } else {
            format!("    {line}\n")
        }
    };
    for entry in fs::read_dir(example("")).unwrap() {
        let path = entry.unwrap().path();
        // A flow is imported, not read.
        if path.extension().is_some_and(|ending| ending == "json") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code: String = text.lines().map(indented).collect();
        assert!(
            document.contains(&code),
            "docs/tools.md has another {}:\n{code}",
            path.display()
        );
    }
}
