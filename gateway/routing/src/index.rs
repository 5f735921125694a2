//! Finds the routes that want an event without looking at all of them.
//!
//! Every filter entry is filed once per event type, under the items of *one* of its lists: the list whose items the
//! fewest other entries share, so that a table of 10,000 subscriptions with one DSN each costs one hash look-up.
//! An exact item is filed under itself, a pattern under the literal text before its first or after its last `*`.
//! What the look-ups find are candidates; each is then checked against all of its lists.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event_type::EventType;
use crate::filter::{EventFields, Filter};
use crate::pattern::Pattern;
use crate::route::Route;

/// The fields that filters have lists for, the usually most selective one first.
const FIELDS: usize = 4;

/// The index over all filters of a table.
#[derive(Debug, Default)]
pub struct FilterIndex {
    entries: Vec<Entry>,
    types: [TypeIndex; EventType::ALL.len()],
}

/// Working memory of a look-up, reused from event to event.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    found: Vec<u32>,
    /// `seen[route] == round`: this route has been found in this round.
    seen: Vec<u32>,
    round: u32,
}

#[derive(Debug)]
struct Entry {
    route: u32,
    lists: [List; FIELDS],
}

/// A filter list with its exact items sorted, so that a long one is searched and not scanned.
#[derive(Debug, Default)]
struct List {
    exact: Box<[Box<str>]>,
    patterns: Box<[Pattern]>,
}

#[derive(Debug, Default)]
struct TypeIndex {
    /// Routes without filters: they want every event of this type.
    always: Vec<u32>,
    /// Entries of which no item has any literal text to file under.
    scan: Vec<u32>,
    fields: [FieldIndex; FIELDS],
}

#[derive(Debug, Default)]
struct FieldIndex {
    exact: HashMap<Box<str>, Vec<u32>>,
    prefixes: Affixes,
    suffixes: Affixes,
}

#[derive(Debug, Default)]
struct Affixes {
    /// The lengths in bytes that occur, ascending.
    lengths: Vec<usize>,
    entries: HashMap<Box<str>, Vec<u32>>,
}

/// The literal text that an item is filed under.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Anchor<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Suffix(&'a str),
    None,
}

impl<'a> Anchor<'a> {
    fn of(pattern: &'a Pattern) -> Self {
        if pattern.is_exact() {
            return Self::Exact(pattern.as_str());
        }
        match (pattern.prefix(), pattern.suffix()) {
            ("", "") => Self::None,
            ("", suffix) => Self::Suffix(suffix),
            (prefix, _) => Self::Prefix(prefix),
        }
    }
}

impl Scratch {
    pub(crate) fn found(&self) -> &[u32] {
        &self.found
    }

    fn begin(&mut self, routes: usize) {
        self.found.clear();
        self.round = self.round.wrapping_add(1);
        if self.seen.len() != routes || self.round == 0 {
            self.seen.clear();
            self.seen.resize(routes, 0);
            self.round = 1;
        }
    }

    /// Adds a route unless this round has it already.
    fn add(&mut self, route: u32) {
        if !self.has(route) {
            self.seen[route as usize] = self.round;
            self.found.push(route);
        }
    }

    fn has(&self, route: u32) -> bool {
        self.seen[route as usize] == self.round
    }
}

impl FilterIndex {
    pub(crate) fn new<'a>(routes: impl IntoIterator<Item = &'a Route> + Clone) -> Self {
        let shared = count_anchors(routes.clone());
        let mut index = Self::default();
        for (route, number) in routes.into_iter().zip(0..) {
            if route.filters.is_empty() {
                for t in route.event_types.iter() {
                    index.types[t as usize].always.push(number);
                }
            }
            for filter in &route.filters {
                let entry = index.entries.len() as u32;
                index.entries.push(Entry {
                    route: number,
                    lists: lists(filter).map(List::new),
                });
                let field = most_selective(filter, &shared);
                for t in route.event_types.iter() {
                    index.types[t as usize].file(entry, filter, field);
                }
            }
        }
        for field in index.types.iter_mut().flat_map(|t| &mut t.fields) {
            field.prefixes.finish();
            field.suffixes.finish();
        }
        index
    }

    pub(crate) fn matches(
        &self,
        routes: &[Arc<Route>],
        event: &EventFields<'_>,
        scratch: &mut Scratch,
    ) {
        scratch.begin(routes.len());
        let index = &self.types[event.event_type as usize];
        for route in &index.always {
            scratch.add(*route);
        }
        let values = values(event);
        self.check(&index.scan, &values, scratch);
        for (field, value) in index.fields.iter().zip(values) {
            let Some(value) = value else { continue };
            if let Some(entries) = field.exact.get(value) {
                self.check(entries, &values, scratch);
            }
            for length in field
                .prefixes
                .lengths
                .iter()
                .take_while(|l| **l <= value.len())
            {
                if let Some(entries) = value
                    .get(..*length)
                    .and_then(|p| field.prefixes.entries.get(p))
                {
                    self.check(entries, &values, scratch);
                }
            }
            for length in field
                .suffixes
                .lengths
                .iter()
                .take_while(|l| **l <= value.len())
            {
                if let Some(entries) = value
                    .get(value.len() - length..)
                    .and_then(|s| field.suffixes.entries.get(s))
                {
                    self.check(entries, &values, scratch);
                }
            }
        }
    }

    fn check(&self, candidates: &[u32], values: &[Option<&str>; FIELDS], scratch: &mut Scratch) {
        for candidate in candidates {
            let entry = &self.entries[*candidate as usize];
            if !scratch.has(entry.route) && entry.matches(values) {
                scratch.add(entry.route);
            }
        }
    }
}

