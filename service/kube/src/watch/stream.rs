//! A watch that survives outages and silence.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, stream};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout};

use super::backoff::WatchBackoff;
use super::{Change, Listing, Selection, Watched};
use crate::api;
use crate::lease;

/// A watch of which nothing bad was heard for this long after an error counts as established: it may have nothing to report.
/// Longer than it takes to find out that a request is not answered.
const ESTABLISHED: Duration = api::SILENCE.saturating_add(Duration::from_secs(5));
/// The time within which objects must have been listed that were asked for because of silence: after it, those that expire may
/// well have been renewed unseen.
const ANSWER: Duration = lease::DURATION
    .saturating_sub(lease::PULSE)
    .saturating_sub(Duration::from_secs(1));
/// Doublings of the time between two lists because of silence: it may be that there is nothing to be heard any more.
const DOUBLINGS: u32 = 5;

struct Watch<K> {
    api: Api<Watched<K>>,
    selection: Selection,
    events: BoxStream<'static, watcher::Result<Event<Watched<K>>>>,
    listing: Listing,
    backoff: WatchBackoff,
    /// The time at which to resume after an error.
    pause: Option<Instant>,
    failing: bool,
    /// A list is on its way, so that silence says nothing good.
    is_listing: bool,
    /// Lists in a row that were asked for because of silence.
    silences: u32,
    ready: VecDeque<Change<K>>,
}

/// Nothing has come for as long as it may.
struct Silence;

/// Follows objects, until dropped. With each change comes the number of objects that cannot be read at that time.
pub fn changes<K>(
    api: Api<Watched<K>>,
    selection: Selection,
) -> impl Stream<Item = (Change<K>, usize)>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let watch = Watch {
        events: watcher(api.clone(), selection.config()).boxed(),
        api,
        backoff: WatchBackoff::new(selection.pulse),
        selection,
        listing: Listing::default(),
        pause: None,
        failing: false,
        is_listing: true,
        silences: 0,
        ready: VecDeque::new(),
    };
    stream::unfold(watch, |mut watch| async {
        let change = watch.next().await?;
        Some(((change, watch.listing.unreadable()), watch))
    })
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    async fn next(&mut self) -> Option<Change<K>> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            if let Some(until) = self.pause.take() {
                sleep_until(until).await;
            }
            match self.hear().await? {
                Ok(Ok(event)) => self.take(event),
                Ok(Err(error)) => return Some(self.fail(error)),
                Err(Silence) if self.failing => {
                    self.failing = false;
                    return Some(Change::Recovered);
                }
                // The list may still come.
                Err(Silence) if self.is_listing => {
                    self.failing = true;
                    let error = "the API server does not answer".into();
                    let error = kube::Error::Service(error);
                    return Some(Change::Failed(watcher::Error::InitialListFailed(error)));
                }
                Err(Silence) => self.list_again(),
            }
        }
    }

    async fn hear(&mut self) -> Option<Result<watcher::Result<Event<Watched<K>>>, Silence>> {
        let patience = self.patience();
        let next = self.events.next();
        match patience {
            None => next.await.map(Ok),
            Some(patience) => match timeout(patience, next).await {
                Ok(event) => event.map(Ok),
                Err(_) => Some(Err(Silence)),
            },
        }
    }

    /// The time for which nothing may come; absent if it may be for ever.
    fn patience(&self) -> Option<Duration> {
        if self.is_listing {
            return (self.silences > 0 && !self.failing).then_some(ANSWER);
        }
        if self.failing {
            return Some(ESTABLISHED);
        }
        let pulse = self.selection.pulse.filter(|_| !self.listing.is_empty())?;
        Some(pulse * (1 << self.silences.min(DOUBLINGS)))
    }

    fn take(&mut self, event: Event<Watched<K>>) {
        match &event {
            Event::Init => self.is_listing = true,
            Event::InitDone => self.is_listing = false,
            Event::InitApply(_) => (),
            Event::Apply(_) | Event::Delete(_) => self.silences = 0,
        }
        self.ready.extend(self.listing.take(event));
        if self.failing && !self.ready.is_empty() {
            self.failing = false;
            self.ready.push_front(Change::Recovered);
        }
    }

    fn fail(&mut self, error: watcher::Error) -> Change<K> {
        let now = Instant::now();
        self.pause = Some(now + self.backoff.after(&error, now));
        self.failing = true;
        Change::Failed(error)
    }

    /// Asks what is there on another connection: this one may be dead without a sign.
    fn list_again(&mut self) {
        self.silences += 1;
        self.is_listing = true;
        self.events = watcher(self.api.clone(), self.selection.config()).boxed();
    }
}

#[cfg(test)]
mod tests;
