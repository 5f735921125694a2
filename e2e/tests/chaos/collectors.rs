//! `datastream collect` as processes, which store several streams each, and what is in their stores afterwards.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use datastream_e2e::{Launch, own_program};
use datastream_routing::Resume;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::checker::{Begin, Interest, Log, Stored, check_stored};
use crate::door::Door;
use crate::phase::Phase;
use crate::process::Process;
use crate::recorder::read_body;
use crate::report::Report;
use crate::routes::key;
use crate::shelf::{SharedDatabase, Shelf};

/// The subscriptions that each collector of a topic stores: devices, and whether the gateway says where it starts.
const STREAMS: [(u8, Resume); 3] = [
    (0xff, Resume::Latest),
    (0x2d, Resume::Latest),
    (0xf0, Resume::Committed),
];
/// Collectors of one topic: JSON lines, SQLite and PostgreSQL.
pub(crate) const COLLECTORS: usize = 3;
const PATIENCE: Duration = Duration::from_mins(2);

/// A collector, running or not.
pub(crate) struct Collector {
    pub process: Process,
    /// Of the topic with this number.
    pub topic: usize,
    shelf: Shelf,
    guide: Guide,
    /// Its streams began before the event of this number was sent.
    begin: u64,
}

/// Says where streams are to be had, as a service in front of the gateways does.
#[derive(Clone)]
pub(crate) struct Guide {
    /// Each with the file with its URL.
    streams: Vec<(String, PathBuf)>,
    doors: Vec<Arc<Door>>,
}

/// What can be done to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CollectorFault {
    /// SIGKILL, and a new one at the end.
    Kill,
    /// SIGTERM, and a new one at the end.
    Terminate,
    /// SIGSTOP, and SIGCONT at the end.
    Pause,
}

/// The subscriptions of all collectors of a topic: name, devices and how they resume.
pub(crate) fn subscriptions() -> impl Iterator<Item = (String, u8, Resume)> {
    (0..COLLECTORS).flat_map(|collector| {
        let streams = STREAMS.iter().enumerate();
        streams.map(move |(stream, (mask, resume))| (name(collector, stream), *mask, *resume))
    })
}

fn name(collector: usize, stream: usize) -> String {
    format!("collected-{collector}-{stream}")
}

impl Collector {
    /// Starts a collector of a topic; `number` tells which of them.
    pub(crate) fn start(
        dir: &Path,
        topic: usize,
        number: usize,
        doors: Vec<Arc<Door>>,
        database: &SharedDatabase,
    ) -> anyhow::Result<Self> {
        let dir = dir.join(format!("collector-{topic}-{number}"));
        std::fs::create_dir(&dir)?;
        let shelf = match number {
            0 => Shelf::Jsonl(dir.join("lines")),
            1 => Shelf::Sqlite(dir.join("events.db")),
            _ => Shelf::Postgres(database.clone(), format!("topic_{topic}")),
        };
        let streams: Vec<_> = (0..STREAMS.len())
            .map(|stream| name(number, stream))
            .map(|name| (name.clone(), dir.join(format!("{name}.url"))))
            .collect();
        let of_stream = |((name, url), (_, resume)): (&(String, PathBuf), &(u8, Resume))| {
            let start = match resume {
                Resume::Committed => "committed",
                Resume::Latest => "earliest",
            };
            json!({"name": name, "urlFile": url, "start": start, "store": shelf.config()})
        };
        let config: Vec<_> = streams.iter().zip(&STREAMS).map(of_stream).collect();
        let file = dir.join("streams.yaml");
        std::fs::write(&file, json!({"streams": config}).to_string())?;
        let args = ["collect", "--metrics", "127.0.0.1:0", "--config"].map(str::to_owned);
        let args = args.into_iter().chain([file.display().to_string()]);
        let launch = Launch::new(own_program("datastream")?, args);
        let process = Process::new(format!("collector-{topic}-{number}"), launch, &dir);
        let mut this = Self {
            process,
            topic,
            shelf,
            guide: Guide { streams, doors },
            begin: 0,
        };
        this.guide.point(|_| 0)?;
        this.process.start()?;
        Ok(this)
    }

