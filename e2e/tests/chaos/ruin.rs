//! Damage to files between two runs, as disks, editors and copies that end early make it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::stored_events::files;

/// The effect of damage on a stream's lines.
#[derive(Debug, Default)]
pub(crate) struct Ruined {
    /// Whole lines that are not there any more, or more than once.
    pub touched: Vec<String>,
    /// Lines that nobody wrote.
    pub garbage: BTreeSet<String>,
}

/// Damages one of the files with a stream's lines; nothing if there is too little, or the damage is one that nobody can see: a line
/// that is still JSON.
pub(crate) fn ruin(dir: &Path, stream: &str, rng: &mut StdRng) -> anyhow::Result<Option<Ruined>> {
    let files = files(dir, stream)?;
    if files.is_empty() {
        return Ok(None);
    }
    let number = rng.random_range(0..files.len());
    let is_newest = number + 1 == files.len();
    let before = fs::read(&files[number])?;
    let breaks = before.split(|b| *b == b'\n').count() - 1;
    if breaks < 4 {
        return Ok(None);
    }
    let mut after = before.clone();
    let cut = change(&mut after, rng);
    let (old, new) = (count(&before), count(&after));
    let is_json = |line: &&String| serde_json::from_str::<serde_json::Value>(line).is_ok();
    let garbage: BTreeSet<_> = new
        .keys()
        .filter(|l| !old.contains_key(*l))
        .cloned()
        .collect();
    if garbage.iter().any(|line| is_json(&line)) {
        return Ok(None);
    }
    // What was cut off from the newest file must come again.
    let touched = if cut && is_newest {
        vec![]
    } else {
        let differs =
            |(line, times): (&String, &usize)| (new.get(line) != Some(times)).then(|| line.clone());
        old.iter().filter_map(differs).collect()
    };
    fs::write(&files[number], after)?;
    Ok(Some(Ruined { touched, garbage }))
}

/// Returns the number of times that every whole line is there.
fn count(bytes: &[u8]) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    let whole = bytes.iter().rposition(|b| *b == b'\n').unwrap_or(0);
    for line in bytes[..whole].split(|b| *b == b'\n') {
        *lines
            .entry(String::from_utf8_lossy(line).into_owned())
            .or_default() += 1;
    }
    lines
}

/// Makes one change. Returns whether the end was cut off, and nothing else.
fn change(bytes: &mut Vec<u8>, rng: &mut StdRng) -> bool {
    let size = bytes.len();
    let at = rng.random_range(0..size);
    match rng.random_range(0..5) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => {
            bytes.truncate(at);
            return true;
        }
        2 => {
            let end = (at + rng.random_range(1..5000)).min(size);
            bytes[at..end].fill(0);
        }
        3 => {
            let start = bytes[..at]
                .iter()
                .rposition(|b| *b == b'\n')
                .map_or(0, |b| b + 1);
            let end = bytes[start..].iter().position(|b| *b == b'\n').unwrap_or(0);
            bytes.drain(start..start + end);
        }
        _ => {
            let end = (at + rng.random_range(1..5000)).min(size);
            let block = bytes[at..end].to_vec();
            let to = rng.random_range(0..size);
            bytes.splice(to..to, block);
        }
    }
    false
}
