//! One connection, event by event.

use super::cursor::Cursor;
use super::history::{Interest, Log, Outcome, Received, Session};
use super::violation::What;

/// Close codes that a client of the protocol that makes no mistakes can get.
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;
const DONE: u16 = 1000;
const EXPIRED: u16 = 1011;
/// The gateway is short of memory, and the client takes nothing.
const STALLED: u16 = 1013;

/// A connection, and what it has brought so far.
pub(super) struct Stream<'a> {
    log: &'a Log,
    interest: Interest,
    session: &'a Session,
    cursors: Vec<Cursor>,
    taken: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        log: &'a Log,
        interest: Interest,
        session: &'a Session,
        cursors: Vec<Cursor>,
    ) -> Self {
        Self {
            log,
            interest,
            session,
            cursors,
            taken: 0,
        }
    }

    pub(super) fn cursors(&self) -> &[Cursor] {
        &self.cursors
    }

    pub(super) fn covered(&self) -> Vec<u64> {
        self.cursors.iter().map(|c| c.at).collect()
    }

    pub(super) fn pending(&self) -> Option<(usize, u64, u64)> {
        super::pending(self.log, self.interest, &self.cursors)
    }

    /// The next event.
    pub(super) fn take(&mut self, event: &Received) -> Result<(), What> {
        let before = &self.session.events[..self.taken];
        self.taken += 1;
        let (own, offset) = (event.seq.own, event.seq.offset());
        match self.log.get(own, offset) {
            Some(r) if (r.number, r.device) == (event.number, Some(event.device)) => {
                if !self.interest.may(r) {
                    return Err(What::Foreign);
                }
            }
            other => return Err(What::Altered(other.copied())),
        }
        let place = |e: &Received| (e.seq.own, e.seq.offset()) == (own, offset);
        if offset < self.cursors[own].at && before.iter().any(place) {
            return Err(What::Doubled);
        }
        if let Some(last) = before.last() {
            let groups = event.seq.next.iter().zip(&last.seq.next);
            if event.seq.key() <= last.seq.key() || groups.clone().any(|(new, old)| new < old) {
                return Err(What::NotGrowing(last.seq.digits()));
            }
        }
        if offset < self.cursors[own].at {
            return Err(What::TooEarly(self.cursors[own].at));
        }
        if self
            .session
            .end
            .as_ref()
            .is_some_and(|e| offset >= e.next[own])
        {
            return Err(What::BeyondEnd);
        }
        // The event's number says what is behind it in every partition: all of that must have come.
        for (partition, cursor) in self.cursors.iter_mut().enumerate() {
            let next = event.seq.next[partition];
            let until = if partition == own { offset } else { next };
            if let Some((lost, record)) = cursor.missing(self.log, self.interest, partition, until)
            {
                let later = &self.session.events[self.taken..];
                let comes = |e: &Received| (e.seq.own, e.seq.offset()) == (partition, lost);
                return Err(if later.iter().any(comes) {
                    What::Reordered(partition, lost, record.number)
                } else {
                    What::lost(partition, lost, &record)
                });
            }
            cursor.advance(next);
        }
        Ok(())
    }

    /// The live marker, if it came just here: nothing may be missing before the place that it names.
    pub(super) fn pass_marker(&mut self) -> Result<(), What> {
        match &self.session.live {
            Some((events, live)) if *events == self.taken => {
                let start = live.start();
                self.complete(&start)?;
                self.advance(&start);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The end of the connection.
    pub(super) fn ended(&mut self) -> Result<(), What> {
        match &self.session.outcome {
            Outcome::Gone { earliest } => self.gone(earliest),
            Outcome::Closed { code: EXPIRED, .. } => self.expired(),
            Outcome::Open | Outcome::Lost | Outcome::Left => Ok(()),
            Outcome::Closed { code: DONE, .. } => match &self.session.end {
                Some(end) => self.complete(&end.next),
                None => Err(What::WrongClose),
            },
            Outcome::Closed { code, reason } => {
                let known = matches!(*code, GOING_AWAY | POLICY | STALLED) && !reason.is_empty();
                if known { Ok(()) } else { Err(What::WrongClose) }
            }
            Outcome::Dropped { .. } | Outcome::Refused { .. } | Outcome::Garbled { .. } => {
                Err(What::WrongClose)
            }
        }
    }

    /// Checks a refusal for expired events: they must have expired, and no others may be given up.
    fn gone(&mut self, earliest: &super::Seq) -> Result<(), What> {
        let begins = earliest.start();
        let left = |(partition, begins): (usize, &u64)| {
            *begins <= self.log.earliest(partition, self.session.opened)
        };
        let justified = begins.iter().zip(&self.cursors).any(|(b, c)| c.at < *b);
        let asked = matches!(&self.session.start, super::Start::Seq(digits) if digits != "0");
        if self.session.on_gap || !asked || !justified || !begins.iter().enumerate().all(left) {
            return Err(What::WrongGap(earliest.digits()));
        }
        self.advance(&begins);
        Ok(())
    }

    /// Checks a close because events had expired that were still to be sent.
    fn expired(&self) -> Result<(), What> {
        let at = self.session.ended.ok_or(What::WrongClose)?;
        let cursors = self.cursors.iter().enumerate();
        let mut cursors = cursors.filter(|(p, cursor)| cursor.at < self.log.earliest(*p, at));
        cursors.next().map(|_| ()).ok_or(What::WrongClose)
    }

    fn advance(&mut self, to: &[u64]) {
        for (cursor, next) in self.cursors.iter_mut().zip(to) {
            cursor.advance(*next);
        }
    }

    fn complete(&self, end: &[u64]) -> Result<(), What> {
        for (partition, (cursor, until)) in self.cursors.iter().zip(end).enumerate() {
            if let Some((offset, record)) =
                cursor.missing(self.log, self.interest, partition, *until)
            {
                return Err(What::lost(partition, offset, &record));
            }
        }
        Ok(())
    }
}
