//! Places that want one event, and working memory of a look-up.

use super::items::MatchingItems;
use crate::field::PerField;

/// In a place that is filed: other ways lead to it, by which it may be found again for the same event.
pub(super) const SEVERAL: u32 = 1 << 31;

/// Places that want one event. Reused from event to event, so that matching allocates nothing once it is warm.
#[derive(Debug, Default)]
pub struct Matches {
    found: Vec<u32>,
    /// `seen[place] == round`: this place has been found in this round.
    seen: Vec<u32>,
    /// `checked[entry] == round`: this entry has been checked in this round.
    checked: Vec<u32>,
    pub(super) round: u32,
    pub(super) items: PerField<MatchingItems>,
}

impl Matches {
    /// The places of the last look-up, each once, in no particular order.
    pub fn as_slice(&self) -> &[u32] {
        &self.found
    }

    /// Begins a look-up, with places and entries below these numbers.
    pub(super) fn begin(&mut self, places: usize, entries: usize) {
        self.found.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            *self = Self::default();
            self.round = 1;
        }
        if self.seen.len() < places {
            self.seen.resize(places, 0);
        }
        if self.checked.len() < entries {
            self.checked.resize(entries, 0);
        }
    }

    /// Takes note that an entry is checked, and returns whether this round has done so before.
    pub(super) fn check(&mut self, entry: u32) -> bool {
        std::mem::replace(&mut self.checked[entry as usize], self.round) == self.round
    }

    /// Adds a place as it is filed, unless this round has it already.
    pub(super) fn add(&mut self, filed: u32) {
        let place = filed & !SEVERAL;
        if filed & SEVERAL != 0
            && std::mem::replace(&mut self.seen[place as usize], self.round) == self.round
        {
            return;
        }
        self.found.push(place);
    }
}
