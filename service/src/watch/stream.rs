//! A watch that goes on through outages.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, stream};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Backoff, Change, Listing, Watched};

/// A watch of which nothing bad was heard for this long after an error is taken to be established: it may have nothing to tell.
/// Longer than it takes to find out that a connection cannot be made (30 s).
const ESTABLISHED: Duration = Duration::from_secs(35);

struct Watch<K> {
    events: BoxStream<'static, watcher::Result<Event<Watched<K>>>>,
    listing: Listing,
    backoff: Backoff,
    /// The time at which to go on after an error.
    pause: Option<Instant>,
    failing: bool,
    ready: VecDeque<Change<K>>,
}

/// Follows objects, until dropped. With each change comes the number of objects that cannot be read at that time.
pub fn changes<K>(
    api: Api<Watched<K>>,
    config: watcher::Config,
) -> impl Stream<Item = (Change<K>, usize)>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let watch = Watch {
        events: watcher(api, config).boxed(),
        listing: Listing::default(),
        backoff: Backoff::default(),
        pause: None,
        failing: false,
        ready: VecDeque::new(),
    };
    stream::unfold(watch, |mut watch| async {
        let change = watch.next().await?;
        Some(((change, watch.listing.unreadable()), watch))
    })
}

impl<K: Resource<DynamicType = ()>> Watch<K> {
    async fn next(&mut self) -> Option<Change<K>> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            if let Some(until) = self.pause.take() {
                sleep_until(until).await;
            }
            let event = if self.failing {
                let Ok(event) = timeout(ESTABLISHED, self.events.next()).await else {
                    self.failing = false;
                    return Some(Change::Recovered);
                };
                event?
            } else {
                self.events.next().await?
            };
            match event {
                Ok(event) => {
                    self.ready.extend(self.listing.take(event));
                    if self.failing && !self.ready.is_empty() {
                        self.failing = false;
                        self.ready.push_front(Change::Recovered);
                    }
                }
                Err(error) => {
                    let now = Instant::now();
                    self.pause = Some(now + self.backoff.after(&error, now));
                    self.failing = true;
                    return Some(Change::Failed(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
