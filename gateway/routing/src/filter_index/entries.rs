//! Distinct filters with lists for several fields.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::items::Items;
use super::numbered::Numbered;
use super::places::Members;
use crate::combinations::{Combinations, ways};
use crate::field::{Field, PerField};

/// The entries, by number and by what they ask for.
#[derive(Debug, Default)]
pub(super) struct Entries {
    all: Numbered<Entry>,
    hasher: DefaultHashBuilder,
    by_lists: HashTable<u32>,
}

/// A filter with lists for several fields, for all places that have it: an event asks once, however many streams that is.
#[derive(Debug)]
pub(super) struct Entry {
    lists: Lists,
    /// An event may come to it at several nodes.
    pub comes_several_ways: bool,
    /// The nodes at which it is filed.
    pub nodes: Members,
    /// Its places, as they are filed.
    pub places: Members,
}

/// The lists of a filter.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lists {
    /// The root of its event types.
    pub root: u32,
    /// For each field, the end of its list in `items`.
    ends: PerField<u32>,
    /// For each field, the most items of its list that can match one value; of more than 255, that many.
    ways: PerField<u8>,
    items: Box<[u32]>,
}

impl Entries {
    /// The number of the entry with these lists.
    pub(super) fn find(&self, lists: &Lists) -> Option<u32> {
        let is_it = |number: &u32| self.all[*number].lists == *lists;
        let found = self.by_lists.find(self.hasher.hash_one(lists), is_it);
        found.copied()
    }

    /// Adds an entry of a place, as it is filed, and returns its number.
    pub(super) fn add(&mut self, lists: Lists, filed: u32) -> u32 {
        let mut places = Members::default();
        places.push(filed);
        let comes_several_ways = lists.ways.iter().any(|(_, ways)| *ways > 1);
        let number = self.all.put(Entry {
            lists,
            comes_several_ways,
            nodes: Members::default(),
            places,
        });
        let (all, hasher) = (&self.all, &self.hasher);
        let hash = |number: &u32| hasher.hash_one(&all[*number].lists);
        self.by_lists.insert_unique(hash(&number), number, hash);
        number
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, number: u32) {
        let lists = &self.all[number].lists;
        let hash = self.hasher.hash_one(lists);
        if let Ok(entry) = self.by_lists.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
        let entry = &mut self.all[number];
        (entry.lists, entry.nodes) = Default::default();
        self.all.give_back(number);
    }

    /// The number below which those of all entries are.
    pub(super) fn numbers(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, number: u32) -> &Entry {
        &self.all[number]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Entry {
        &mut self.all[number]
    }
}

impl Entry {
    /// The combinations of the items of its lists for these fields.
    pub(super) fn combinations(&self, fields: impl Iterator<Item = Field>) -> Combinations {
        fields.fold(Combinations::ONE, |combinations, field| {
            combinations.with(self.list(field).len(), self.lists.ways[field].into())
        })
    }

    /// The items of its list for a field, in ascending order; none if it has no such list.
    pub(super) fn list(&self, field: Field) -> &[u32] {
        let Lists { ends, items, .. } = &self.lists;
        let (number, end) = (field as usize, ends[field] as usize);
        let start = match number.checked_sub(1) {
            Some(before) => ends[Field::ALL[before]] as usize,
            None => 0,
        };
        &items[start..end]
    }
}

impl Lists {
    /// The numbers of the items of each field, in ascending order, among these items.
    pub(super) fn new(root: u32, lists: &PerField<Vec<u32>>, all: &PerField<Items>) -> Self {
        let mut items = Vec::with_capacity(lists.iter().map(|(_, list)| list.len()).sum());
        let ways = PerField::from_fn(|field| {
            let texts = lists[field].iter().map(|item| all[field].text(*item));
            ways(texts).min(u8::MAX.into()) as u8
        });
        let ends = PerField::from_fn(|field| {
            items.extend_from_slice(&lists[field]);
            items.len() as u32
        });
        Self {
            root,
            ends,
            ways,
            items: items.into(),
        }
    }
}
