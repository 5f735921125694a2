//! The width of documents.

use std::fs;

use super::files;
use super::markdown::prose;

const COLUMNS: usize = 100;

/// Returns whether a line could be broken: it is no row of a table, no heading, and has more than one word.
fn can_be_broken(line: &str) -> bool {
    let words = line.trim().trim_start_matches(['-', '*', '+', '>', ' ']);
    !line.starts_with(['|', '#']) && words.contains(' ')
}

#[test]
fn prose_is_wrapped() {
    let mut long = vec![];
    for document in files(".md") {
        let text = fs::read_to_string(&document).unwrap();
        for (number, line) in prose(&text) {
            let columns = line.chars().count();
            if columns > COLUMNS && can_be_broken(line) {
                long.push(format!("{}:{number}: {columns}", document.display()));
            }
        }
    }
    assert!(
        long.is_empty(),
        "lines of more than {COLUMNS} columns: {long:#?}"
    );
}
