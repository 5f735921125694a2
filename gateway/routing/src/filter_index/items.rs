//! The distinct items of the filter lists of one field, and those among them that match a value.

use std::borrow::Cow;
use std::hash::BuildHasher as _;

use compact_str::CompactString;
use hashbrown::{DefaultHashBuilder, HashTable};
use memchr::memchr;

use super::literals::Literals;
use super::numbered::Numbered;
use super::tree::{NONE, Node};
use crate::pattern::{Pattern, matches};

/// The items of a field, by number.
#[derive(Debug, Default)]
pub(super) struct Items {
    all: Numbered<Item>,
    hasher: DefaultHashBuilder,
    by_text: HashTable<u32>,
    patterns: Literals,
}

/// An exact value or a pattern, of which no two `*` are neighbours.
#[derive(Debug)]
struct Item {
    text: CompactString,
    /// The number of lists that have it.
    uses: u32,
    home: Home,
}

/// The first node that an item leads to.
#[derive(Debug)]
pub(super) struct Home {
    /// Its parent, or [`NONE`] if there is no such node.
    pub parent: u32,
    pub node: Node,
}

impl Default for Home {
    fn default() -> Self {
        Self {
            parent: NONE,
            node: Node::default(),
        }
    }
}

/// The items of a field that match the event's value.
#[derive(Debug, Default)]
pub(super) struct MatchingItems {
    /// Their numbers, in ascending order.
    pub numbers: Vec<u32>,
    /// The round in which they were looked up.
    round: u32,
    /// A bit for each item, set for those that match if they are [many](MANY).
    bits: Vec<u64>,
}

impl MatchingItems {
    /// Returns whether one of them is in a list, whose numbers are in ascending order.
    pub(super) fn has_any_of(&self, list: &[u32]) -> bool {
        let steps = || self.numbers.len() * (list.len().max(1).ilog2() as usize + 1);
        if self.numbers.len() < MANY || 2 * steps() < list.len() {
            let mut numbers = self.numbers.iter();
            return numbers.any(|number| list.binary_search(number).is_ok());
        }
        list.iter().any(|number| self.has(*number))
    }

    /// Returns whether an item is one of them.
    pub(super) fn has(&self, number: u32) -> bool {
        if self.numbers.len() < MANY {
            return self.numbers.contains(&number);
        }
        let bits = self.bits.get(number as usize / 64);
        bits.is_some_and(|bits| bits & bit(number) != 0)
    }

    /// Forgets them, and takes note that others are looked up for this round.
    fn clear(&mut self, round: u32) {
        if self.numbers.len() >= MANY {
            for number in &self.numbers {
                self.bits[*number as usize / 64] = 0;
            }
        }
        self.numbers.clear();
        self.round = round;
    }

    /// Sets the bits of many.
    fn complete(&mut self) {
        self.numbers.sort_unstable();
        self.numbers.dedup();
        let Some(last) = self.numbers.last().filter(|_| self.numbers.len() >= MANY) else {
            return;
        };
        let words = *last as usize / 64 + 1;
        self.bits.resize(self.bits.len().max(words), 0);
        for number in &self.numbers {
            self.bits[*number as usize / 64] |= bit(*number);
        }
    }
}

const fn bit(number: u32) -> u64 {
    1 << (number % 64)
}

/// Matching items from which on they have bits, because as many searches in a list would take longer.
const MANY: usize = 3;
/// Literal bytes from which a pattern counts as selective; with fewer, it is taken to match a good part of all values.
const SELECTIVE: usize = 3;
/// Number of lists that such a pattern counts for.
const COMMON: u64 = 1_000;
/// The same for one that matches every value.
const EVERY: u64 = u32::MAX as u64;

impl Items {
    /// Returns whether no list has an item.
    pub(super) fn is_empty(&self) -> bool {
        self.by_text.is_empty()
    }

    /// The numbers of the items of a list, in ascending order, which one more list has from now on.
    pub(super) fn add_list(&mut self, list: &[Pattern]) -> Vec<u32> {
        let numbers = sorted(list.iter().map(|item| self.number_or_new(item)));
        for number in &numbers {
            self.all[*number].uses += 1;
        }
        numbers
    }

    /// The numbers of the items of a list that was added, in ascending order.
    pub(super) fn numbers(&self, list: &[Pattern]) -> Vec<u32> {
        sorted(list.iter().filter_map(|item| self.find_text(&normal(item))))
    }

    fn number_or_new(&mut self, item: &Pattern) -> u32 {
        let text = normal(item);
        if let Some(number) = self.find_text(&text) {
            return number;
        }
        let item = Item {
            text: text.as_ref().into(),
            uses: 0,
            home: Home::default(),
        };
        let number = self.all.put(item);
        if is_pattern(&text) {
            self.patterns.insert(&text, number);
        }
        let (all, hasher) = (&self.all, &self.hasher);
        let hash = |number: &u32| hasher.hash_one(all[*number].text.as_str());
        self.by_text.insert_unique(hash(&number), number, hash);
        number
    }

    /// Takes note that one list less has an item.
    pub(super) fn release(&mut self, number: u32) {
        let item = &mut self.all[number];
        item.uses -= 1;
        if item.uses > 0 {
            return;
        }
        let text = std::mem::take(&mut item.text);
        let hash = self.hasher.hash_one(&*text);
        if let Ok(entry) = self.by_text.find_entry(hash, |found| *found == number) {
            entry.remove();
        }
        if is_pattern(&text) {
            self.patterns.remove(&text, number);
        }
        self.all.give_back(number);
    }

    /// The number of lists that an item counts for when the most selective list is chosen.
    pub(super) fn weight(&self, number: u32) -> u64 {
        let item = &self.all[number];
        let uses = item.uses.into();
        if !is_pattern(&item.text) {
            return uses;
        }
        match item.text.bytes().filter(|byte| *byte != b'*').count() {
            SELECTIVE.. => uses,
            0 => EVERY,
            _ => uses + COMMON,
        }
    }

    pub(super) fn text(&self, number: u32) -> &str {
        &self.all[number].text
    }

    pub(super) fn home(&self, number: u32) -> &Home {
        &self.all[number].home
    }

    pub(super) fn home_mut(&mut self, number: u32) -> &mut Home {
        &mut self.all[number].home
    }

    /// Finds the items that match a value, unless this has been done in this round.
    pub(super) fn find(&self, value: &str, matching: &mut MatchingItems, round: u32) {
        if matching.round == round {
            return;
        }
        matching.clear(round);
        let numbers = &mut matching.numbers;
        // A pattern with this text is among the patterns.
        let exact = self.find_text(value);
        numbers.extend(exact.filter(|number| !is_pattern(&self.all[*number].text)));
        self.patterns.candidates(value, |number| {
            if matches(&self.all[number].text, value) {
                numbers.push(number);
            }
        });
        matching.complete();
    }

    fn find_text(&self, text: &str) -> Option<u32> {
        let is_it = |number: &u32| self.all[*number].text == text;
        self.by_text
            .find(self.hasher.hash_one(text), is_it)
            .copied()
    }
}

/// Numbers in ascending order, each once.
fn sorted(numbers: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The text of an item with one `*` where several are neighbours, which match the same.
fn normal(item: &Pattern) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(item.as_str());
    while text.contains("**") {
        text = text.replace("**", "*").into();
    }
    text
}

fn is_pattern(text: &str) -> bool {
    memchr(b'*', text.as_bytes()).is_some()
}
