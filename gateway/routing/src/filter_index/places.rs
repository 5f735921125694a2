//! Lists of places and entries, in which one is found fast however long they are.

use hashbrown::HashTable;
use smallvec::SmallVec;

/// A list in no order.
pub(super) type Places = SmallVec<[u32; 2]>;

/// The length up to which a list is searched from its beginning.
pub(super) const SHORT: usize = 64;

/// A list with the positions of its members.
#[derive(Debug, Default)]
pub(super) struct Members {
    list: Places,
    positions: Positions,
}

impl Members {
    pub(super) fn as_slice(&self) -> &[u32] {
        &self.list
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn push(&mut self, member: u32) {
        self.positions.push(&mut self.list, member);
    }

    pub(super) fn has(&self, member: u32) -> bool {
        self.positions.has(&self.list, member)
    }

    /// Takes a member out, once. Returns whether it was there.
    pub(super) fn remove(&mut self, member: u32) -> bool {
        self.positions.remove(&mut self.list, member)
    }
}

/// The positions of the members of a long list; none for a short one.
#[derive(Debug, Default)]
pub(super) struct Positions(Option<Box<HashTable<u32>>>);

impl Positions {
    /// Adds a member to the list.
    pub(super) fn push(&mut self, list: &mut Places, member: u32) {
        list.push(member);
        let hash = |position: &u32| hash(list[*position as usize]);
        // A list that was longer has its positions until it is much shorter.
        let first = match self.0 {
            None if list.len() <= SHORT => return,
            None => 0,
            Some(_) => list.len() - 1,
        };
        let positions = self.0.get_or_insert_default();
        for position in first as u32..list.len() as u32 {
            positions.insert_unique(hash(&position), position, hash);
        }
    }

    /// Returns whether the list has a member.
    pub(super) fn has(&self, list: &Places, member: u32) -> bool {
        let Some(positions) = &self.0 else {
            return list.contains(&member);
        };
        let is_it = |position: &u32| list[*position as usize] == member;
        positions.find(hash(member), is_it).is_some()
    }

    /// Takes a member out of the list, once. Returns whether it was there.
    pub(super) fn remove(&mut self, list: &mut Places, member: u32) -> bool {
        let Some(positions) = &mut self.0 else {
            let found = list.iter().position(|other| *other == member);
            found.map(|position| list.swap_remove(position));
            return found.is_some();
        };
        let is_it = |position: &u32| list[*position as usize] == member;
        let Ok(entry) = positions.find_entry(hash(member), is_it) else {
            return false;
        };
        let (position, _) = entry.remove();
        let last = (list.len() - 1) as u32;
        if let Some(moved) = positions.find_mut(hash(list[last as usize]), |at| *at == last) {
            *moved = position;
        }
        list.swap_remove(position as usize);
        if list.len() <= SHORT / 2 {
            self.0 = None;
        }
        true
    }
}

/// Numbers in sequence, spread over the bits that a table of hashes uses.
fn hash(member: u32) -> u64 {
    u64::from(member).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
