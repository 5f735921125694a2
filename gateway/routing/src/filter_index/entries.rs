//! Filters with lists for several fields.

use smallvec::SmallVec;

use super::numbered::Numbered;
use crate::field::{Field, PerField};

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// The entries, by number, in a chain for each place.
#[derive(Debug, Default)]
pub(super) struct Entries {
    all: Numbered<Entry>,
    /// By place.
    first: Vec<u32>,
}

/// A filter with lists for several fields.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place, as it is filed.
    pub place: u32,
    next: u32,
    /// For each field, the end of its list in `items`.
    ends: PerField<u32>,
    items: Box<[u32]>,
    /// The nodes at which it is filed.
    pub nodes: SmallVec<[u32; 4]>,
}

impl Entries {
    /// Adds an entry of a place, and returns its number.
    pub(super) fn add(&mut self, index: u32, filed: u32, lists: &PerField<Vec<u32>>) -> u32 {
        if self.first.len() <= index as usize {
            self.first.resize(index as usize + 1, NONE);
        }
        let mut items = Vec::with_capacity(lists.iter().map(|(_, list)| list.len()).sum());
        let ends = PerField::from_fn(|field| {
            items.extend_from_slice(&lists[field]);
            items.len() as u32
        });
        let entry = Entry {
            place: filed,
            next: self.first[index as usize],
            ends,
            items: items.into(),
            nodes: SmallVec::new(),
        };
        let number = self.all.put(entry);
        self.first[index as usize] = number;
        number
    }

    pub(super) fn get(&self, number: u32) -> &Entry {
        &self.all[number]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Entry {
        &mut self.all[number]
    }

    /// Takes an entry of a place out, if there is one left.
    pub(super) fn take(&mut self, place: u32) -> Option<(u32, Entry)> {
        let first = self.first.get_mut(place as usize)?;
        let number = *first;
        if number == NONE {
            return None;
        }
        let entry = &mut self.all[number];
        *first = entry.next;
        let taken = Entry {
            nodes: std::mem::take(&mut entry.nodes),
            items: std::mem::take(&mut entry.items),
            ..*entry
        };
        self.all.give_back(number);
        Some((number, taken))
    }
}

impl Entry {
    /// The items of its list for a field, in ascending order; none if it has no such list.
    pub(super) fn list(&self, field: Field) -> &[u32] {
        let (number, end) = (field as usize, self.ends[field] as usize);
        let start = match number.checked_sub(1) {
            Some(before) => self.ends[Field::ALL[before]] as usize,
            None => 0,
        };
        &self.items[start..end]
    }
}
