//! The end of a round: everybody gets what is left, then all histories are checked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::checker::{History, Log, check};
use crate::gateways::Gateway;
use crate::phase::Phase;
use crate::recorder::{Recorder, Refusals};
use crate::report::Report;

/// Time after the last fault within which everything must have arrived. The slowest are those that wait for timeouts of several
/// seconds one after the other.
const PATIENCE: Duration = Duration::from_mins(2);

/// The clients of a round.
pub(crate) struct Clients {
    histories: Vec<Arc<Mutex<History>>>,
    /// Number of the log to which each history belongs.
    logs: Vec<usize>,
    tasks: JoinSet<()>,
    refusals: Refusals,
    phase: watch::Sender<Phase>,
}

impl Clients {
    pub(crate) fn new() -> Self {
        Self {
            histories: vec![],
            logs: vec![],
            tasks: JoinSet::new(),
            refusals: Refusals::default(),
            phase: watch::Sender::new(Phase::Faults),
        }
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn refusals(&self) -> Refusals {
        self.refusals.clone()
    }

    /// Starts a client of the topic with this number.
    pub(crate) fn spawn(&mut self, topic: usize, recorder: Recorder) {
        self.histories.push(recorder.history.clone());
        self.logs.push(topic);
        self.tasks.spawn(recorder.run());
    }

    /// The faults are over: nobody produces any more, everybody stays and reads on.
    pub(crate) fn recover(&self) {
        self.phase.send_replace(Phase::Recovery);
    }

    /// Waits until everything has arrived everywhere, checks everything, and returns the figures.
    pub(crate) async fn settle(mut self, report: &Report, logs: &[Log]) -> String {
        let deadline = Instant::now() + PATIENCE;
        let check_all = || {
            let mut waiting = None;
            let (mut events, mut sessions) = (0, 0);
            for (history, log) in self.histories.iter().zip(&self.logs) {
                let history = history.lock().unwrap();
                match check(&logs[*log], &history) {
                    Ok(standing) => {
                        events += standing.events;
                        sessions += standing.sessions;
                        if let Some(pending) = standing.pending {
                            let last = history.sessions.last();
                            waiting = Some((history.client.clone(), pending, last.cloned()));
                        }
                    }
                    Err(violation) => report.fail(violation),
                }
            }
            (events, sessions, waiting)
        };
        let (events, sessions) = loop {
            let (events, sessions, waiting) = check_all();
            let Some((client, (partition, offset, number), last)) = waiting else {
                break (events, sessions);
            };
            if Instant::now() > deadline {
                let last = last.map(|s| (s.gateway, s.start, s.events.len(), s.outcome));
                report.fail(format!(
                    "client {client} still waits for event {number} at {partition}/{offset}; refusals by status: {:?}; its last connection: {last:?}",
                    self.refusals.lock().unwrap(),
                ));
            }
            sleep(Duration::from_millis(300)).await;
        };
        self.phase.send_replace(Phase::Over);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                report.fail(error);
            }
        }
        // Once more, with how the last connections ended.
        check_all();
        format!(
            "{events} events to {} clients over {sessions} connections, refusals by status: {:?}",
            self.histories.len(),
            self.refusals.lock().unwrap(),
        )
    }
}

/// Waits until no gateway counts a stream any more.
pub(crate) async fn nothing_left(report: &Report, gateways: &[Gateway]) {
    let deadline = Instant::now() + PATIENCE;
    for gateway in gateways {
        loop {
            let streams = report.expect(&gateway.process.name, gateway.streams());
            if streams < 0.5 {
                break;
            }
            if Instant::now() > deadline {
                let name = &gateway.process.name;
                report.fail(format!("{name} counts {streams} streams that nobody has"));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
