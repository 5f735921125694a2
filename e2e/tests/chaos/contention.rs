//! Clients that contend for the same streams, at different gateways, and note when they had them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::checker::{Disrupted, Served, check_claims};
use crate::client::{Client, Heard, Refusal};
use crate::dialect::Dialect;
use crate::endpoint::Endpoint;
use crate::phase::Phase;
use crate::report::Report;

/// Subscriptions that clients contend for, and clients of each.
pub(crate) const CONTENDED: usize = 4;
const CLIENTS: usize = 2;
/// Longest time for which a client may be locked out once all is well: a gateway that is gone is given up after 15 s.
const LOCKED_OUT: Duration = Duration::from_secs(20);
/// Time for which they continue after that, so that it shows whether anything lasts that must not.
const AFTERWARDS: Duration = Duration::from_secs(6);

/// All contenders of a round.
pub(crate) struct Contention {
    served: Arc<Mutex<Vec<Served>>>,
    /// Refusals that a contender must not get, by status.
    wrong: Arc<Mutex<BTreeMap<u16, String>>>,
    clients: JoinSet<()>,
    over: watch::Sender<Phase>,
}

struct Contender {
    subscription: usize,
    key: String,
    endpoints: Vec<Arc<Endpoint>>,
    served: Arc<Mutex<Vec<Served>>>,
    wrong: Arc<Mutex<BTreeMap<u16, String>>>,
    rng: StdRng,
    phase: watch::Receiver<Phase>,
}

impl Contention {
    /// Lets clients contend for the streams with these keys.
    pub(crate) fn start(keys: &[String], endpoints: &[Arc<Endpoint>], rng: &mut StdRng) -> Self {
        let mut this = Self {
            served: Arc::default(),
            wrong: Arc::default(),
            clients: JoinSet::new(),
            over: watch::Sender::new(Phase::Faults),
        };
        for (subscription, key) in keys.iter().enumerate() {
            for _ in 0..CLIENTS {
                let contender = Contender {
                    subscription,
                    key: key.clone(),
                    endpoints: endpoints.to_vec(),
                    served: this.served.clone(),
                    wrong: this.wrong.clone(),
                    rng: StdRng::seed_from_u64(rng.random()),
                    phase: this.over.subscribe(),
                };
                this.clients.spawn(contender.run());
            }
        }
        this
    }

    /// Waits until everybody has got in after all was well, and checks who served when. Returns the figures.
    pub(crate) async fn settle(mut self, report: &Report, disrupted: &[Disrupted]) -> String {
        let healed = Instant::now();
        let mut last = Duration::ZERO;
        loop {
            let opened = {
                let served = self.served.lock().unwrap();
                let since = served.iter().filter(|s| s.opened > healed);
                let mut first = BTreeMap::new();
                for one in since {
                    first.entry(one.subscription).or_insert(one.opened);
                }
                first
            };
            if opened.len() == CONTENDED {
                let latest = opened.into_values().max();
                last = latest.map_or(last, |at| at - healed);
                break;
            }
            if healed.elapsed() > LOCKED_OUT {
                report.fail(format!(
                    "of {CONTENDED} subscriptions only {:?} were served within {LOCKED_OUT:?} after all was well",
                    opened.keys()
                ));
            }
            sleep(Duration::from_millis(50)).await;
        }
        sleep(AFTERWARDS).await;
        self.over.send_replace(Phase::Over);
        while let Some(ended) = self.clients.join_next().await {
            if let Err(error) = ended {
                report.fail(error);
            }
        }
        if let Some((status, body)) = self.wrong.lock().unwrap().pop_first() {
            report.fail(format!(
                "a contender with a good key is refused: {status} {body}"
            ));
        }
        let served = self.served.lock().unwrap();
        match check_claims(&served, disrupted) {
            Err(overlap) => report.fail(overlap),
            Ok(explained) => format!(
                "{} streams of {CONTENDED} contended subscriptions, {explained} beside another for a reason; served again {last:.1?} after all was well",
                served.len()
            ),
        }
    }
}

impl Contender {
    async fn run(mut self) {
        while *self.phase.borrow() < Phase::Over {
            let gateway = self.rng.random_range(0..self.endpoints.len());
            let pause = Duration::from_millis(self.rng.random_range(50..400));
            let Some(door) = self.endpoints[gateway].door() else {
                sleep(pause).await;
                continue;
            };
            let asked = Instant::now();
            let query = format!("stream_key={}", self.key);
            match Client::connect(&door, &query, Dialect::Dss, false).await {
                Ok(client) => self.serve(gateway, asked, client).await,
                Err(Refusal::Status(409 | 503, _) | Refusal::Unreachable) => sleep(pause).await,
                Err(Refusal::Status(status, body)) => {
                    self.wrong.lock().unwrap().insert(status, body);
                    return;
                }
            }
        }
    }

    /// Keeps the stream for a while, and notes what proves that it had it.
    async fn serve(&mut self, gateway: usize, asked: Instant, mut client: Client) {
        let opened = Instant::now();
        let index = {
            let mut served = self.served.lock().unwrap();
            served.push(Served {
                subscription: self.subscription,
                gateway,
                asked,
                opened,
                last: opened,
            });
            served.len() - 1
        };
        let stays = Duration::from_millis(self.rng.random_range(100..2500));
        let stay = async {
            loop {
                match client.next(stays).await {
                    Heard::Heartbeat => client.answer().await,
                    Heard::Frame(_) => (),
                    Heard::Nothing => continue,
                    Heard::Closed { .. } | Heard::Gone(_) => return,
                }
                self.served.lock().unwrap()[index].last = Instant::now();
            }
        };
        if timeout(stays, stay).await.is_err() && self.rng.random_bool(0.7) {
            client.leave().await;
        }
    }
}