    pub(crate) fn apply(&mut self, fault: CollectorFault, begins: bool) -> anyhow::Result<()> {
        match (fault, begins) {
            (CollectorFault::Kill, true) => self.process.kill(),
            (CollectorFault::Terminate, true) => self.process.terminate(),
            (CollectorFault::Kill | CollectorFault::Terminate, false) => {
                self.process.start()?;
            }
            (CollectorFault::Pause, on) => self.process.pause(on),
        }
        Ok(())
    }

    /// Waits until every stream has its place in the store: from then on nothing may be missing.
    pub(crate) async fn begun(&mut self, next: impl Fn() -> u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for (name, _) in &self.guide.streams {
            while !self.shelf.has_begun(name)? {
                anyhow::ensure!(Instant::now() < deadline, "{name} does not begin");
                sleep(Duration::from_millis(20)).await;
            }
        }
        self.begin = next();
        Ok(())
    }

    pub(crate) fn guide(&self) -> Guide {
        self.guide.clone()
    }

    fn stored(&self, stream: usize, partitions: usize) -> anyhow::Result<Stored> {
        let (name, _) = &self.guide.streams[stream];
        let (mask, resume) = STREAMS[stream];
        let read = |body: &String| {
            let found = read_body(body, partitions);
            found.with_context(|| format!("{name} has stored what was not sent: {body}"))
        };
        Ok(Stored {
            interest: Interest::exactly(mask),
            begin: match resume {
                Resume::Latest => Begin::Earliest,
                Resume::Committed => Begin::Before(self.begin),
            },
            events: self
                .shelf
                .events(name)?
                .iter()
                .map(read)
                .collect::<Result<_, _>>()?,
            gaps: self.shelf.gaps(name)?,
        })
    }
}

impl Guide {
    /// Leads the streams now to one gateway, now to another, until the round is over.
    pub(crate) async fn run(self, mut rng: StdRng, phase: watch::Receiver<Phase>) {
        while *phase.borrow() < Phase::Over {
            let pointed = self.point(|doors| rng.random_range(0..doors));
            pointed.expect("the file with the URL can be written");
            sleep(Duration::from_millis(rng.random_range(200..900))).await;
        }
    }

    /// `choose` picks one of so many.
    fn point(&self, mut choose: impl FnMut(usize) -> usize) -> anyhow::Result<()> {
        for (name, file) in &self.streams {
            let Some(address) = self.doors[choose(self.doors.len())].address() else {
                continue;
            };
            let draft = file.with_extension("draft");
            let url = format!("ws://{address}/stream?stream_key={}", key(name));
            std::fs::write(&draft, url)?;
            std::fs::rename(draft, file)?;
        }
        Ok(())
    }
}

/// Waits until every store has everything that it must have; tells how many events that are.
pub(crate) async fn settle(collectors: &[Collector], report: &Report, logs: &[Log]) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut events = 0;
    for collector in collectors {
        let log = &logs[collector.topic];
        let name = &collector.process.name;
        for stream in 0..STREAMS.len() {
            loop {
                let stored = collector.stored(stream, log.partitions.len());
                let stored = report.expect(name, stored);
                let pending = match check_stored(log, &stored) {
                    Ok(pending) => pending,
                    Err(violation) => report.fail(format!("{name}, stream {stream}: {violation}")),
                };
                let Some((partition, offset, number)) = pending else {
                    events += stored.events.len();
                    break;
                };
                if Instant::now() > deadline {
                    report.fail(format!(
                        "{name}, stream {stream}, has not stored event {number} at {partition}/{offset}"
                    ));
                }
                sleep(Duration::from_millis(500)).await;
            }
        }
    }
    events
}
