//! The choice of routes for a bucket that would become too large.

use std::collections::BTreeMap;
use std::sync::Arc;

use datastream_routing::{Route, SubscriptionId};

use super::Routes;
use super::restricted::restricted;

/// Encoded routes of one bucket, in bytes, up to which routes are taken in and may grow. A Secret holds 1 MiB; the rest is for what says
/// who may have a stream, which does not wait until there is room.
pub const MAX_BUCKET_BYTES: usize = 900_000;

/// Data that a Secret holds, in bytes.
const SECRET_BYTES: usize = 1 << 20;
/// Bytes for what is around the routes in a routing object, far more than it takes.
const ENVELOPE_BYTES: usize = 8 << 10;
/// Bytes of the key before in an encoded route: its name, and 64 digits.
const PREVIOUS_KEY_BYTES: usize = r#","previousKeySha256":"""#.len() + 64;

/// Bounds on the routes of one bucket, in encoded bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bound on routes without the keys before them: beyond it, none is taken in, and none that is published gets more filters.
    pub routes: usize,
    /// Bound on everything. What is published may grow up to it by what says who may have its stream: by conditions, and by the key before,
    /// for which 1,600 subscriptions of a bucket have room at once.
    pub all: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            routes: MAX_BUCKET_BYTES,
            all: SECRET_BYTES - ENVELOPE_BYTES,
        }
    }
}

/// The routes to publish of those that do not fit together.
///
/// Published routes stay, as they are if their new form does not fit, but for what that says of who may have the stream: this is [in
/// force](restricted), or the route goes. New routes are taken in while there is room. The key before is left out where there is
/// none: it ends sooner, and the new one opens the stream.
pub(super) fn pack(published: &Routes, wanted: &Routes, room: Room) -> Routes {
    let mut packing = Packing::new(room);
    let kept = wanted.values().filter_map(|new| {
        let old = published.get(&new.id)?;
        let route = restricted(old, new)?;
        // One that is new is taken in last.
        let route = if old.previous_key_sha256.is_some() {
            route
        } else {
            without_previous_key(&route)
        };
        Some((growth(Some(old), &route), route))
    });
    // Those that do not grow are sure to have room.
    for route in smallest_first(kept) {
        if !packing.take(&route, room.all) {
            packing.take(&without_previous_key(&route), room.all);
        }
    }
    let changes = wanted.values().filter_map(|new| {
        let taken = packing.route(&new.id);
        let route = if taken.is_some_and(|taken| taken.previous_key_sha256.is_some()) {
            new.clone()
        } else {
            without_previous_key(new)
        };
        (taken != Some(&route)).then(|| (growth(taken, &route), route))
    });
    // Those that shrink make room for the others.
    for route in smallest_first(changes) {
        packing.take(&route, room.routes);
    }
    for new in wanted.values() {
        let without = packing.route(&new.id);
        let without = without.filter(|taken| taken.previous_key_sha256.is_none());
        if let (Some(without), Some(_)) = (without, new.previous_key_sha256) {
            let route = Arc::new(Route {
                previous_key_sha256: new.previous_key_sha256,
                ..Route::clone(without)
            });
            packing.take(&route, room.routes);
        }
    }
    packing.shared_with([wanted, published])
}

/// Routes that are taken, and their size.
struct Packing {
    room: Room,
    taken: BTreeMap<SubscriptionId, (Arc<Route>, Size)>,
    size: Size,
}

/// Size of routes in a bucket, in bytes.
#[derive(Clone, Copy, Default)]
struct Size {
    /// Size without the keys before them.
    plain: usize,
    /// Size of everything.
    all: usize,
}

impl Size {
    fn of(route: &Route) -> Self {
        let all = bytes(route);
        let previous = route.previous_key_sha256.map_or(0, |_| PREVIOUS_KEY_BYTES);
        Self {
            plain: all.saturating_sub(previous),
            all,
        }
    }
}

impl Packing {
    const fn new(room: Room) -> Self {
        Self {
            room,
            taken: BTreeMap::new(),
            size: Size { plain: 0, all: 0 },
        }
    }

    /// The route that is taken of a subscription.
    fn route(&self, id: &SubscriptionId) -> Option<&Arc<Route>> {
        self.taken.get(id).map(|(route, _)| route)
    }

    /// Takes a route, in the place of what is taken of its subscription, if there is room: also within `bound` without the keys before, unless
    /// it gives up some. Returns whether it did.
    fn take(&mut self, route: &Arc<Route>, bound: usize) -> bool {
        let size = Size::of(route);
        let before = self.taken.get(&route.id);
        let before = before.map_or_else(Size::default, |(_, size)| *size);
        let plain = self.size.plain - before.plain + size.plain;
        let all = self.size.all - before.all + size.all;
        let fits = all <= self.room.all && (plain <= self.size.plain || plain <= bound);
        if fits {
            self.size = Size { plain, all };
            let id = route.id.clone();
            self.taken.insert(id, (route.clone(), size));
        }
        fits
    }

    /// The routes, each of them that of the first of these in which it is the same, so that it is held once.
    fn shared_with(self, others: [&Routes; 2]) -> Routes {
        let taken = self.taken.into_iter();
        let shared = taken.map(|(id, (route, _))| {
            let mut same = others.iter().filter_map(|routes| routes.get(&id));
            let same = same.find(|other| **other == route).cloned();
            (id, same.unwrap_or(route))
        });
        shared.collect()
    }
}

/// The routes in the order of the bytes that they take beyond others.
fn smallest_first(routes: impl Iterator<Item = (isize, Arc<Route>)>) -> Vec<Arc<Route>> {
    let mut routes: Vec<_> = routes.collect();
    routes.sort_by(|a, b| (a.0, &a.1.id).cmp(&(b.0, &b.1.id)));
    routes.into_iter().map(|(_, route)| route).collect()
}

/// Returns the bytes that a route takes beyond another one, if there is one.
fn growth(before: Option<&Arc<Route>>, now: &Arc<Route>) -> isize {
    if before == Some(now) {
        return 0;
    }
    let before = before.map_or(0, |route| bytes(route));
    bytes(now).cast_signed() - before.cast_signed()
}

/// The route with one key.
fn without_previous_key(route: &Arc<Route>) -> Arc<Route> {
    if route.previous_key_sha256.is_none() {
        return route.clone();
    }
    Arc::new(Route {
        previous_key_sha256: None,
        ..Route::clone(route)
    })
}

/// Returns the size of a route in a bucket, in bytes, its comma included.
fn bytes(route: &Route) -> usize {
    serde_json::to_vec(route).map_or(usize::MAX / 4096, |text| text.len() + 1)
}

#[cfg(test)]
mod tests;
