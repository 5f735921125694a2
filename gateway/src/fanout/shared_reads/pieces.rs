//! The pieces that were read last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Place;
use super::piece::Piece;

/// Pieces by place, up to a number of bytes; those that were read first go first.
pub(super) struct Pieces {
    by_place: BTreeMap<Place, Arc<Piece>>,
    in_order: VecDeque<Arc<Piece>>,
    weight: usize,
    limit: usize,
}

impl Pieces {
    /// No pieces yet, and up to `limit` bytes of them.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            by_place: BTreeMap::new(),
            in_order: VecDeque::new(),
            weight: 0,
            limit,
        }
    }

    /// The piece that has this place.
    pub(super) fn get(&self, place: Place) -> Option<Arc<Piece>> {
        let (_, piece) = self.by_place.range(..=place).next_back()?;
        let has = piece.partition == place.0 && piece.next > place.1;
        has.then(|| piece.clone())
    }

    /// Adds a piece. Of two that begin at the same place, the later one is found.
    pub(super) fn push(&mut self, piece: Arc<Piece>) {
        self.weight += piece.weight();
        self.by_place
            .insert((piece.partition, piece.first), piece.clone());
        self.in_order.push_back(piece);
        while self.weight > self.limit
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.weight -= oldest.weight();
            let place = (oldest.partition, oldest.first);
            let is_found = self
                .by_place
                .get(&place)
                .is_some_and(|found| Arc::ptr_eq(found, &oldest));
            if is_found {
                self.by_place.remove(&place);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Piece>> {
        self.in_order.iter()
    }
}
