//! Finds the routes that want an event without looking at all of them.
//!
//! Every filter entry is filed once per event type, under the items of *one* of its lists: the list whose items the
//! fewest other entries share, so that a table of 10,000 subscriptions with one DSN each costs one hash look-up.
//! An exact item is filed under itself, a pattern under its number in the [`PatternSet`] of its field, which finds all patterns
//! that match a value at once. What the look-ups find are candidates; each is then checked against its other lists.

use std::collections::HashMap;
use std::sync::Arc;

use datastream_protocol::event::EventType;

use crate::field::{Field, PerField};
use crate::filter::{EventFields, Filter};
use crate::pattern::Pattern;
use crate::pattern_set::{Found, PatternSet, PatternSetBuilder};
use crate::route::Route;

/// The index over all filters of a table.
#[derive(Debug, Default)]
pub struct FilterIndex {
    entries: Vec<Entry>,
    types: [TypeIndex; EventType::ALL.len()],
    patterns: PerField<PatternSet>,
}

/// Working memory of a look-up, reused from event to event.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    found: Vec<u32>,
    /// `seen[route] == round`: this route has been found in this round.
    seen: Vec<u32>,
    round: u32,
    patterns: PerField<FieldScratch>,
}

/// The patterns of a field that match the event's value.
#[derive(Debug, Default)]
struct FieldScratch {
    found: Found,
    /// `matching[pattern] == round`: it matches the value of this round.
    matching: Vec<u32>,
    /// The round that was looked up last.
    looked_up: u32,
}

#[derive(Debug)]
struct Entry {
    route: u32,
    lists: PerField<List>,
}

/// A filter list with its exact items sorted, so that a long one is searched and not scanned; and the numbers of its patterns.
#[derive(Debug, Default)]
struct List {
    exact: Box<[Box<str>]>,
    patterns: Box<[u32]>,
}

#[derive(Debug, Default)]
struct TypeIndex {
    /// Routes without filters: they want every event of this type.
    always: Vec<u32>,
    /// Entries whose every list takes any value.
    scan: Vec<u32>,
    fields: PerField<FieldIndex>,
}

#[derive(Debug, Default)]
struct FieldIndex {
    exact: HashMap<Box<str>, Vec<u32>>,
    /// By the numbers of patterns.
    patterns: HashMap<u32, Vec<u32>>,
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
            for field in Field::ALL {
                self.patterns[field].matching.clear();
                self.patterns[field].looked_up = 0;
            }
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

impl FieldScratch {
    /// Looks the value up, unless this has been done in this round.
    fn look_up(&mut self, set: &PatternSet, value: &str, round: u32) {
        if std::mem::replace(&mut self.looked_up, round) == round {
            return;
        }
        set.find(value, &mut self.found);
        self.matching.resize(set.len(), 0);
        for pattern in &self.found.matching {
            self.matching[*pattern as usize] = round;
        }
    }
}

impl FilterIndex {
    pub(crate) fn new<'a>(routes: impl IntoIterator<Item = &'a Route> + Clone) -> Self {
        let shared = count_items(routes.clone());
        let mut index = Self::default();
        let mut patterns: PerField<PatternSetBuilder> = PerField::default();
        for (route, number) in routes.into_iter().zip(0..) {
            if route.filters.is_empty() {
                for t in route.event_types.iter() {
                    index.types[t as usize].always.push(number);
                }
            }
            for filter in &route.filters {
                let entry = index.entries.len() as u32;
                let entry_lists =
                    PerField::from_fn(|field| List::new(filter.list(field), &mut patterns[field]));
                let field = most_selective(filter, &shared);
                for t in route.event_types.iter() {
                    index.types[t as usize].file(entry, &entry_lists, field);
                }
                index.entries.push(Entry {
                    route: number,
                    lists: entry_lists,
                });
            }
        }
        index.patterns = PerField::from_fn(|field| std::mem::take(&mut patterns[field]).build());
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
        let values = &event.values;
        self.check(&index.scan, None, values, scratch);
        for (field, by) in index.fields.iter() {
            let Some(value) = values[field] else { continue };
            if let Some(entries) = by.exact.get(value) {
                self.check(entries, Some(field), values, scratch);
            }
            if by.patterns.is_empty() {
                continue;
            }
            let round = scratch.round;
            scratch.patterns[field].look_up(&self.patterns[field], value, round);
            let matching = std::mem::take(&mut scratch.patterns[field].found.matching);
            for pattern in &matching {
                if let Some(entries) = by.patterns.get(pattern) {
                    self.check(entries, Some(field), values, scratch);
                }
            }
            scratch.patterns[field].found.matching = matching;
        }
    }

