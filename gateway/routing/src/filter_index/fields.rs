//! Sets of fields.

use crate::field::Field;

/// A set of fields, as those of the items on the way to a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields(u8);

impl Fields {
    pub(super) const fn has(self, field: Field) -> bool {
        self.0 & 1 << field as u8 != 0
    }

    pub(super) const fn with(self, field: Field) -> Self {
        Self(self.0 | 1 << field as u8)
    }

    pub(super) const fn without(self, field: Field) -> Self {
        Self(self.0 & !(1 << field as u8))
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The fields, in the order of [`Field::ALL`].
    pub(super) fn iter(self) -> impl Iterator<Item = Field> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let field = *Field::ALL.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(field)
        })
    }
}
