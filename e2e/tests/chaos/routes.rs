//! The routing files of the gateways of one topic, and what can happen to them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use datastream_protocol::event::EventType;
use datastream_routing::{
    Field, Filter, Heartbeat, KeyHash, Pattern, Resume, Route, SubscriptionId, buckets,
};

use crate::records::{DEVICES, dsn};

/// A folder of routing files.
#[derive(Debug)]
pub(crate) struct Routes {
    dir: PathBuf,
    routes: Vec<Route>,
}

/// The stream key of a subscription.
pub(crate) fn key(name: &str) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, name).hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}

/// Attackers have a namespace of their own, as another team would.
fn namespace(name: &str) -> &'static str {
    if name.starts_with("attacker-") {
        "attackers"
    } else {
        "chaos"
    }
}

/// A subscription to the events of these devices.
pub(crate) fn route(name: &str, devices: u8, resume: Resume) -> Route {
    let dsns = (0..DEVICES)
        .filter(|device| devices & (1 << device) != 0)
        .map(|device| Pattern::new(dsn(device)));
    Route {
        uid: "1".to_owned(),
        event_types: [EventType::Datapoint, EventType::Datapointack]
            .into_iter()
            .collect(),
        filters: vec![Filter::default().with(Field::Dsn, dsns)],
        heartbeat: Heartbeat {
            interval_seconds: 2,
            missed_limit: 3,
        },
        resume,
        ..Route::new(
            SubscriptionId::new(namespace(name), name),
            KeyHash::of(&key(name)),
        )
    }
}

impl Routes {
    /// Writes the files for these routes.
    pub(crate) fn new(dir: &Path, routes: Vec<Route>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let this = Self {
            dir: dir.to_owned(),
            routes,
        };
        this.write()?;
        Ok(this)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Name and content of every file.
    fn files(&self) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
        let buckets = buckets(self.routes.iter().cloned()).into_iter();
        let files =
            buckets.map(|(id, bucket)| Ok((self.dir.join(format!("{id}.json")), bucket.encode()?)));
        files.collect()
    }

    /// Puts all files right, each replaced in one step.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        for (path, bytes) in self.files()? {
            let draft = path.with_extension("draft");
            std::fs::write(&draft, bytes)?;
            std::fs::rename(draft, path)?;
        }
        let stray = self.dir.join("stray.json");
        if stray.exists() {
            std::fs::remove_file(stray)?;
        }
        self.tidy()
    }

    /// A new generation of everything.
    pub(crate) fn renew(&mut self) -> anyhow::Result<()> {
        for route in &mut self.routes {
            route.generation += 1;
        }
        self.write()
    }

    /// Suspends or resumes a subscription.
    pub(crate) fn suspend(&mut self, number: usize, on: bool) -> anyhow::Result<()> {
        let number = number % self.routes.len();
        let route = &mut self.routes[number];
        route.suspended = on;
        route.generation += 1;
        self.write()
    }

    /// Leaves a file half written, as a writer that was killed does.
    pub(crate) fn tear(&self, number: usize) -> anyhow::Result<()> {
        let files = self.files()?;
        let (path, bytes) = &files[number % files.len()];
        Ok(std::fs::write(path, &bytes[..bytes.len() / 2])?)
    }

    /// Removes a file.
    pub(crate) fn remove(&self, number: usize) -> anyhow::Result<()> {
        let files = self.files()?;
        let (path, _) = &files[number % files.len()];
        Ok(std::fs::remove_file(path)?)
    }

    /// Moves the folder away, or back if it is not.
    pub(crate) fn move_away(&self, on: bool) -> anyhow::Result<()> {
        let away = self.dir.with_extension("away");
        let (from, to) = if on {
            (&self.dir, &away)
        } else {
            (&away, &self.dir)
        };
        if from.exists() {
            std::fs::rename(from, to)?;
        }
        Ok(())
    }

    /// Puts things there that are no ordinary files, or very large.
    pub(crate) fn odd(&self) -> anyhow::Result<()> {
        let at = |name: &str| self.dir.join(format!("odd-{name}.json"));
        std::process::Command::new("mkfifo")
            .arg(at("fifo"))
            .status()?;
        std::os::unix::fs::symlink(at("loop"), at("loop"))?;
        std::os::unix::fs::symlink("/dev/zero", at("zero"))?;
        std::os::unix::fs::symlink(self.dir.join("nowhere"), at("nowhere"))?;
        std::fs::create_dir(at("folder"))?;
        std::os::unix::net::UnixListener::bind(at("socket"))?;
        Ok(std::fs::File::create(at("large"))?.set_len(200 << 20)?)
    }

    /// Removes them.
    fn tidy(&self) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("odd-") {
                let is_folder = entry.file_type()?.is_dir();
                let remove = if is_folder {
                    std::fs::remove_dir
                } else {
                    std::fs::remove_file
                };
                remove(entry.path())?;
            }
        }
        Ok(())
    }

    /// Puts a file there that is no routing object.
    pub(crate) fn stray(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(self.dir.join("stray.json"), "{}")?)
    }
}
