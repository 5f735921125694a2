//! Places of the project's files.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let here = std::env::current_dir().unwrap_or_default();
    let is_root = |folder: &&Path| folder.join("charts/datastream").is_dir();
    let root = here.ancestors().find(is_root).map(Path::to_owned);
    root.unwrap_or(here)
});

static CHART: LazyLock<String> = LazyLock::new(|| checkout("charts/datastream"));

/// The path of a file or folder of the checkout in which the program runs. Not of the one in which it was built: clones share what
/// is built, and the other one may be gone.
pub fn checkout(path: &str) -> String {
    ROOT.join(path).display().to_string()
}

/// The path of the chart.
pub fn chart() -> &'static str {
    &CHART
}
