//! A client that writes down what it sees, and reconnects for as long as the run lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Moment};

use datastream_source::fluvio::FluvioTarget;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::checker::{History, Outcome, Received, Seq, Session, Start};
use crate::client::{Client, Heard, Refusal};
use crate::client_profile::{ClientProfile, Plan};
use crate::endpoint::{Endpoint, Excuse};
use crate::phase::Phase;
use crate::records;
use crate::traffic::Traffic;

/// A client that hears nothing for this long, no heartbeat either, tries another gateway.
const QUIET: Duration = Duration::from_secs(8);

/// The parts that all clients of one topic share.
pub(crate) struct Environment {
    pub topic: FluvioTarget,
    pub partitions: usize,
    pub endpoints: Vec<Arc<Endpoint>>,
    pub traffic: Arc<Traffic>,
    /// Refusals for lack of rights are explained.
    pub excuse: Excuse,
}

/// Numbers of refusals: by status, 0 for 'nobody answers'.
pub(crate) type Refusals = Arc<Mutex<BTreeMap<u16, u64>>>;

/// One client.
pub(crate) struct Recorder {
    pub environment: Arc<Environment>,
    pub key: String,
    pub client_profile: ClientProfile,
    /// It may come back to another gateway.
    pub roams: bool,
    /// The gateway that it began with.
    pub home: usize,
    pub history: Arc<Mutex<History>>,
    pub refusals: Refusals,
    pub rng: StdRng,
    pub phase: watch::Receiver<Phase>,
}

impl Recorder {
    /// Connects again and again until the run is over, or the contract is broken beyond repair.
    pub(crate) async fn run(mut self) {
        while self.phase() < Phase::Over {
            let endpoint = self.choose();
            let (plan, query) = {
                let history = self.history.lock().unwrap();
                let last = self.phase() > Phase::Faults;
                let next = self.environment.traffic.next();
                let plan = self
                    .client_profile
                    .plan(&history, next, last, &mut self.rng);
                let query = query(&self.key, &plan);
                (plan, query)
            };
            // In this order: what disturbs it closes it first.
            let disturbances = self.environment.endpoints[endpoint].disturbances();
            let Some(door) = self.environment.endpoints[endpoint].door() else {
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let is_slow = self.client_profile.is_slow();
            match Client::connect(&door, &query, plan.dialect, is_slow).await {
                Ok(client) => {
                    let outcome = self.session(endpoint, disturbances, plan, client).await;
                    let broken = matches!(outcome, Outcome::Garbled { .. });
                    self.end(outcome);
                    if broken {
                        return;
                    }
                }
                Err(Refusal::Unreachable) => self.refused(0).await,
                Err(Refusal::Status(410, body)) => {
                    let earliest = earliest(&body, self.environment.partitions);
                    self.open(endpoint, plan);
                    let Some(earliest) = earliest else {
                        self.end(Outcome::Garbled { frame: body });
                        return;
                    };
                    self.end(Outcome::Gone { earliest });
                    self.refused(410).await;
                }
                Err(Refusal::Status(status, body)) => {
                    let explained = match status {
                        409 | 503 => true,
                        401 | 403 => self.environment.excuse.holds(),
                        _ => false,
                    };
                    if !explained {
                        self.open(endpoint, plan);
                        self.end(Outcome::Refused { status, body });
                        return;
                    }
                    self.refused(status).await;
                }
            }
        }
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns the gateway to which it connects next. In the end everybody goes anywhere: a gateway that does not recover is
    /// found out by those that stay at home.
    fn choose(&mut self) -> usize {
        if self.roams {
            self.rng.random_range(0..self.environment.endpoints.len())
        } else {
            self.home
        }
    }

    async fn refused(&mut self, status: u16) {
        *self.refusals.lock().unwrap().entry(status).or_default() += 1;
        let pause = self.rng.random_range(50..400);
        sleep(Duration::from_millis(pause)).await;
    }

    fn open(&self, endpoint: usize, plan: Plan) {
        // Read again: what was sent while the connection was made may be before its beginning.
        let start = match plan.start {
            Start::Live { .. } => Start::Live {
                from: self.environment.traffic.next(),
            },
            Start::Committed { .. } => Start::Committed {
                from: self.environment.traffic.next(),
            },
            start @ Start::Seq(_) => start,
        };
        let session = Session {
            gateway: endpoint,
            start,
            end: plan.end,
            on_gap: plan.on_gap,
            markers: plan.markers,
            opened: Moment::now(),
            ended: None,
            gap: None,
            live: None,
            events: vec![],
            heartbeats: vec![],
            outcome: Outcome::Open,
        };
        self.history.lock().unwrap().sessions.push(session);
    }

    fn end(&self, outcome: Outcome) {
        self.last(|session| {
            session.outcome = outcome;
            session.ended = Some(Moment::now());
        });
    }

    fn last<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        change(
            self.history
                .lock()
                .unwrap()
                .sessions
                .last_mut()
                .expect("one is open"),
        )
    }

    /// One connection, from the handshake on.
    async fn session(
        &mut self,
        endpoint: usize,
        disturbances: u64,
        plan: Plan,
        mut client: Client,
    ) -> Outcome {
        let (stays, abrupt, one_line) = (plan.stays, plan.abrupt, plan.dialect.is_body());
        self.open(endpoint, plan);
        let opened = Instant::now();
        let mut froze = false;
        loop {
            let phase = self.phase();
            let events = self.last(|session| session.events.len());
            // One for which nothing comes does not stay for ever.
            let bored = opened.elapsed() > QUIET;
            let enough = stays.is_some_and(|stays| events >= stays || bored);
            if phase == Phase::Over || (enough && phase == Phase::Faults) {
                if !abrupt {
                    client.leave().await;
                }
                return Outcome::Left;
            }
            if phase == Phase::Faults {
                if let Some(pause) = self.client_profile.freeze(&mut self.rng) {
                    froze = true;
                    self.wait(pause).await;
                }
                if let Some(pause) = self.client_profile.pace(&mut self.rng) {
                    self.wait(pause).await;
                }
            }
            let heard = tokio::select! {
                heard = client.next(QUIET) => heard,
                _ = self.phase.changed() => continue,
            };
            match heard {
                Heard::Heartbeat => {
                    self.last(|session| session.heartbeats.push(session.events.len()));
                    client.answer().await;
                }
                Heard::Frame(frame) => {
                    let content = read(&frame, self.environment.partitions, one_line);
                    let understood = self.last(|session| match content {
                        Some(Content::Event(event)) => {
                            session.events.push(event);
                            true
                        }
                        Some(Content::Gap(seq)) if session.events.is_empty() => {
                            session.markers && session.gap.replace(seq).is_none()
                        }
                        Some(Content::Live(seq)) => {
                            let live = (session.events.len(), seq);
                            session.markers && session.live.replace(live).is_none()
                        }
                        _ => false,
                    });
                    if !understood {
                        let frame = frame.as_str().to_owned();
                        return Outcome::Garbled { frame };
                    }
                }
                Heard::Closed { code, reason } => return Outcome::Closed { code, reason },
                Heard::Nothing => return Outcome::Lost,
                Heard::Gone(how) => {
                    let disturbed =
                        self.environment.endpoints[endpoint].disturbances() != disturbances;
                    if disturbed || froze || self.client_profile.is_slow() {
                        return Outcome::Lost;
                    }
                    return Outcome::Dropped { how };
                }
            }
        }
    }

    /// Does not read for this long, unless the run enters its next phase.
    async fn wait(&mut self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => (),
            _ = self.phase.changed() => (),
        }
    }
}

