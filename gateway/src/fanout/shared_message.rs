//! The message of one event as it stands on the wire, for all streams that get it.

use std::sync::Arc;

use datastream_protocol::dialect::MessageDialect;

use crate::event::EventFrame;

/// The message that was made last: made once, it is written to each stream of its dialect from here.
#[derive(Debug, Default)]
pub(crate) struct SharedMessage {
    of: Option<(Arc<EventFrame>, MessageDialect)>,
    bytes: Vec<u8>,
}

impl SharedMessage {
    /// The message of an event in a dialect, which `write` makes if it is not the one that was made last.
    pub(crate) fn get(
        &mut self,
        event: &Arc<EventFrame>,
        dialect: MessageDialect,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> &[u8] {
        let is_of = |(last, of): &(Arc<EventFrame>, MessageDialect)| {
            Arc::ptr_eq(last, event) && *of == dialect
        };
        if !self.of.as_ref().is_some_and(is_of) {
            self.bytes.clear();
            write(&mut self.bytes);
            self.of = Some((event.clone(), dialect));
        }
        &self.bytes
    }

    /// Lets go of the event.
    pub(super) fn clear(&mut self) {
        self.of = None;
    }
}
