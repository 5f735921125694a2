//! Finds the filters that want an event without looking at all of them.
//!
//! A filter is filed under the items of *one* of its lists: the one whose items the fewest others share, so that 10,000 subscriptions
//! with one DSN each cost one look-up. Where many meet under one item, they are filed further by another list, and so on: a tree, in
//! which an event takes the ways that its values match. What it reaches wants it, but for the few filters that share a node without
//! being worth one of their own; those are checked. So the cost of an event follows its matches and not the number of filters, and a
//! change touches the nodes of one subscription alone.

mod entries;
mod fields;
mod items;
mod literals;
mod matches;
mod numbered;
mod places;
mod tree;

use datastream_protocol::event::EventTypes;

use entries::{Entries, Entry, Lists};
use fields::Fields;
pub use matches::Matches;
use matches::SEVERAL;
use tree::{Node, Tree};

use crate::field::{Field, PerField};
use crate::filter::{EventFields, Filter};
use crate::pattern::Pattern;
use crate::route::Route;

/// Entries of a node that are looked at one by one. With more, they are filed further down.
const CANDIDATES: usize = 4;
/// The longest list by which an entry is filed below a node that is not crowded.
const LONGEST_LIST: usize = 32;
/// Items of which it is asked whether they match in the time of one look-up of a child.
const LOOK_UP: usize = 8;
/// Entries of a node that are looked at one by one because their lists are longer. With more, it is crowded.
const CROWD: usize = 64;

/// Filters of the routes at places that the caller numbers, from 0 on without large gaps, below 2^31.
#[derive(Debug, Default)]
pub struct FilterIndex {
    tree: Tree,
    entries: Entries,
    /// The root of the filters of each set of event types.
    roots: Vec<(EventTypes, u32)>,
    /// All places are below it.
    places: usize,
}

impl FilterIndex {
    /// Files the filters of a route at a place that has none.
    pub fn insert(&mut self, place: u32, route: &Route) {
        self.places = self.places.max(place as usize + 1);
        let root = self.root(route.event_types);
        let filed = filed(place, route);
        if route.filters.is_empty() {
            self.tree.node_mut(root).add_certain(filed);
        }
        for filter in &route.filters {
            let lists =
                PerField::from_fn(|field| self.tree.items[field].add_list(filter.list(field)));
            let mut given = lists.iter().filter(|(_, list)| !list.is_empty());
            match (given.next(), given.next()) {
                (None, _) => self.tree.node_mut(root).add_certain(filed),
                (Some((field, list)), None) => {
                    for item in list {
                        let child = self.tree.child_or_new(root, field, *item);
                        self.tree.node_mut(child).add_certain(filed);
                    }
                }
                _ => self.add_to_entry(Lists::new(root, &lists, &self.tree.items), filed),
            }
        }
    }

    /// Takes out the filters of a place, which are those of this route.
    pub fn remove(&mut self, place: u32, route: &Route) {
        let root = self.root(route.event_types);
        let filed = filed(place, route);
        if route.filters.is_empty() {
            self.remove_certain(root, filed);
        }
        for filter in &route.filters {
            let lists =
                PerField::from_fn(|field| self.tree.items[field].numbers(filter.list(field)));
            let mut given = lists.iter().filter(|(_, list)| !list.is_empty());
            match (given.next(), given.next()) {
                (None, _) => self.remove_certain(root, filed),
                (Some((field, list)), None) => {
                    for item in list {
                        if let Some(child) = self.tree.child(root, field, *item) {
                            self.remove_certain(child, filed);
                        }
                    }
                }
                _ => self.remove_from_entry(&Lists::new(root, &lists, &self.tree.items), filed),
            }
            for (field, list) in lists.iter() {
                for item in list {
                    self.tree.items[field].release(*item);
                }
            }
        }
    }

    /// Returns whether nothing is filed.
    pub fn is_empty(&self) -> bool {
        let has_items = self.tree.items.iter().any(|(_, items)| !items.is_empty());
        let mut roots = self.roots.iter().map(|(_, root)| self.tree.node(*root));
        !has_items && roots.all(Node::is_empty)
    }