    /// Checks candidates, of which the list for the field `matched` is known to match.
    fn check(
        &self,
        candidates: &[u32],
        matched: Option<Field>,
        values: &PerField<Option<&str>>,
        scratch: &mut Scratch,
    ) {
        for candidate in candidates {
            let entry = &self.entries[*candidate as usize];
            if !scratch.has(entry.route) && self.wants(entry, matched, values, scratch) {
                scratch.add(entry.route);
            }
        }
    }

    fn wants(
        &self,
        entry: &Entry,
        matched: Option<Field>,
        values: &PerField<Option<&str>>,
        scratch: &mut Scratch,
    ) -> bool {
        let round = scratch.round;
        entry
            .lists
            .iter()
            .filter(|(field, _)| Some(*field) != matched)
            .all(|(field, list)| {
                if list.exact.is_empty() && list.patterns.is_empty() {
                    return true;
                }
                let Some(value) = values[field] else {
                    return false;
                };
                if list
                    .exact
                    .binary_search_by(|item| item.as_ref().cmp(value))
                    .is_ok()
                {
                    return true;
                }
                if list.patterns.is_empty() {
                    return false;
                }
                let patterns = &mut scratch.patterns[field];
                patterns.look_up(&self.patterns[field], value, round);
                list.patterns
                    .iter()
                    .any(|pattern| patterns.matching[*pattern as usize] == round)
            })
    }
}

impl List {
    fn new(items: &[Pattern], set: &mut PatternSetBuilder) -> Self {
        let (exact, patterns): (Vec<_>, Vec<_>) = items.iter().partition(|p| p.is_exact());
        let mut exact: Vec<Box<str>> = exact.into_iter().map(|p| p.as_str().into()).collect();
        exact.sort_unstable();
        exact.dedup();
        let mut patterns: Vec<u32> = patterns.into_iter().map(|p| set.add(p)).collect();
        patterns.sort_unstable();
        patterns.dedup();
        Self {
            exact: exact.into(),
            patterns: patterns.into(),
        }
    }
}

impl TypeIndex {
    fn file(&mut self, entry: u32, lists: &PerField<List>, field: Option<Field>) {
        let Some(field) = field else {
            self.scan.push(entry);
            return;
        };
        let index = &mut self.fields[field];
        for item in &lists[field].exact {
            index.exact.entry(item.clone()).or_default().push(entry);
        }
        for pattern in &lists[field].patterns {
            index.patterns.entry(*pattern).or_default().push(entry);
        }
    }
}

/// Counts the entries of all routes that share each item, per field.
fn count_items<'a>(
    routes: impl IntoIterator<Item = &'a Route>,
) -> HashMap<(Field, &'a Pattern), u64> {
    let mut shared = HashMap::new();
    for filter in routes.into_iter().flat_map(|r| &r.filters) {
        for (field, list) in filter.lists() {
            for item in list {
                *shared.entry((field, item)).or_default() += 1;
            }
        }
    }
    shared
}

/// Literal bytes from which a pattern counts as selective; with fewer, it is taken to match a good part of all values.
const SELECTIVE: usize = 3;
/// Number of entries that such a pattern counts for.
const COMMON: u64 = 1_000;

/// The field whose items the fewest entries share; none if every given list takes any value.
fn most_selective(filter: &Filter, shared: &HashMap<(Field, &Pattern), u64>) -> Option<Field> {
    let cost = |field: Field, list: &[Pattern]| {
        list.iter()
            .map(|item| {
                let literal = item.as_str().bytes().filter(|b| *b != b'*').count();
                let entries = shared.get(&(field, item)).copied().unwrap_or_default();
                match (item.is_exact(), literal) {
                    (true, _) | (false, SELECTIVE..) => Some(entries),
                    (false, 0) => None,
                    (false, _) => Some(entries + COMMON),
                }
            })
            // The mean: a list of 500 DSNs that nobody else has is as selective as a list of one.
            .sum::<Option<u64>>()
            .map(|sum| sum / list.len() as u64)
    };
    filter
        .lists()
        .filter(|(_, list)| !list.is_empty())
        .filter_map(|(field, list)| cost(field, list).map(|c| (c, field)))
        .min()
        .map(|(_, field)| field)
}
