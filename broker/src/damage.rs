//! Batches that no reader can make sense of, as a broken producer or a damaged disk leaves them, for tests.

use std::io;
use std::str::FromStr;

use fluvio_protocol::Encoder;
use fluvio_protocol::record::{BATCH_HEADER_SIZE, BATCH_PREAMBLE_SIZE, Batch, Record, RecordData};

/// The damage of a batch. Its offsets are right: it takes three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchDamage {
    /// It says gzip and is not.
    NotGzip,
    /// It says that it is compressed in a way that there is not.
    UnknownCodec,
    /// It has another number of records than it says.
    WrongCount,
    /// Its records are garbage.
    Garbage,
    /// Its records end in the middle of one.
    Truncated,
    /// Its length reaches beyond its end.
    WrongLength,
}

impl BatchDamage {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::NotGzip,
        Self::UnknownCodec,
        Self::WrongCount,
        Self::Garbage,
        Self::Truncated,
        Self::WrongLength,
    ];

    /// The name on the control port.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotGzip => "not-gzip",
            Self::UnknownCodec => "unknown-codec",
            Self::WrongCount => "wrong-count",
            Self::Garbage => "garbage",
            Self::Truncated => "truncated",
            Self::WrongLength => "wrong-length",
        }
    }

    /// Such a batch.
    pub(crate) fn batch(self) -> io::Result<Vec<u8>> {
        const RECORDS: usize = BATCH_PREAMBLE_SIZE + BATCH_HEADER_SIZE;
        const CODEC: usize = BATCH_PREAMBLE_SIZE + 4 + 1 + 4 + 1;
        let record = |text: &str| Record::new(RecordData::from(text));
        let batch = Batch::from(["one", "two", "three"].map(record).to_vec());
        let mut bytes = vec![];
        batch.encode(&mut bytes, 0)?;
        match self {
            Self::NotGzip => bytes[CODEC] = 1,
            Self::UnknownCodec => bytes[CODEC] = 7,
            Self::WrongCount => bytes[RECORDS + 3] = 9,
            Self::Garbage => bytes[RECORDS + 4..].fill(0xff),
            Self::Truncated => {
                bytes.truncate(bytes.len() - 5);
                let length = (bytes.len() - BATCH_PREAMBLE_SIZE) as i32;
                bytes[8..BATCH_PREAMBLE_SIZE].copy_from_slice(&length.to_be_bytes());
            }
            Self::WrongLength => {
                // With the right count it could be read once enough follows.
                bytes[RECORDS + 3] = 9;
                let length = (bytes.len() - BATCH_PREAMBLE_SIZE) as i32 + 1000;
                bytes[8..BATCH_PREAMBLE_SIZE].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(bytes)
    }
}

impl FromStr for BatchDamage {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let kind = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        kind.ok_or_else(|| {
            let kinds = Self::ALL.map(Self::as_str).join(", ");
            format!("{word}: not one of {kinds}")
        })
    }
}
