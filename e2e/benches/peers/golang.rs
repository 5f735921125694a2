//! The program with those peers that are Go modules.

use std::path::PathBuf;
use std::process::Command;

use datastream_e2e::checkout;

/// Builds it beside the other programs. Returns nothing if there is no Go.
pub(crate) fn build() -> Option<PathBuf> {
    Command::new("go").arg("version").output().ok()?;
    let me = std::env::current_exe().unwrap();
    // A bench is in `deps`.
    let program = me.parent()?.parent()?.join("datastream-bench-peers");
    let built = Command::new("go")
        .args(["build", "-trimpath", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(checkout("e2e/peers"))
        .status()
        .unwrap();
    assert!(built.success(), "e2e/peers cannot be built");
    Some(program)
}
