//! The routing files of the gateways of one topic, and what can happen to them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datastream_protocol::event::EventType;
use datastream_routing::{
    AccessRules, Effect, Field, Filter, Heartbeat, KeyHash, Pattern, Resume, Route, Rule,
    SubscriptionId, buckets,
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

/// Attackers have a namespace of their own, as another team would, and clients that roam have another one.
fn namespace(name: &str) -> &'static str {
    if name.starts_with("attacker-") {
        "attackers"
    } else if name.ends_with(ROAMING) {
        "guests"
    } else {
        "chaos"
    }
}

/// The end of the names of clients that roam.
pub(crate) const ROAMING: &str = "-roaming";
/// Devices whose events access rules deny to clients that roam, whatever they ask for.
pub(crate) const DENIED: u8 = 0b100;

/// The devices in a mask.
fn dsns(devices: u8) -> impl Iterator<Item = Pattern> {
    let devices = (0..DEVICES).filter(move |device| devices & (1 << device) != 0);
    devices.map(|device| Pattern::new(dsn(device)))
}

/// Access rules by which clients that roam are denied some events of what their subscriptions ask for.
fn access_rules() -> AccessRules {
    let rule = Rule {
        name: "denied-to-guests".to_owned(),
        effect: Effect::Deny,
        event_types: EventType::ALL.into_iter().collect(),
        filter: Filter::default().with(Field::Dsn, dsns(DENIED)),
    };
    let namespaces = [
        ("attackers", vec![]),
        ("chaos", vec![]),
        ("guests", vec![0]),
    ];
    AccessRules {
        otherwise: Effect::Allow,
        rules: vec![Arc::new(rule)],
        namespaces: namespaces
            .map(|(name, rules)| (name.to_owned(), rules))
            .into(),
    }
}

/// A subscription to the events of these devices.
pub(crate) fn route(name: &str, devices: u8, resume: Resume) -> Route {
    Route {
        uid: "1".to_owned(),
        event_types: [EventType::Datapoint, EventType::Datapointack]
            .into_iter()
            .collect(),
        filters: vec![Filter::default().with(Field::Dsn, dsns(devices))],
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

    /// Name and content of every file, that of the access rules last.
    fn files(&self) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut files = vec![];
        for (id, bucket) in buckets(self.routes.iter().cloned()) {
            files.push((self.dir.join(format!("{id}.json")), bucket.encode()?));
        }
        let rules = self.dir.join("access-rules.json");
        files.push((rules, access_rules().encode()?));
        Ok(files)
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

    /// Removes a file with routes: without that of the access rules, there would be none.
    pub(crate) fn remove(&self, number: usize) -> anyhow::Result<()> {
        let mut files = self.files()?;
        files.pop();
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