    /// Finds every place whose route wants the event.
    pub fn matches(&self, event: &EventFields<'_>, matches: &mut Matches) {
        matches.begin(self.places, self.entries.numbers());
        for (types, root) in &self.roots {
            if types.contains(event.event_type) {
                self.visit(*root, Fields::default(), event, matches);
            }
        }
    }

    fn visit(&self, number: u32, way: Fields, event: &EventFields<'_>, matches: &mut Matches) {
        let node = self.tree.node(number);
        for place in &node.certain {
            matches.add(*place);
        }
        let Some(inner) = &node.inner else { return };
        for number in inner.candidates.as_slice() {
            let entry = self.entries.get(*number);
            if entry.comes_several_ways && matches.check(*number) {
                continue;
            }
            if self.wants(entry, way, event, matches) {
                for place in entry.places.as_slice() {
                    matches.add(*place);
                }
            }
        }
        let Some(children) = &inner.children else {
            return;
        };
        for field in children.fields.iter() {
            let Some(value) = event.values[field] else {
                continue;
            };
            let children = children.items[field].as_slice();
            self.tree.items[field].find(value, &mut matches.items[field], matches.round);
            let way = way.with(field);
            // Of what matches and what is filed here, either may be much more.
            if children.len() < LOOK_UP * matches.items[field].numbers.len() {
                for item in children {
                    if matches.items[field].has(*item) {
                        self.visit_child(number, field, *item, way, event, matches);
                    }
                }
            } else {
                for at in 0..matches.items[field].numbers.len() {
                    let item = matches.items[field].numbers[at];
                    self.visit_child(number, field, item, way, event, matches);
                }
            }
        }
    }

    /// Visits the node that an item of this field leads to from another one, if there is one.
    #[inline] // of every record
    fn visit_child(
        &self,
        parent: u32,
        field: Field,
        item: u32,
        way: Fields,
        event: &EventFields<'_>,
        matches: &mut Matches,
    ) {
        if let Some(child) = self.tree.child(parent, field, item) {
            self.visit(child, way, event, matches);
        }
    }

    /// Returns whether every list of an entry matches, of which those on the way are known to.
    fn wants(
        &self,
        entry: &Entry,
        way: Fields,
        event: &EventFields<'_>,
        matches: &mut Matches,
    ) -> bool {
        Field::ALL.into_iter().all(|field| {
            let list = entry.list(field);
            if way.has(field) || list.is_empty() {
                return true;
            }
            let Some(value) = event.values[field] else {
                return false;
            };
            self.tree.items[field].find(value, &mut matches.items[field], matches.round);
            matches.items[field].has_any_of(list)
        })
    }

    fn root(&mut self, types: EventTypes) -> u32 {
        if let Some((_, root)) = self.roots.iter().find(|(known, _)| *known == types) {
            return *root;
        }
        let root = self.tree.root();
        self.roots.push((types, root));
        root
    }

    /// Adds a place, as it is filed, to those of the filter with these lists.
    fn add_to_entry(&mut self, lists: Lists, filed: u32) {
        let Some(number) = self.entries.find(&lists) else {
            let root = lists.root;
            let number = self.entries.add(lists, filed);
            self.file_at_root(root, number);
            return;
        };
        let entry = self.entries.get_mut(number);
        entry.places.push(filed);
        for node in entry.nodes.as_slice() {
            let node = self.tree.node_mut(*node);
            if !node.has_candidate(number) {
                node.add_certain(filed);
            }
        }
    }

    /// Takes a place, as it is filed, out of those of the filter with these lists.
    fn remove_from_entry(&mut self, lists: &Lists, filed: u32) {
        let Some(number) = self.entries.find(lists) else {
            return;
        };
        let entry = self.entries.get_mut(number);
        if !entry.places.remove(filed) {
            return;
        }
        let is_last = entry.places.is_empty();
        for node in entry.nodes.as_slice().to_vec() {
            if !self.tree.node(node).has_candidate(number) {
                self.remove_certain(node, filed);
            } else if is_last {
                self.tree.node_mut(node).inner().candidates.remove(number);
                self.tree.prune(node);
            }
        }
        if is_last {
            self.entries.remove(number);
        }
    }

