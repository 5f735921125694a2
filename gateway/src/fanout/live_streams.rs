//! The streams in the live fan-out, with the filters of their routes.

use std::sync::Arc;

use datastream_protocol::close::CloseCause;
use datastream_protocol::position::Position;
use datastream_routing::{
    ByBucket, EventFields, FilterIndex, Matches, Route, RouteTable, SubscriptionId,
};

use super::send_queue::SendQueue;

/// A stream in the live fan-out.
pub(super) struct Live {
    pub queue: Arc<SendQueue>,
    /// Position at which a stream that is ahead of the dispatcher joined: earlier events are not for it.
    pub ahead: Option<Position>,
    /// It got something in this round and is to be woken at the end of the round.
    pub touched: bool,
    /// The route whose filters are filed for it.
    pub route: Arc<Route>,
    /// Its route has a policy. Most have none, and need not be looked at for each event.
    has_policy: bool,
}

impl Live {
    /// A stream that nothing has been put into by its dispatcher yet.
    pub(super) fn new(queue: Arc<SendQueue>, ahead: Option<Position>, route: Arc<Route>) -> Self {
        Self {
            queue,
            ahead,
            touched: false,
            has_policy: route.policy.is_some(),
            route,
        }
    }

    /// Closes the stream, whose dispatcher has come to `head`.
    pub(super) fn close(self, head: &Position, cause: CloseCause) {
        let position = match &self.ahead {
            Some(ahead) => head.union(ahead),
            None => head.clone(),
        };
        self.queue.close_at(position, cause);
    }

    /// Returns whether the stream may have an event that its filters match.
    pub(super) fn permits(&self, event: &EventFields<'_>) -> bool {
        !self.has_policy || self.route.permits(event)
    }
}

/// The live streams, at most one of each subscription, at places that they keep. Only their filters are filed, so that subscriptions
/// without a stream cost an event nothing.
#[derive(Default)]
pub(super) struct LiveStreams {
    streams: Vec<Option<Live>>,
    free: Vec<u32>,
    places: ByBucket<u32>,
    filters: FilterIndex,
}

impl LiveStreams {
    /// Adds a stream, in place of another one of the same subscription.
    pub(super) fn join(&mut self, live: Live) {
        let id = live.route.id.clone();
        if let Some(place) = self.places.get(&id) {
            self.take(*place);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.streams.push(None);
            (self.streams.len() - 1) as u32
        });
        self.filters.insert(place, &live.route);
        self.places.insert(id, place);
        self.streams[place as usize] = Some(live);
    }

    /// Takes the stream of a subscription out if it has this queue.
    pub(super) fn leave(&mut self, id: &SubscriptionId, queue: &Arc<SendQueue>) {
        let place = self.places.get(id).copied();
        let is_it = |live: &Live| Arc::ptr_eq(&live.queue, queue);
        if let Some(place) = place.filter(|place| self.get(*place).is_some_and(is_it)) {
            self.take(place);
        }
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Live> {
        self.streams.get_mut(place as usize)?.as_mut()
    }

    /// Takes the stream at a place out, if there is one.
    pub(super) fn take(&mut self, place: u32) -> Option<Live> {
        let live = self.streams.get_mut(place as usize)?.take()?;
        self.filters.remove(place, &live.route);
        self.places.remove(&live.route.id);
        self.free.push(place);
        Some(live)
    }

    /// Takes all streams out to which this applies.
    pub(super) fn take_if(&mut self, applies: impl Fn(&Live) -> bool) -> Vec<Live> {
        let streams = (0..).zip(&self.streams);
        let places = streams.filter(|(_, live)| live.as_ref().is_some_and(&applies));
        let places: Vec<u32> = places.map(|(place, _)| place).collect();
        places
            .into_iter()
            .filter_map(|place| self.take(place))
            .collect()
    }

    /// Finds the places of the streams that want the event.
    pub(super) fn matches(&self, event: &EventFields<'_>, matches: &mut Matches) {
        self.filters.matches(event, matches);
    }

    /// Gives streams the routes that changed since a table, and closes those that have none any more, where the dispatcher has come to
    /// `head`.
    pub(super) fn apply(&mut self, table: &RouteTable, before: &RouteTable, head: &Position) {
        for bucket in table.changed_since(before) {
            let places: Vec<u32> = self.places.bucket(bucket).values().copied().collect();
            for place in places {
                self.apply_to(place, table, head);
            }
        }
    }

    fn apply_to(&mut self, place: u32, table: &RouteTable, head: &Position) {
        let Some(live) = self.streams[place as usize].as_mut() else {
            return;
        };
        match table.by_id(&live.route.id) {
            Some(new) if Arc::ptr_eq(new, &live.route) => (),
            Some(new) if new.uid == live.route.uid => {
                let before = std::mem::replace(&mut live.route, new.clone());
                live.has_policy = new.policy.is_some();
                if (&before.event_types, &before.filters) != (&new.event_types, &new.filters) {
                    self.filters.remove(place, &before);
                    self.filters.insert(place, new);
                }
            }
            _ => {
                if let Some(live) = self.take(place) {
                    live.close(head, CloseCause::Revoked);
                }
            }
        }
    }

    fn get(&self, place: u32) -> Option<&Live> {
        self.streams.get(place as usize)?.as_ref()
    }
}
