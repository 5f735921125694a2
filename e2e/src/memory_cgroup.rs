//! A memory cgroup of a test's own, where the machine lets it make one: version 2 with the memory controller, or version 1.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Number of cgroups of this process, for their names.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// A cgroup that bounds the memory of the processes in it, the kernel's for their sockets included. Dropping it removes it, once they
/// have ended.
#[derive(Debug)]
pub struct MemoryCgroup {
    folder: PathBuf,
}

impl MemoryCgroup {
    /// A cgroup of so many bytes.
    ///
    /// # Errors
    /// This machine lets the test make none: why.
    pub fn new(name: &str, bytes: usize) -> Result<Self, String> {
        let mut reasons = vec![];
        for (root, limit) in [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ] {
            match Self::within(Path::new(root), limit, name, bytes) {
                Ok(cgroup) => return Ok(cgroup),
                Err(error) => reasons.push(format!("{root}: {error}")),
            }
        }
        Err(reasons.join("; "))
    }

    fn within(root: &Path, limit: &str, name: &str, bytes: usize) -> std::io::Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = root.join(format!("{name}-{}-{number}", std::process::id()));
        fs::create_dir(&folder)?;
        let this = Self { folder };
        let limit = this.folder.join(limit);
        // In a file system that is none of cgroups, a write would make the file.
        if !limit.exists() {
            let reason = format!("there is no {}", limit.display());
            return Err(std::io::Error::other(reason));
        }
        fs::write(limit, bytes.to_string())?;
        Ok(this)
    }

    /// The file into which a process writes its number to be in it, as a shell does before it becomes a program.
    pub fn processes(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Bytes that its processes use now, the cache of files included.
    ///
    /// # Errors
    /// It is gone.
    pub fn used(&self) -> std::io::Result<usize> {
        let current = ["memory.current", "memory.usage_in_bytes"];
        let files = current.map(|name| self.folder.join(name));
        let file = files.iter().find(|file| file.exists());
        let file = file.ok_or_else(|| std::io::Error::other("the cgroup is gone"))?;
        let text = fs::read_to_string(file)?;
        text.trim().parse().map_err(std::io::Error::other)
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