    /// Files an entry at a node, or below it if there are many.
    fn file(&mut self, node: u32, way: Fields, entry: u32) {
        let is_certain = {
            let entry = self.entries.get(entry);
            let mut others = Field::ALL.into_iter().filter(|field| !way.has(*field));
            others.all(|field| entry.list(field).is_empty())
        };
        if is_certain {
            let entry = self.entries.get_mut(entry);
            for place in entry.places.as_slice() {
                self.tree.node_mut(node).add_certain(*place);
            }
            entry.nodes.push(node);
            return;
        }
        let inner = self.tree.node_mut(node).inner();
        if !inner.is_split && inner.candidates.as_slice().len() < CANDIDATES {
            inner.candidates.push(entry);
            self.entries.get_mut(entry).nodes.push(node);
            return;
        }
        if !std::mem::replace(&mut inner.is_split, true) {
            let candidates = std::mem::take(&mut inner.candidates);
            for waiting in candidates.as_slice() {
                let nodes = &mut self.entries.get_mut(*waiting).nodes;
                nodes.remove(node);
                self.file_below(node, way, *waiting);
            }
        }
        self.file_below(node, way, entry);
    }

    /// Files an entry below its root, by the most selective of its lists.
    fn file_at_root(&mut self, root: u32, number: u32) {
        self.file_by_list(root, Fields::default(), number, usize::MAX);
    }

    /// Files an entry below a node, by the most selective of its lists that are left, as far as it is worth its nodes.
    fn file_below(&mut self, node: u32, way: Fields, number: u32) {
        let inner = self.tree.node_mut(node).inner();
        let is_crowded = inner.candidates.as_slice().len() >= CROWD;
        let longest = if is_crowded { usize::MAX } else { LONGEST_LIST };
        self.file_by_list(node, way, number, longest);
    }

    /// Files an entry below a node, by the most selective of its lists that are left, not longer than this, and have few combinations
    /// with those on the way, if there is one.
    fn file_by_list(&mut self, node: u32, way: Fields, number: u32, longest: usize) {
        let entry = self.entries.get(number);
        let left = Field::ALL.into_iter().filter(|field| !way.has(*field));
        let lists = left.map(|field| (field, entry.list(field)));
        let fitting = lists.filter(|(field, list)| {
            let is_first = way.iter().next().is_none();
            let are_few = is_first || entry.combinations(way.with(*field).iter()).are_few();
            are_few && (1..=longest).contains(&list.len())
        });
        let chosen = fitting.min_by_key(|(field, list)| {
            let items = &self.tree.items[*field];
            // The most common item counts: a list of 500 DSNs that nobody else has is as selective as a list of one.
            let weights = list.iter().map(|item| items.weight(*item));
            (weights.max(), list.len())
        });
        let Some((field, list)) = chosen else {
            self.tree.node_mut(node).inner().candidates.push(number);
            self.entries.get_mut(number).nodes.push(node);
            return;
        };
        let list = list.to_vec();
        for item in list {
            let child = self.tree.child_or_new(node, field, item);
            self.file(child, way.with(field), number);
        }
    }

    /// Takes a place, as it is filed, out of a node, once.
    fn remove_certain(&mut self, node: u32, filed: u32) {
        self.tree.node_mut(node).remove_certain(filed);
        self.tree.prune(node);
    }
}

/// A place, with a note if several ways lead to it.
fn filed(place: u32, route: &Route) -> u32 {
    if comes_several_ways(&route.filters) {
        place | SEVERAL
    } else {
        place
    }
}

/// Returns whether an event may match several of these filters, or several items by which one of them is filed.
fn comes_several_ways(filters: &[Filter]) -> bool {
    let mut lists = filters.iter().flat_map(Filter::lists);
    let has_patterns = lists.any(|(_, list)| list.len() > 1 && !list.iter().all(Pattern::is_exact));
    filters.len() > 1 || has_patterns
}

#[cfg(test)]
mod tests;
