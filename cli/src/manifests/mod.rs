//! Manifests, read from files as strictly as the API server would.

mod access;
mod object;
mod read;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use datastream_service::text::printable;

pub use access::Access;
pub use object::{Object, ObjectId};
pub use read::read;

/// A problem in a file, and its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as the user named its folder; printable.
    pub file: String,
    /// Line, counted from 1; 0 if it is about the file as a whole.
    pub line: u64,
    /// The problem itself.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of fields and what stands in them are the file's.
        let reason = printable(&self.reason);
        match self.line {
            0 => write!(f, "{}: {reason}", self.file),
            line => write!(f, "{}:{line}: {reason}", self.file),
        }
    }
}

/// An object of a file, and the line on which it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest<T> {
    /// Line, counted from 1.
    pub line: u64,
    /// The object.
    pub object: T,
}

/// The result of reading one file.
#[derive(Clone, Debug)]
pub struct Reading<T> {
    /// The objects that are fine.
    pub good: BTreeMap<ObjectId, Manifest<T>>,
    /// The problems of the others.
    pub problems: Vec<Problem>,
    /// The objects that are not fine.
    pub refused: BTreeSet<ObjectId>,
    /// The name of something invalid could not be read: it might be any object.
    pub unknown: bool,
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self {
            good: BTreeMap::new(),
            problems: Vec::new(),
            refused: BTreeSet::new(),
            unknown: false,
        }
    }
}
