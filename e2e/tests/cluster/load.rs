//! Events at a steady rate, and clients that must get each of them once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::client::Follower;
use crate::events::datapoint;
use crate::harness::Harness;

const CLIENTS: usize = 12;
/// Pause between two events.
const EVERY: Duration = Duration::from_millis(20);

/// Runs until it is finished.
pub(crate) struct Load {
    followers: Vec<Follower>,
    stop: Arc<AtomicBool>,
    sending: JoinHandle<anyhow::Result<u64>>,
}

impl Load {
    /// Clients of subscriptions of their own to devices of this model, and events of such devices.
    pub(crate) async fn start(harness: &Harness, model: &str) -> anyhow::Result<Self> {
        let mut followers = vec![];
        for number in 0..CLIENTS {
            let name = format!("{model}-{number}");
            let spec = json!({"eventTypes": ["datapoint"], "filters": [{"oemModels": [model]}]});
            harness.subscribe("team-a", &name, &spec)?;
        }
        for number in 0..CLIENTS {
            let key = harness.key("team-a", &format!("{model}-{number}"))?;
            followers.push(Follower::start(harness.endpoint.clone(), key));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut publisher = harness.publisher()?;
        let (model, stopped) = (model.to_owned(), stop.clone());
        let sending = tokio::spawn(async move {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                sent += 1;
                publisher.send(&datapoint(&model, sent))?;
                sleep(EVERY).await;
            }
            tokio::task::spawn_blocking(move || publisher.finish()).await??;
            Ok(sent)
        });
        let mut this = Self {
            followers,
            stop,
            sending,
        };
        this.flows(50).await?;
        Ok(this)
    }

    /// Waits until every client has got this event.
    pub(crate) async fn flows(&mut self, number: u64) -> anyhow::Result<()> {
        for follower in &mut self.followers {
            follower.reach(number).await?;
        }
        Ok(())
    }

    /// Ends the load; every client must have got every event once, in order. Returns how many connections each needed, at most.
    pub(crate) async fn finish(mut self) -> anyhow::Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = (&mut self.sending).await??;
        self.flows(sent).await?;
        let mut most = 0;
        for (number, follower) in self.followers.into_iter().enumerate() {
            let record = follower.finish().await?;
            let expected: Vec<_> = (1..=sent).collect();
            if record.numbers != expected {
                let wrong = record
                    .numbers
                    .iter()
                    .zip(&expected)
                    .position(|(a, b)| a != b);
                let wrong = wrong.context("too many or too few")?;
                anyhow::bail!(
                    "client {number} got {} events of {sent}; from the {wrong}th on: {:?}",
                    record.numbers.len(),
                    &record.numbers[wrong..record.numbers.len().min(wrong + 10)]
                );
            }
            most = most.max(record.connections);
        }
        Ok(most)
    }
}
