//! A file system of a collector's own, in memory, which can be full or read-only.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

const PATIENCE: Duration = Duration::from_secs(5);
const SIZE: &str = "size=64m";

/// The file system; an ordinary folder where none can be mounted.
#[derive(Debug)]
pub(crate) struct FileSystem {
    path: PathBuf,
    mounted: bool,
}

impl FileSystem {
    /// Makes it. `own`: this process has a mount namespace of its own.
    pub(crate) fn new(path: PathBuf, own: bool) -> anyhow::Result<Self> {
        fs::create_dir(&path)?;
        if own {
            mount(&["-t", "tmpfs", "-o", SIZE, "none"], &path)?;
        }
        let mounted = own;
        Ok(Self { path, mounted })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_own(&self) -> bool {
        self.mounted
    }

    /// Makes it read-only, which it can be only while nothing writes, or ends that.
    pub(crate) fn read_only(&self, on: bool) -> anyhow::Result<()> {
        let how = if on { "remount,ro" } else { "remount,rw" };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match mount(&["-o", how], &self.path) {
                // What was killed closes its files a moment later.
                Err(_) if Instant::now() < deadline => (),
                result => return result,
            }
        }
    }

    /// Fills it to its last byte, or makes room again.
    pub(crate) fn fill(&self, on: bool) -> anyhow::Result<()> {
        let filler = self.path.join("filler");
        if !on {
            return Ok(fs::remove_file(filler)?);
        }
        let mut file = File::create(filler)?;
        let mut block = &vec![0; 1 << 16][..];
        while !block.is_empty() {
            while file.write_all(block).is_ok() {}
            block = &block[..block.len() / 2];
        }
        Ok(())
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount")
                .arg("--lazy")
                .arg(&self.path)
                .status();
        }
    }
}

fn mount(args: &[&str], path: &Path) -> anyhow::Result<()> {
    let output = Command::new("mount").args(args).arg(path).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "mount {args:?}: {}", error.trim());
    Ok(())
}

/// A copy of a folder and the files in it.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?;
        fs::copy(&path, to.join(name))?;
    }
    Ok(())
}
