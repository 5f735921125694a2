//! The programs and libraries that are installed for the tests, and the examples that use them.

use std::path::PathBuf;

use datastream_e2e::checkout;
use tokio::sync::OnceCell;

use crate::process::Process;

/// Seconds in which they are installed, the first time.
const INSTALLATION: u32 = 480;

/// The folder that they are in.
async fn folder() -> &'static PathBuf {
    static FOLDER: OnceCell<PathBuf> = OnceCell::const_new();
    let installed = FOLDER.get_or_init(|| async {
        let script = [checkout("e2e/tools/install.sh")];
        let process = Process::start(&script, INSTALLATION);
        let ended = process.ended_within(INSTALLATION).await;
        assert_eq!(ended.code, Some(0), "install.sh: {:?}", ended.notes);
        PathBuf::from(ended.lines.last().expect("install.sh prints the folder"))
    });
    installed.await
}

/// A program of npm, Python or Go, by its path in that folder.
pub(crate) async fn installed(path: &str) -> String {
    folder().await.join(path).display().to_string()
}

/// The path of an example.
pub(crate) fn example(name: &str) -> String {
    checkout(&format!("e2e/tools/examples/{name}"))
}
