//! Damage of the log: what cannot be read although the broker has it, and why.

use std::fmt;

/// Reason why a batch was skipped. Its name is a `reason` of `datastream_gateway_records_skipped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// The batch is larger than any may be, as it came or decompressed.
    TooLarge,
    /// The codec is not known.
    UnknownCodec,
    /// The batch cannot be decompressed.
    NotDecompressed,
    /// The records are not those that the header announces.
    Malformed,
    /// The batch ends before its own length, however many bytes are fetched.
    Cut,
    /// The batch is missing: the broker continues behind it.
    Missing,
}

impl Damage {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 6] = [
        Self::TooLarge,
        Self::UnknownCodec,
        Self::NotDecompressed,
        Self::Malformed,
        Self::Cut,
        Self::Missing,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "batch_too_large",
            Self::UnknownCodec => "batch_unknown_codec",
            Self::NotDecompressed => "batch_not_decompressed",
            Self::Malformed => "batch_malformed",
            Self::Cut => "batch_cut",
            Self::Missing => "batch_missing",
        }
    }
}

/// Offsets of a partition that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The first of them.
    pub first: u64,
    /// The offset after the last of them.
    pub next: u64,
    /// Reason why they cannot be read.
    pub damage: Damage,
    /// Details of what was found, for logs.
    pub detail: String,
}

impl Unreadable {
    /// The number of offsets.
    pub const fn count(&self) -> u64 {
        self.next.saturating_sub(self.first)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.next.saturating_sub(1);
        let (first, damage) = (self.first, self.damage.as_str());
        write!(f, "offsets {first} to {last}: {damage}: {}", self.detail)
    }
}
