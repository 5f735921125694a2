//! `datastream collect` as processes, which store several streams each, and what is in their stores afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use datastream_e2e::{Launch, own_program};
use datastream_routing::Resume;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::checker::{Begin, Interest, Log, Received, Stored, Volume, check_stored};
use crate::clock::Clock;
use crate::database::{self, REFUSED_EVERY, REFUSED_REST};
use crate::door::Door;
use crate::endpoint::Endpoint;
use crate::file_system::{self, FileSystem};
use crate::phase::Phase;
use crate::process::Process;
use crate::recorder::received;
use crate::records::read_body;
use crate::report::Report;
use crate::routes::key;
use crate::ruin::ruin;
use crate::stored_events::{SharedDatabase, StoredEvents};

/// The subscriptions that each collector of a topic stores: devices, and whether the gateway says where it starts.
pub(crate) const STREAMS: [(u8, Resume); 3] = [
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
    /// Number of its topic.
    pub topic: usize,
    disk: FileSystem,
    stored_events: StoredEvents,
    /// A second store of the same streams, which nobody touches, if it has one.
    mirror: Option<StoredEvents>,
    /// The stores that somebody has moved away.
    moved: Vec<Moved>,
    dead_letters: PathBuf,
    /// Lines that were destroyed or duplicated, by stream.
    touched: Vec<BTreeSet<String>>,
    /// Lines that nobody wrote.
    garbage: BTreeSet<String>,
    clock: Option<Clock>,
    guide: Guide,
    /// Its streams began before the event of this number was sent.
    begin: u64,
}

/// A store that was moved away.
struct Moved {
    stored_events: StoredEvents,
    /// The length of the log of the process at that time.
    logged: usize,
    /// It may be that the process ended before it noticed.
    unnoticed: bool,
}

/// Serves the addresses of streams, as a service before the gateways does.
#[derive(Clone)]
pub(crate) struct Guide {
    /// Each with the file with its URL.
    streams: Vec<(String, PathBuf)>,
    endpoints: Vec<Arc<Endpoint>>,
    /// Lock held while the files are written, and while the collector starts: what it cannot read then ends it.
    starting: Arc<Mutex<()>>,
}

/// A fault of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CollectorFault {
    /// SIGKILL, and a new one at the end.
    Kill,
    /// SIGTERM, and a new one at the end.
    Terminate,
    /// SIGSTOP, and SIGCONT at the end.
    Pause,
    /// Its clock is set ahead (or back) by this many seconds, and right at the end.
    Clock(i64),
    /// SIGKILL, damage to its files that this seed decides, and a new one at the end.
    Ruin(u64),
    /// SIGKILL, and its store is replaced by the copy that was made the last time; a new one at the end.
    Restore,
    /// Its folder is moved away while it writes.
    Move,
    /// Its disk is full.
    Full,
    /// SIGKILL, its disk is read-only for the next one, and a new one at the end.
    ReadOnly,
}

/// Picks a fault, and how long it may last, in seconds.
pub(crate) type Pick = fn(&mut StdRng) -> (CollectorFault, std::ops::Range<f64>);

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

/// The table of the collector that stores events of a topic in PostgreSQL.
pub(crate) fn table(topic: usize) -> String {
    format!("topic_{topic}")
}

