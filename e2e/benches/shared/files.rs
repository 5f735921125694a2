//! The limit of open files of this process.

use std::process::Command;

/// Raises it.
pub(crate) fn raise(files: usize) {
    let limit = format!("--nofile={files}:{files}");
    let me = format!("--pid={}", std::process::id());
    let raised = Command::new("prlimit").args([&me, &limit]).status();
    assert!(
        raised.unwrap().success(),
        "may it open {files} files? see ulimit -Hn"
    );
}
