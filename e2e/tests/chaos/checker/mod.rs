//! The delivery contract, as a pure function over what the topic holds and what a client saw:
//!
//! from its position a stream sees every matching event, in order within a partition, without gaps, and duplicates only
//! after a reconnect and only from the resume position on; or it gets a close frame with a reason. Sequence numbers
//! grow along a stream, and each says truly what a stream that resumes from it has behind it. What is missing is what the
//! broker had dropped by then, and the client got a gap marker or close code, or had waived it.

mod claims;
mod cursor;
mod history;
mod seq;
mod stored;
mod stream;
#[cfg(test)]
mod tests;
mod violation;

pub(crate) use claims::{Disrupted, Disruption, Served, check_claims};
pub(crate) use history::{
    Contract, Eviction, History, Interest, Log, Outcome, Received, Record, Session, Start,
};
pub(crate) use seq::Seq;
pub(crate) use stored::{Begin, Stored, Volume, check_stored};
pub(crate) use violation::{Violation, What};

use cursor::Cursor;
use stream::Stream;

/// The progress of a client that did not see the contract broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub events: usize,
    pub sessions: usize,
    /// The first event that is still to come: its partition, offset and number.
    pub pending: Option<(usize, u64, u64)>,
}

/// Heartbeats after one that a client answered, until what that acknowledged is stored for certain: the broker may be away when it
/// is to be, and the gateway killed before it is back.
const SETTLED: usize = 8;

/// Checks what one client saw.
pub(crate) fn check(log: &Log, history: &History) -> Result<Standing, Violation> {
    let partitions = log.partitions.len();
    let mut standing = Standing::default();
    // What all connections together have covered, if they belong together.
    let mut chain: Option<Vec<Cursor>> = None;
    let mut settled = vec![0; partitions];
    for (index, session) in history.sessions.iter().enumerate() {
        let fail = |event: usize, what: What| Violation::new(log, history, index, event, what);
        let start = starts(log, history, session, chain.as_deref(), &settled);
        let start = start.map_err(|what| fail(0, what))?;
        let mut stream = Stream::new(log, history.interest, session, start);
        let settles = session.heartbeats.iter().nth_back(SETTLED);
        for (number, event) in session.events.iter().enumerate() {
            stream.pass_marker().map_err(|what| fail(number, what))?;
            if settles == Some(&number) {
                settled = stream.covered();
            }
            stream.take(event).map_err(|what| fail(number, what))?;
        }
        if settles == Some(&session.events.len()) {
            settled = stream.covered();
        }
        let events = session.events.len();
        stream.pass_marker().map_err(|what| fail(events, what))?;
        stream.ended().map_err(|what| fail(events, what))?;
        standing.events += events;
        standing.sessions += 1;
        let last = index + 1 == history.sessions.len();
        if history.contract == Contract::Apart {
            let open = last && matches!(session.outcome, Outcome::Open) && session.end.is_none();
            standing.pending = open.then(|| stream.pending()).flatten();
            continue;
        }
        let chain = chain.get_or_insert_with(|| stream.cursors().to_vec());
        for (all, one) in chain.iter_mut().zip(stream.cursors()) {
            if one.is_past(all) {
                *all = one.clone();
            } else {
                all.excuse(one);
            }
        }
        standing.pending = pending(log, history.interest, chain);
    }
    Ok(standing)
}

/// Returns the place at which a connection has to begin, in every partition.
fn starts(
    log: &Log,
    history: &History,
    session: &Session,
    chain: Option<&[Cursor]>,
    settled: &[u64],
) -> Result<Vec<Cursor>, What> {
    let partitions = log.partitions.len();
    let expiring = |cursors: Vec<Cursor>| -> Vec<Cursor> {
        let earliest = |partition| log.earliest(partition, session.opened);
        let cursors = cursors.into_iter().enumerate();
        cursors.map(|(p, c)| c.or_from(earliest(p))).collect()
    };
    let live = |from: u64| vec![Cursor::live(from); partitions];
    let digits = match (&session.start, chain) {
        (Start::Live { from }, _) | (Start::Committed { from }, None) => return Ok(live(*from)),
        (Start::Committed { .. }, Some(chain)) => {
            let again = chain.iter().zip(settled);
            let again: Vec<_> = again.map(|(c, s)| c.again_from(*s)).collect();
            return match (&session.gap, session.markers) {
                (Some(gap), _) => {
                    // What it did not have to bring was acknowledged, too.
                    let begins = gap.start();
                    let passes = |partition, cursor: &Cursor| {
                        let begins = begins[partition];
                        let missing = cursor.missing(log, history.interest, partition, begins);
                        cursor.at <= begins && missing.is_none()
                    };
                    let passed = |(partition, cursor): (usize, Cursor)| {
                        if passes(partition, &cursor) {
                            Cursor::exact(begins[partition])
                        } else {
                            cursor
                        }
                    };
                    let may = expiring(again).into_iter().enumerate();
                    after_gap(gap, &may.map(passed).collect::<Vec<_>>())
                }
                (None, true) => Ok(again),
                (None, false) => Ok(expiring(again)),
            };
        }
        (Start::Seq(digits), _) => digits,
    };
    let start = match digits.as_str() {
        "0" => vec![0; partitions],
        digits => Seq::parse(digits, partitions)
            .ok_or_else(|| What::BadSeq(digits.to_owned()))?
            .start(),
    };
    if let (Contract::Resume, Some(chain)) = (history.contract, chain) {
        for (partition, (cursor, start)) in chain.iter().zip(&start).enumerate() {
            if let Some((offset, record)) = cursor.missing(log, history.interest, partition, *start)
            {
                return Err(What::lost(partition, offset, &record));
            }
        }
    }
    let exactly: Vec<_> = start.iter().copied().map(Cursor::exact).collect();
    let consents = digits == "0" || (session.on_gap && !session.markers);
    match &session.gap {
        None if consents => Ok(expiring(exactly)),
        None => Ok(exactly),
        Some(gap) if session.on_gap && gap.start() != start => after_gap(gap, &expiring(exactly)),
        Some(gap) => Err(What::WrongGap(gap.digits())),
    }
}

/// A stream whose marker says that it begins here.
fn after_gap(gap: &Seq, may: &[Cursor]) -> Result<Vec<Cursor>, What> {
    let begins = gap.start();
    if begins.iter().zip(may).all(|(b, may)| may.allows(*b)) {
        Ok(begins.into_iter().map(Cursor::exact).collect())
    } else {
        Err(What::WrongGap(gap.digits()))
    }
}

/// The first event that has not come.
fn pending(log: &Log, interest: Interest, cursors: &[Cursor]) -> Option<(usize, u64, u64)> {
    cursors.iter().enumerate().find_map(|(partition, cursor)| {
        let (offset, record) = cursor.missing(log, interest, partition, u64::MAX)?;
        Some((partition, offset, record.number))
    })
}