impl Collector {
    /// Starts a collector of a topic; `number` says which of them. `own`: it can have a file system of its own.
    pub(crate) fn start(
        dir: &Path,
        (topic, number): (usize, usize),
        own: bool,
        (endpoints, authority): (Vec<Arc<Endpoint>>, &Path),
        database: &SharedDatabase,
    ) -> anyhow::Result<Self> {
        let dir = dir.join(format!("collector-{topic}-{number}"));
        fs::create_dir(&dir)?;
        let disk = FileSystem::new(dir.join("disk"), own)?;
        let stored_events = stored_events(disk.path(), (topic, number), database);
        let mirror = matches!(stored_events, StoredEvents::Jsonl(_))
            .then(|| StoredEvents::Sqlite(dir.join("mirror.db")));
        let mut stores = stored_events.config();
        if let (Some(mirror), Some(stores)) = (&mirror, stores.as_object_mut()) {
            stores.extend(mirror.config().as_object().cloned().unwrap_or_default());
        }
        let streams: Vec<_> = (0..STREAMS.len())
            .map(|stream| name(number, stream))
            .map(|name| (name.clone(), dir.join(format!("{name}.url"))))
            .collect();
        let dead_letters = dir.join("dead-letters.jsonl");
        let of_stream = |((name, url), (_, resume)): (&(String, PathBuf), &(u8, Resume))| {
            let start = match resume {
                Resume::Committed => "committed",
                Resume::Latest => "earliest",
            };
            json!({
                "name": name, "urlFile": url, "start": start, "store": stores,
                "deadLetter": dead_letters, "caFile": authority,
            })
        };
        let config: Vec<_> = streams.iter().zip(&STREAMS).map(of_stream).collect();
        let file = dir.join("streams.yaml");
        fs::write(&file, json!({"streams": config}).to_string())?;
        let args = ["collect", "--metrics", "127.0.0.1:0", "--config"].map(str::to_owned);
        let args = args.into_iter().chain([file.display().to_string()]);
        let launch = Launch::new(own_program("datastream")?, args);
        let (clock, launch) = Clock::new(dir.join("clock"), launch)?;
        let process = Process::new(format!("collector-{topic}-{number}"), launch, &dir);
        let mut this = Self {
            process,
            topic,
            disk,
            stored_events,
            mirror,
            moved: vec![],
            dead_letters,
            touched: vec![BTreeSet::new(); STREAMS.len()],
            garbage: BTreeSet::new(),
            clock,
            guide: Guide {
                streams,
                endpoints,
                starting: Arc::default(),
            },
            begin: 0,
        };
        this.start_process()?;
        Ok(this)
    }

    pub(crate) fn apply(&mut self, fault: CollectorFault, begins: bool) -> anyhow::Result<()> {
        use CollectorFault as F;
        self.notice();
        match (fault, begins) {
            (F::Terminate, true) => self.process.terminate(),
            (F::Pause, on) => self.process.pause(on),
            (F::Clock(seconds), on) => {
                if let Some(clock) = &self.clock {
                    clock.step(if on { seconds } else { 0 })?;
                }
            }
            (F::Move, true) => self.move_away()?,
            (F::Move, false) => (),
            (F::Full, on) => self.disk.fill(on)?,
            (F::Kill, true) => self.process.kill(),
            (F::Ruin(seed), true) => {
                self.process.kill();
                self.ruin(&mut StdRng::seed_from_u64(seed))?;
            }
            (F::Restore, true) => {
                self.process.kill();
                self.restore()?;
            }
            (F::ReadOnly, true) => {
                self.process.kill();
                self.disk.read_only(true)?;
                self.process.launch()?;
                self.process.may_end();
            }
            (F::ReadOnly, false) => {
                self.process.kill();
                self.disk.read_only(false)?;
                self.start_process()?;
            }
            (F::Kill | F::Terminate | F::Ruin(_) | F::Restore, false) => self.start_process()?,
        }
        Ok(())
    }

    fn note_moved(&mut self, stored_events: StoredEvents) {
        self.notice();
        let program = self.process.program();
        self.moved.push(Moved {
            stored_events,
            logged: program.map_or(0, |program| program.log().len()),
            unnoticed: true,
        });
    }

    /// Looks whether the process has noticed by now that its store was moved: every stream has said so.
    fn notice(&mut self) {
        let (Some(program), Some(moved)) = (self.process.program(), self.moved.last_mut()) else {
            return;
        };
        let log = program.log();
        let since = log.get(moved.logged..).unwrap_or_default();
        let said = |(stream, _): &(String, PathBuf)| {
            let stream = format!("stream=\"{stream}\"");
            let mut lines = since
                .lines()
                .filter(|l| l.contains("is no longer there; fetching"));
            lines.any(|line| line.contains(&stream))
        };
        if self.guide.streams.iter().all(said) {
            moved.unnoticed = false;
        }
    }