fn query(key: &str, plan: &Plan) -> String {
    let mut query = format!("stream_key={key}");
    if let Start::Seq(digits) = &plan.start {
        query.push_str("&seq_start=");
        query.push_str(digits);
    }
    if let Some(end) = &plan.end {
        query.push_str("&seq_end=");
        query.push_str(&end.digits());
    }
    if plan.on_gap {
        query.push_str("&on_gap=earliest");
    }
    if plan.markers {
        query.push_str("&markers=1");
    }
    query
}

/// Content of a frame.
enum Content {
    Event(Received),
    Gap(Seq),
    Live(Seq),
}

/// Reads a frame `LEN|BODY`, of which line breaks have become spaces with `one_line`; absent if it is not exactly as it must be.
fn read(frame: &str, partitions: usize, one_line: bool) -> Option<Content> {
    let (length, body) = frame.split_once('|')?;
    if length.parse() != Ok(body.len()) || !body.is_ascii() || body.contains('|') {
        return None;
    }
    if body.starts_with(r#"{"control":"#) {
        let control: Value = serde_json::from_str(body).ok()?;
        let seq = Seq::parse(control["seq_start"].as_str()?, partitions)?;
        return match control["control"].as_str()? {
            "gap" => Some(Content::Gap(seq)),
            "live" => Some(Content::Live(seq)),
            _ => None,
        };
    }
    received(records::read_body(body, one_line)?, partitions).map(Content::Event)
}

/// An event that is what was sent.
pub(crate) fn received(
    (number, device, seq): (u64, u8, &str),
    partitions: usize,
) -> Option<Received> {
    Some(Received {
        seq: Seq::parse(seq, partitions)?,
        number,
        device,
    })
}

/// The earliest number that can be had, as a refusal names it.
fn earliest(body: &str, partitions: usize) -> Option<Seq> {
    let refusal: Value = serde_json::from_str(body).ok()?;
    let (_, named) = refusal["message"].as_str()?.split_once("replayed is ")?;
    let digits: String = named.chars().take_while(char::is_ascii_digit).collect();
    Seq::parse(&digits, partitions)
}
