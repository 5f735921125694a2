//! A CPU cgroup, where the machine lets the bench make one: version 2 with the CPU controller, or version 1.

use std::fs;
use std::path::{Path, PathBuf};

/// Microseconds in which a quota is to be used: short, so that little waits for the next one.
const PERIOD: usize = 20_000;

/// A cgroup that bounds the CPU time of the processes in it. Dropping it removes it, once they have ended.
pub(crate) struct CpuCgroup {
    folder: PathBuf,
}

/// Periods, and those of them in which the processes would have used more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Periods {
    pub(crate) all: f64,
    pub(crate) throttled: f64,
}

impl CpuCgroup {
    /// A cgroup of so many hundredths of a core, for one process.
    ///
    /// # Errors
    /// This machine lets the bench make none: why.
    pub(crate) fn new(percent: usize, pid: u32) -> Result<Self, String> {
        let quota = PERIOD * percent / 100;
        let version_2 = [("cpu.max", format!("{quota} {PERIOD}"))];
        let version_1 = [
            ("cpu.cfs_period_us", PERIOD.to_string()),
            ("cpu.cfs_quota_us", quota.to_string()),
        ];
        let mut reasons = vec![];
        for (root, limits) in [
            ("/sys/fs/cgroup", &version_2[..]),
            ("/sys/fs/cgroup/cpu", &version_1[..]),
        ] {
            match Self::within(Path::new(root), limits, pid) {
                Ok(cgroup) => return Ok(cgroup),
                Err(error) => reasons.push(format!("{root}: {error}")),
            }
        }
        Err(reasons.join("; "))
    }

    fn within(root: &Path, limits: &[(&str, String)], pid: u32) -> std::io::Result<Self> {
        let folder = root.join(format!("datastream-scale-{pid}"));
        fs::create_dir(&folder)?;
        let this = Self { folder };
        for (name, value) in limits {
            let limit = this.folder.join(name);
            // In a file system that is none of cgroups, a write would make the file.
            if !limit.exists() {
                let reason = format!("there is no {}", limit.display());
                return Err(std::io::Error::other(reason));
            }
            fs::write(limit, value)?;
        }
        fs::write(this.folder.join("cgroup.procs"), pid.to_string())?;
        Ok(this)
    }

    /// Its periods so far.
    pub(crate) fn periods(&self) -> Periods {
        let text = fs::read_to_string(self.folder.join("cpu.stat")).unwrap();
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        Periods {
            all: number("nr_periods "),
            throttled: number("nr_throttled "),
        }
    }
}

impl Drop for CpuCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