    fn start_process(&mut self) -> anyhow::Result<()> {
        let starting = self.guide.starting.clone();
        let _starting = starting.lock().unwrap_or_else(PoisonError::into_inner);
        self.guide.point(|_| 0)?;
        self.process.start().map(drop)
    }

    /// The folder of its store, if it has one.
    fn folder(&self) -> Option<PathBuf> {
        match &self.stored_events {
            StoredEvents::Postgres(..) => None,
            _ => Some(self.disk.path().join(FOLDER)),
        }
    }

    fn ruin(&mut self, rng: &mut StdRng) -> anyhow::Result<()> {
        let StoredEvents::Jsonl(dir) = &self.stored_events else {
            return Ok(());
        };
        for (stream, (name, _)) in self.guide.streams.iter().enumerate() {
            if let Some(ruined) = ruin(dir, name, rng)? {
                self.touched[stream].extend(ruined.touched);
                self.garbage.extend(ruined.garbage);
            }
        }
        Ok(())
    }

    fn move_away(&mut self) -> anyhow::Result<()> {
        let Some(folder) = self.folder().filter(|folder| folder.exists()) else {
            return Ok(());
        };
        let away = self.disk.path().join(format!("away-{}", self.moved.len()));
        fs::rename(folder, &away)?;
        let stored_events = match &self.stored_events {
            StoredEvents::Jsonl(_) => StoredEvents::Jsonl(away),
            _ => StoredEvents::Sqlite(away.join(DATABASE)),
        };
        self.note_moved(stored_events);
        Ok(())
    }

    /// Its table has another name now, as the one moved with this number.
    pub(crate) fn table_moved(&mut self, number: usize) {
        if let StoredEvents::Postgres(server, table) = &self.stored_events {
            let name = database::moved(number, table);
            let stored_events = StoredEvents::Postgres(server.clone(), name);
            self.note_moved(stored_events);
        }
    }

    /// Puts the copy in the store's place, if there is one, and makes the next.
    fn restore(&mut self) -> anyhow::Result<()> {
        let Some(folder) = self.folder().filter(|folder| folder.exists()) else {
            return Ok(());
        };
        let copy = self.disk.path().join("copy");
        if copy.exists() {
            fs::remove_dir_all(&folder)?;
            fs::rename(&copy, &folder)?;
        }
        // Of a stream that is not in it, a copy cannot say where to resume, so it would begin again as the configuration says.
        for (stream, _) in &self.guide.streams {
            if !self.stored_events.has_begun(stream)? {
                return Ok(());
            }
        }
        file_system::copy(&folder, &copy)
    }