impl Entry {
    fn matches(&self, values: &[Option<&str>; FIELDS]) -> bool {
        self.lists
            .iter()
            .zip(values)
            .all(|(list, value)| list.matches(*value))
    }
}

impl List {
    fn new(items: &[Pattern]) -> Self {
        let (exact, patterns): (Vec<_>, Vec<_>) = items.iter().partition(|p| p.is_exact());
        let mut exact: Vec<Box<str>> = exact.into_iter().map(|p| p.as_str().into()).collect();
        exact.sort_unstable();
        Self {
            exact: exact.into(),
            patterns: patterns.into_iter().cloned().collect(),
        }
    }

    fn matches(&self, value: Option<&str>) -> bool {
        if self.exact.is_empty() && self.patterns.is_empty() {
            return true;
        }
        value.is_some_and(|value| {
            self.exact
                .binary_search_by(|item| item.as_ref().cmp(value))
                .is_ok()
                || self.patterns.iter().any(|p| p.matches(value))
        })
    }
}

impl TypeIndex {
    fn file(&mut self, entry: u32, filter: &Filter, field: Option<usize>) {
        let Some(field) = field else {
            self.scan.push(entry);
            return;
        };
        let index = &mut self.fields[field];
        for item in lists(filter)[field] {
            let (map, text) = match Anchor::of(item) {
                Anchor::Exact(text) => (&mut index.exact, text),
                Anchor::Prefix(text) => (&mut index.prefixes.entries, text),
                Anchor::Suffix(text) => (&mut index.suffixes.entries, text),
                Anchor::None => continue,
            };
            let entries = map.entry(text.into()).or_default();
            // An item written twice, or two patterns with one prefix, file the entry once.
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
    }
}

impl Affixes {
    fn finish(&mut self) {
        self.lengths = self.entries.keys().map(|k| k.len()).collect();
        self.lengths.sort_unstable();
        self.lengths.dedup();
    }
}

fn lists(filter: &Filter) -> [&[Pattern]; FIELDS] {
    [
        &filter.dsns,
        &filter.property_names,
        &filter.oem_models,
        &filter.oem_ids,
    ]
}

fn values<'a>(event: &EventFields<'a>) -> [Option<&'a str>; FIELDS] {
    [
        event.dsn,
        event.property_name,
        event.oem_model,
        event.oem_id,
    ]
}

/// How many entries of all routes share each item, per field.
fn count_anchors<'a>(
    routes: impl IntoIterator<Item = &'a Route>,
) -> HashMap<(usize, Anchor<'a>), u64> {
    let mut shared = HashMap::new();
    for filter in routes.into_iter().flat_map(|r| &r.filters) {
        for (field, list) in lists(filter).into_iter().enumerate() {
            for item in list {
                *shared.entry((field, Anchor::of(item))).or_default() += 1;
            }
        }
    }
    shared
}

/// The field whose items the fewest entries share; none if every given list has an item without literal text.
fn most_selective(filter: &Filter, shared: &HashMap<(usize, Anchor<'_>), u64>) -> Option<usize> {
    let cost = |field: usize, list: &[Pattern]| {
        list.iter()
            .map(|item| match Anchor::of(item) {
                Anchor::None => None,
                anchor => Some(shared.get(&(field, anchor)).copied().unwrap_or_default()),
            })
            // The mean: a list of 500 DSNs that nobody else has is as selective as a list of one.
            .sum::<Option<u64>>()
            .map(|sum| sum / list.len() as u64)
    };
    lists(filter)
        .into_iter()
        .enumerate()
        .filter(|(_, list)| !list.is_empty())
        .filter_map(|(field, list)| cost(field, list).map(|c| (c, field)))
        .min()
        .map(|(_, field)| field)
}
