//! The text of a frame, in parts.

/// The most parts that any dialect has.
const MOST: usize = 7;

/// Texts that stand one behind the other; nothing is copied until they are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    texts: [&'a str; MOST],
    count: usize,
}

impl<'a> Parts<'a> {
    /// These texts, at most seven.
    pub(crate) fn new<const N: usize>(given: [&'a str; N]) -> Self {
        const { assert!(N <= MOST) };
        let mut texts = [""; MOST];
        texts[..N].copy_from_slice(&given);
        Self { texts, count: N }
    }

    /// Bytes of all of them.
    pub(crate) fn len(&self) -> usize {
        self.texts().iter().map(|text| text.len()).sum()
    }

    /// The texts.
    pub(crate) fn texts(&self) -> &[&'a str] {
        &self.texts[..self.count]
    }

    /// Bytes before the last part but one, which is the JSON in the dialects of bodies.
    pub(crate) fn before_json(&self) -> usize {
        let before = self.count.saturating_sub(2);
        self.texts[..before].iter().map(|text| text.len()).sum()
    }

    /// Appends all of them.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for text in self.texts() {
            out.extend_from_slice(text.as_bytes());
        }
    }
}