    /// Waits until every stream that begins where the gateway says has its place in the store: from then on nothing may be missing. Of the
    /// others nothing may be missing at all, also if the first batch of events goes wrong.
    pub(crate) async fn begun(&mut self, next: impl Fn() -> u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let committed = self.guide.streams.iter().zip(STREAMS);
        let committed = committed.filter(|(_, (_, resume))| *resume == Resume::Committed);
        for ((name, _), _) in committed {
            while !self.stored_events.has_begun(name)? {
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

    /// The faults that it can have.
    pub(crate) fn faults(&self) -> Vec<Pick> {
        use CollectorFault as F;
        let mut all: Vec<Pick> = vec![
            |_| (F::Kill, 0.0..1.0),
            |_| (F::Kill, 0.0..1.0),
            |_| (F::Terminate, 0.5..2.0),
            |_| (F::Pause, 0.2..6.0),
        ];
        if self.clock.is_some() {
            all.push(|rng| {
                let seconds = rng.random_range(-100_000..100_000);
                (F::Clock(seconds), 0.5..5.0)
            });
        }
        if self.folder().is_some() {
            all.extend([(|_: &mut StdRng| (F::Restore, 0.0..1.0)) as Pick, |_| {
                (F::Move, 0.0..0.1)
            }]);
            if self.disk.is_own() {
                all.extend([(|_: &mut StdRng| (F::Full, 0.2..4.0)) as Pick, |_| {
                    (F::ReadOnly, 0.2..3.0)
                }]);
            }
        }
        if matches!(self.stored_events, StoredEvents::Jsonl(_)) {
            all.push(|rng| (F::Ruin(rng.random()), 0.0..1.0));
            all.push(|rng| (F::Ruin(rng.random()), 0.0..1.0));
        }
        all
    }

    fn stored(&self, stream: usize, partitions: usize) -> anyhow::Result<Stored> {
        let (name, _) = &self.guide.streams[stream];
        let (mask, resume) = STREAMS[stream];
        let mut volumes = vec![];
        let mut gaps = vec![];
        let moved = self
            .moved
            .iter()
            .map(|moved| (&moved.stored_events, moved.unnoticed));
        for (stored_events, unnoticed) in moved.chain([(&self.stored_events, false)]) {
            let mut events = vec![];
            for line in stored_events.events(name)? {
                match read(&line, stored_events.has_lines(), partitions) {
                    Some(event) => events.push(event),
                    None if self.garbage.contains(&line) => (),
                    None => anyhow::bail!("{name} has stored what was not sent: {line}"),
                }
            }
            volumes.push(Volume {
                events,
                repeats: false,
                unnoticed,
            });
            gaps.extend(stored_events.gaps(name)?);
        }
        volumes.push(Volume {
            events: self.set_aside(name, partitions)?,
            repeats: true,
            unnoticed: false,
        });
        let places = self.touched[stream].iter();
        let places = places.filter_map(|line| read(line, true, partitions));
        Ok(Stored {
            interest: Interest::exactly(mask),
            begin: begin_of(resume, self.begin),
            volumes,
            damaged: places
                .map(|event| (event.seq.own, event.seq.offset()))
                .collect(),
            gaps,
        })
    }

    /// Content of the second store.
    fn mirrored(&self, stream: usize, partitions: usize) -> anyhow::Result<Option<Stored>> {
        let (name, _) = &self.guide.streams[stream];
        let (mask, resume) = STREAMS[stream];
        let Some(mirror) = &self.mirror else {
            return Ok(None);
        };
        let lines = mirror.events(name)?;
        let event = |line: &String| {
            let event = read(line, mirror.has_lines(), partitions);
            event.with_context(|| format!("{name} has stored what was not sent: {line}"))
        };
        let events = lines.iter().map(event).collect::<anyhow::Result<_>>()?;
        Ok(Some(Stored {
            interest: Interest::exactly(mask),
            begin: begin_of(resume, self.begin),
            volumes: vec![Volume {
                events,
                repeats: false,
                unnoticed: false,
            }],
            damaged: BTreeSet::new(),
            gaps: mirror.gaps(name)?,
        }))
    }

    /// The events of a stream that the store did not take. Only what the table refuses may be there: not what comes while a disk is full,
    /// for example.
    fn set_aside(&self, name: &str, partitions: usize) -> anyhow::Result<Vec<Received>> {
        #[derive(serde::Deserialize)]
        struct Letter<'a> {
            stream: String,
            reason: Value,
            #[serde(borrow)]
            event: &'a serde_json::value::RawValue,
        }
        let text = fs::read_to_string(&self.dead_letters).unwrap_or_default();
        let whole = text.rfind('\n').unwrap_or(0);
        let mut events = vec![];
        for line in text[..whole].lines() {
            let letter: Letter<'_> = serde_json::from_str(line).context("a dead letter")?;
            if letter.stream != name {
                continue;
            }
            let event = read(letter.event.get(), true, partitions);
            let event = event.with_context(|| format!("{name}: a dead letter {line}"))?;
            anyhow::ensure!(
                matches!(self.stored_events, StoredEvents::Postgres(..))
                    && event.seq.offset() % REFUSED_EVERY == REFUSED_REST,
                "{name}: set aside although nothing refuses it ({}): {line}",
                letter.reason
            );
            events.push(event);
        }
        Ok(events)
    }
}

fn begin_of(resume: Resume, before: u64) -> Begin {
    match resume {
        Resume::Latest => Begin::Earliest,
        Resume::Committed => Begin::Before(before),
    }
}

/// An address at which nobody answers.
const NOBODY: &str = "127.0.0.1:9";
/// The folder of a store on its disk, and the database in it.
const FOLDER: &str = "store";
const DATABASE: &str = "events.db";

fn stored_events(
    disk: &Path,
    (topic, number): (usize, usize),
    database: &SharedDatabase,
) -> StoredEvents {
    let folder = disk.join(FOLDER);
    match number {
        0 => StoredEvents::Jsonl(folder),
        1 => StoredEvents::Sqlite(folder.join(DATABASE)),
        _ => StoredEvents::Postgres(database.clone(), table(topic)),
    }
}

fn read(text: &str, one_line: bool, partitions: usize) -> Option<Received> {
    received(read_body(text, one_line)?, partitions)
}

impl Guide {
    /// Leads the streams now to one gateway, now to another, now nowhere, until the round is over.
    pub(crate) async fn run(self, mut rng: StdRng, phase: watch::Receiver<Phase>) {
        while *phase.borrow() < Phase::Over {
            if let Ok(_starting) = self.starting.try_lock() {
                if *phase.borrow() == Phase::Faults && rng.random_bool(0.1) {
                    self.mislead(&mut rng);
                } else {
                    let pointed = self.point(|endpoints| rng.random_range(0..endpoints));
                    pointed.expect("the file with the URL can be written");
                }
            }
            sleep(Duration::from_millis(rng.random_range(200..900))).await;
        }
    }

    /// Makes one of the files what no URL can be read from.
    fn mislead(&self, rng: &mut StdRng) {
        let (_, file) = &self.streams[rng.random_range(0..self.streams.len())];
        let _ = match rng.random_range(0..4) {
            0 => fs::remove_file(file),
            1 => fs::write(file, ""),
            2 => fs::write(file, "not a URL\n\u{0}"),
            _ => fs::write(file, [0xff_u8; 100]),
        };
    }

    /// `choose` picks one of so many.
    fn point(&self, mut choose: impl FnMut(usize) -> usize) -> anyhow::Result<()> {
        for (name, file) in &self.streams {
            let door = self.endpoints[choose(self.endpoints.len())].door();
            let door = door.unwrap_or_else(|| Door::new(NOBODY.to_owned(), None));
            let draft = file.with_extension("draft");
            fs::write(
                &draft,
                door.url(&format!("/stream?stream_key={}", key(name))),
            )?;
            fs::rename(draft, file)?;
        }
        Ok(())
    }
}

/// Waits until every store has everything that it must have; returns how many events that are.
pub(crate) async fn settle(collectors: &[Collector], report: &Report, logs: &[Log]) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut events = 0;
    for collector in collectors {
        let log = &logs[collector.topic];
        let name = &collector.process.name;
        for stream in 0..STREAMS.len() {
            loop {
                let partitions = log.partitions.len();
                let stored = report.expect(name, collector.stored(stream, partitions));
                let mirrored = report.expect(name, collector.mirrored(stream, partitions));
                let mut pending = None;
                for (store, stored) in [
                    (name.clone(), Some(&stored)),
                    (format!("the second store of {name}"), mirrored.as_ref()),
                ] {
                    match stored.map(|stored| check_stored(log, stored)) {
                        None => (),
                        Some(Ok(missing)) => pending = pending.or(missing),
                        Some(Err(violation)) => {
                            report.fail(format!("{store}, stream {stream}: {violation}"))
                        }
                    }
                }
                let Some((partition, offset, number)) = pending else {
                    let volumes = stored
                        .volumes
                        .iter()
                        .chain(mirrored.iter().flat_map(|m| &m.volumes));
                    events += volumes.map(|volume| volume.events.len()).sum::<usize>();
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
