//! Patterns by a piece of their literal text, so that only those are looked at of which that piece stands in a value.
//!
//! Each pattern is filed under one piece: its text before the first `*` or after the last one, or a part of the text between two of
//! them; of several, the one that the fewest patterns share. The pieces of a value are looked up by their hashes, for the lengths only
//! that patterns are filed under. So the cost of a value follows its length and what is found, and not how many patterns there are.

use std::hash::{BuildHasher as _, Hasher as _};

use hashbrown::{DefaultHashBuilder, HashMap};
use smallvec::SmallVec;

/// The longest text at the start or the end of a value by which a pattern is filed; of a longer one, this much.
const LONGEST_END: usize = 64;
/// Lengths of the pieces by which text between two `*`s is filed: the longest that fits.
const PIECES: [usize; 9] = [1, 2, 3, 4, 5, 6, 8, 11, 16];

/// Patterns of a piece from which on further ones are filed under a whole text: texts can be made of few pieces.
const CROWDED: usize = 8;

/// The place of a piece in the values that have it.
#[derive(Clone, Copy, Debug)]
enum Place {
    Start,
    End,
    Anywhere,
}

/// A piece of literal text, by which a pattern may be filed.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    place: Place,
    text: &'a [u8],
}

/// Patterns, by number.
#[derive(Debug, Default)]
pub(super) struct Literals {
    hasher: DefaultHashBuilder,
    /// By the hash of their piece. Pieces of one hash share a group: whoever asks looks at the patterns anyway.
    groups: HashMap<u64, SmallVec<[u32; 4]>>,
    starts: Lengths,
    ends: Lengths,
    pieces: Lengths,
    /// Patterns without literal text.
    any: Vec<u32>,
}

/// The numbers of patterns that are filed under pieces of each length, up to [`LONGEST_END`].
#[derive(Debug, Default)]
struct Lengths(Vec<u32>);

impl Lengths {
    fn add(&mut self, length: usize) {
        if self.0.len() < length {
            self.0.resize(length, 0);
        }
        self.0[length - 1] += 1;
    }

    fn remove(&mut self, length: usize) {
        self.0[length - 1] -= 1;
    }

    /// The lengths that there are, up to `most`.
    fn up_to(&self, most: usize) -> impl Iterator<Item = usize> {
        let counts = (1..=most).zip(&self.0);
        counts
            .filter(|(_, count)| **count > 0)
            .map(|(length, _)| length)
    }
}

impl Literals {
    /// Files a pattern under a number.
    pub(super) fn insert(&mut self, pattern: &str, number: u32) {
        let population = |piece: &Piece<'_>| {
            let group = self.groups.get(&self.hash(piece.place, piece.text));
            (
                group.map_or(0, SmallVec::len),
                usize::MAX - piece.text.len(),
            )
        };
        let Some(piece) = pieces(pattern).min_by_key(population) else {
            self.any.push(number);
            return;
        };
        let crowded = population(&piece).0 >= CROWDED;
        let whole = crowded
            .then(|| wholes(pattern).min_by_key(population))
            .flatten();
        let piece = whole.unwrap_or(piece);
        let hash = self.hash(piece.place, piece.text);
        self.groups.entry(hash).or_default().push(number);
        self.lengths(piece.place).add(piece.text.len());
    }

    /// Takes a pattern out that was filed under this number.
    pub(super) fn remove(&mut self, pattern: &str, number: u32) {
        for piece in pieces(pattern).chain(wholes(pattern)) {
            let hash = self.hash(piece.place, piece.text);
            let Some(group) = self.groups.get_mut(&hash) else {
                continue;
            };
            let Some(at) = group.iter().position(|filed| *filed == number) else {
                continue;
            };
            group.swap_remove(at);
            if group.is_empty() {
                self.groups.remove(&hash);
            }
            self.lengths(piece.place).remove(piece.text.len());
            return;
        }
        self.any.retain(|filed| *filed != number);
    }

    /// Calls `found` with the numbers of all patterns that may match, and of others by chance.
    pub(super) fn candidates(&self, value: &str, mut found: impl FnMut(u32)) {
        self.any.iter().copied().for_each(&mut found);
        if self.groups.is_empty() {
            return;
        }
        let value = value.as_bytes();
        let longest = value.len();
        for length in self.starts.up_to(longest) {
            let text = &value[..length];
            self.group(Place::Start, text, &mut found);
        }
        for length in self.ends.up_to(longest) {
            let text = &value[longest - length..];
            self.group(Place::End, text, &mut found);
        }
        for length in self.pieces.up_to(longest) {
            for (at, text) in value.windows(length).enumerate() {
                let group = self.groups.get(&self.hash(Place::Anywhere, text));
                // The patterns of a piece that comes again have been found.
                let is_first = || memchr::memmem::find(value, text) == Some(at);
                if let Some(group) = group.filter(|_| is_first()) {
                    group.iter().copied().for_each(&mut found);
                }
            }
        }
    }

    fn group(&self, place: Place, text: &[u8], found: &mut impl FnMut(u32)) {
        if let Some(group) = self.groups.get(&self.hash(place, text)) {
            group.iter().copied().for_each(found);
        }
    }

    fn hash(&self, place: Place, text: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text);
        hasher.write_usize(text.len() << 2 | place as usize);
        hasher.finish()
    }

    fn lengths(&mut self, place: Place) -> &mut Lengths {
        match place {
            Place::Start => &mut self.starts,
            Place::End => &mut self.ends,
            Place::Anywhere => &mut self.pieces,
        }
    }
}

/// The pieces of a pattern by which it may be filed: each stands in every value that matches.
fn pieces(pattern: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut parts = pattern.split('*').map(str::as_bytes);
    let start = parts.next().unwrap_or_default();
    let end = parts.next_back().unwrap_or_default();
    let start = Piece {
        place: Place::Start,
        text: &start[..start.len().min(LONGEST_END)],
    };
    let end = Piece {
        place: Place::End,
        text: &end[end.len().saturating_sub(LONGEST_END)..],
    };
    let ends = [start, end].into_iter();
    let between = parts.flat_map(|part| {
        let length = PIECES.into_iter().rfind(|length| *length <= part.len());
        let windows = part.windows(length.unwrap_or(1));
        windows.map(|text| Piece {
            place: Place::Anywhere,
            text,
        })
    });
    ends.filter(|piece| !piece.text.is_empty()).chain(between)
}

/// The texts of a pattern between two `*`s of which [its pieces](pieces) are only parts.
fn wholes(pattern: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut parts = pattern.split('*').map(str::as_bytes);
    parts.next();
    parts.next_back();
    let parts = parts.filter(|part| {
        part.len() <= LONGEST_END && part.len() > 1 && !PIECES.contains(&part.len())
    });
    parts.map(|text| Piece {
        place: Place::Anywhere,
        text,
    })
}
