//! The tree of an index: a node for each combination of items that filters are filed under.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::fields::Fields;
use super::items::Items;
use super::numbered::Numbered;
use super::places::{Members, Places, Positions, SHORT};
use crate::field::{Field, PerField};

/// In the number of a node: it is kept with the item that leads to it.
const HOME: u32 = 1 << 31;
/// Bits of an item's number.
const ITEM_BITS: u32 = 29;
const ITEM: u32 = (1 << ITEM_BITS) - 1;

/// The number of no node, which is the parent of roots.
pub(super) const NONE: u32 = u32::MAX;

/// The items of all fields, and the nodes, by number.
///
/// The first node that an item leads to is kept with the item, so that the way from a value to the streams that want it is short.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub items: PerField<Items>,
    nodes: Numbered<Inside>,
    hasher: DefaultHashBuilder,
    /// The nodes that are not with their items, by parent and item.
    children: HashTable<u32>,
}

/// A node that is not kept with its item.
#[derive(Debug)]
struct Inside {
    parent: u32,
    /// The item that leads here from the parent, with its field: the number of the node that would be kept with it.
    home: u32,
    node: Node,
}

/// A node: an event gets there that matches the items on the way.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Places whose filters want every event that gets here.
    pub certain: Places,
    /// The part of few nodes.
    pub inner: Option<Box<Inner>>,
}

/// The part of a node at which many places or filters with several lists are.
#[derive(Debug, Default)]
pub(super) struct Inner {
    certain: Positions,
    /// Entries that have more lists than those on the way, and are looked at one by one.
    pub candidates: Members,
    /// The items that lead to other nodes, if there are any.
    pub children: Option<Box<Children>>,
    /// New entries are filed further down.
    pub is_split: bool,
}

/// The items that lead from a node to others.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// The fields that have some.
    pub fields: Fields,
    pub items: PerField<Members>,
}

impl Tree {
    /// A node without a parent.
    pub(super) fn root(&mut self) -> u32 {
        self.put(NONE, NONE)
    }

    pub(super) fn node(&self, number: u32) -> &Node {
        if number & HOME == 0 {
            return &self.nodes[number].node;
        }
        let (field, item) = place_of(number);
        &self.items[field].home(item).node
    }

    pub(super) fn node_mut(&mut self, number: u32) -> &mut Node {
        if number & HOME == 0 {
            return &mut self.nodes[number].node;
        }
        let (field, item) = place_of(number);
        &mut self.items[field].home_mut(item).node
    }

    /// The node behind another one that an item of this field leads to.
    pub(super) fn child(&self, parent: u32, field: Field, item: u32) -> Option<u32> {
        let home = home_of(field, item);
        if self.items[field].home(item).parent == parent {
            return Some(home);
        }
        if self.children.is_empty() {
            return None;
        }
        let found = self
            .children
            .find(self.hasher.hash_one((parent, home)), |number| {
                let inside = &self.nodes[*number];
                (inside.parent, inside.home) == (parent, home)
            });
        found.copied()
    }

    /// The same, made if there is none.
    pub(super) fn child_or_new(&mut self, parent: u32, field: Field, item: u32) -> u32 {
        if let Some(child) = self.child(parent, field, item) {
            return child;
        }
        self.node_mut(parent).inner().add_child(field, item);
        let home = self.items[field].home_mut(item);
        if home.parent == NONE {
            home.parent = parent;
            return home_of(field, item);
        }
        let child = self.put(parent, home_of(field, item));
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        let hash = |number: &u32| {
            let inside = &nodes[*number];
            hasher.hash_one((inside.parent, inside.home))
        };
        self.children.insert_unique(hash(&child), child, hash);
        child
    }

    /// Takes a node out if it leads nowhere, and those on the way to it, but no root.
    pub(super) fn prune(&mut self, mut number: u32) {
        while self.node(number).is_empty() {
            let (parent, (field, item)) = if number & HOME == 0 {
                let inside = &mut self.nodes[number];
                let (parent, home) = (inside.parent, inside.home);
                if parent == NONE {
                    return;
                }
                inside.node = Node::default();
                let hash = self.hasher.hash_one((parent, home));
                if let Ok(entry) = self.children.find_entry(hash, |child| *child == number) {
                    entry.remove();
                }
                self.nodes.give_back(number);
                (parent, place_of(home))
            } else {
                let (field, item) = place_of(number);
                let home = std::mem::take(self.items[field].home_mut(item));
                (home.parent, (field, item))
            };
            self.node_mut(parent).inner().remove_child(field, item);
            number = parent;
        }
    }

    fn put(&mut self, parent: u32, home: u32) -> u32 {
        self.nodes.put(Inside {
            parent,
            home,
            node: Node::default(),
        })
    }
}

impl Inner {
    /// Takes note that an item leads from here to another node.
    fn add_child(&mut self, field: Field, item: u32) {
        let children = self.children.get_or_insert_default();
        children.items[field].push(item);
        children.fields = children.fields.with(field);
    }

    /// Takes note that it does so no more.
    fn remove_child(&mut self, field: Field, item: u32) {
        let Some(children) = &mut self.children else {
            return;
        };
        let items = &mut children.items[field];
        items.remove(item);
        if items.is_empty() {
            children.fields = children.fields.without(field);
        }
        if children.fields.is_empty() {
            self.children = None;
        }
    }
}

impl Node {
    /// Adds a place that wants every event that gets here.
    pub(super) fn add_certain(&mut self, place: u32) {
        if self.inner.is_none() && self.certain.len() < SHORT {
            self.certain.push(place);
        } else {
            let inner = self.inner.get_or_insert_default();
            inner.certain.push(&mut self.certain, place);
        }
    }

    /// Takes such a place out, once.
    pub(super) fn remove_certain(&mut self, place: u32) {
        let mut none = Positions::default();
        let positions = self.inner.as_mut().map(|inner| &mut inner.certain);
        positions
            .unwrap_or(&mut none)
            .remove(&mut self.certain, place);
    }

    /// Returns whether it has this entry to look at.
    pub(super) fn has_candidate(&self, entry: u32) -> bool {
        let inner = self.inner.as_ref();
        inner.is_some_and(|inner| inner.candidates.has(entry))
    }

    /// The part that not every node has.
    pub(super) fn inner(&mut self) -> &mut Inner {
        self.inner.get_or_insert_default()
    }

    /// Returns whether nothing is filed here or further down.
    pub(super) fn is_empty(&self) -> bool {
        let is_leaf = self
            .inner
            .as_ref()
            .is_none_or(|inner| inner.candidates.is_empty() && inner.children.is_none());
        self.certain.is_empty() && is_leaf
    }
}

fn home_of(field: Field, item: u32) -> u32 {
    HOME | (field as u32) << ITEM_BITS | item
}

fn place_of(home: u32) -> (Field, u32) {
    let field = (home & !HOME) >> ITEM_BITS;
    (Field::ALL[field as usize], home & ITEM)
}
