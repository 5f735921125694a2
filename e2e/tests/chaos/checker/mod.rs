//! The delivery contract, as a pure function over what the topic holds and what a client saw:
//!
//! from its position a stream sees every matching event, in order within a partition, without gaps, and duplicates only
//! after a reconnect and only from the resume position on; or it gets a close frame with a reason. Sequence numbers
//! grow along a stream, and each says truly what a stream that goes on from it has behind it.

mod cursor;
mod history;
mod seq;
mod stream;
#[cfg(test)]
mod tests;
mod violation;

pub(crate) use history::{
    Contract, History, Interest, Log, Outcome, Received, Record, Session, Start,
};
pub(crate) use seq::Seq;
pub(crate) use violation::{Violation, What};

use cursor::Cursor;
use stream::Stream;

/// What a client that did not see the contract broken has got so far.
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
            if settles == Some(&number) {
                settled = stream.covered();
            }
            stream.take(event).map_err(|what| fail(number, what))?;
        }
        if settles == Some(&session.events.len()) {
            settled = stream.covered();
        }
        let events = session.events.len();
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
            }
        }
        standing.pending = pending(log, history.interest, chain);
    }
    Ok(standing)
}

/// Where a connection has to begin, in every partition.
fn starts(
    log: &Log,
    history: &History,
    session: &Session,
    chain: Option<&[Cursor]>,
    settled: &[u64],
) -> Result<Vec<Cursor>, What> {
    let partitions = log.partitions.len();
    let live = |from: u64| vec![Cursor::live(from); partitions];
    let digits = match (&session.start, chain) {
        (Start::Live { from }, _) | (Start::Committed { from }, None) => return Ok(live(*from)),
        (Start::Committed { .. }, Some(chain)) => {
            let again = chain.iter().zip(settled);
            return Ok(again.map(|(c, settled)| c.again_from(*settled)).collect());
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
    Ok(start.into_iter().map(Cursor::exact).collect())
}

/// The first event that has not come.
fn pending(log: &Log, interest: Interest, cursors: &[Cursor]) -> Option<(usize, u64, u64)> {
    cursors.iter().enumerate().find_map(|(partition, cursor)| {
        let (offset, record) = cursor.missing(log, interest, partition, u64::MAX)?;
        Some((partition, offset, record.number))
    })
}
