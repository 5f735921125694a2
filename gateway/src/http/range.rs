//! Start and end of a stream, from what its client asks for and what the topic still holds.

use std::time::Duration;

use datastream_protocol::position::{Position, Seq, SeqError};
use datastream_source::{Bounds, SourceError};
use jiff::Timestamp;
use tokio::time::timeout;

use crate::access::{Refusal, StreamRequest};
use crate::fanout::CatchUpContext;
use crate::ingest::seek;

/// Milliseconds by which a client's clock may be ahead of ours.
const CLOCK_SKEW_MS: i64 = 60_000;

/// Time a request may wait for its turn at reading the topic, or for what the topic holds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Start and, perhaps, end of a stream.
#[derive(Debug)]
pub(crate) struct Range {
    /// The first events that it sees.
    pub start: Position,
    /// Position at which it ends (`seq_end`).
    pub end: Option<Position>,
    /// Events between the position that was asked for or committed and `start` have expired.
    pub gap: bool,
    /// The client said where to start.
    pub chosen: bool,
}

/// Start that the client asks for.
struct Wanted {
    parameter: &'static str,
    start: Position,
    /// Wherever the log begins by now (`seq_start=0`).
    from_beginning: bool,
}

/// Finds the range of a request.
///
/// # Errors
/// Parameters that make no sense, events that have expired, or a topic that cannot be asked.
pub(crate) async fn resolve(
    context: &CatchUpContext,
    request: &StreamRequest,
) -> Result<Range, Refusal> {
    let head = context.ring.head();
    let from_earliest = match request.on_gap.as_deref() {
        None => false,
        Some("earliest") => true,
        Some(other) => {
            let reason = format!("{other:?} is unknown; the only value is earliest");
            return Err(bad("on_gap", reason));
        }
    };
    let Some(wanted) = wanted(context, request, &head).await? else {
        // The DSS Browser never sends an end without a start; for others, an end alone says nothing.
        return Ok(Range {
            start: head,
            end: None,
            gap: false,
            chosen: false,
        });
    };
    let mut start = wanted.start;
    let end = match &request.end {
        Some(end) => Some(parse(context, end, "seq_end", &head, Seq::parse_end).await?),
        None => None,
    };
    if end
        .as_ref()
        .is_some_and(|end| start.covers(end) && start != *end)
    {
        let reason = format!(
            "is before {}: give the smaller number as seq_start",
            wanted.parameter
        );
        return Err(bad("seq_end", reason));
    }
    let bounds = bounds(context).await?;
    if is_beyond(context, &start, &bounds).await? {
        let next = Seq::starting_at(&newest(&bounds, &head));
        let reason = format!("no event has this number yet; the next one will have {next}");
        return Err(bad(wanted.parameter, reason));
    }
    let earliest = earliest(&bounds);
    let gap = !start.covers(&earliest) && !wanted.from_beginning;
    if gap && !from_earliest {
        return Err(Refusal::Gone {
            parameter: wanted.parameter,
            earliest: Seq::starting_at(&earliest).to_string(),
        });
    }
    start.merge(&earliest);
    Ok(Range {
        start,
        end,
        gap,
        chosen: true,
    })
}

/// The start that the client asks for; none if it names none. A browser that connects again repeats the URL that it was given, and
/// names the last event that it has had beside it: that counts.
async fn wanted(
    context: &CatchUpContext,
    request: &StreamRequest,
    head: &Position,
) -> Result<Option<Wanted>, Refusal> {
    let handled = [
        ("Last-Event-ID", &request.last_event_id),
        ("ack", &request.ack),
    ];
    let mut handled = handled
        .into_iter()
        .filter_map(|(name, seq)| Some((name, seq.as_deref()?)));
    let (last, second) = (handled.next(), handled.next());
    let own = request.start.is_some() || request.time.is_some();
    if let Some((parameter, _)) = second.or(last.filter(|(name, _)| own && *name == "ack")) {
        let reason = "says where to go on: give no other start beside it".to_owned();
        return Err(bad(parameter, reason));
    }
    if let Some((parameter, seq)) = last {
        return Ok(Some(Wanted {
            parameter,
            start: parse(context, seq, parameter, head, Seq::parse_end).await?,
            from_beginning: false,
        }));
    }
    let wanted = match (&request.start, &request.time) {
        (Some(_), Some(_)) => {
            let reason = "give it or seq_start, not both".to_owned();
            return Err(bad("time_start", reason));
        }
        (Some(text), None) => Wanted {
            parameter: "seq_start",
            start: parse(context, text, "seq_start", head, Seq::parse_start).await?,
            from_beginning: text.bytes().all(|b| b == b'0'),
        },
        (None, Some(text)) => Wanted {
            parameter: "time_start",
            start: at_time(context, text).await?,
            from_beginning: false,
        },
        (None, None) => return Ok(None),
    };
    Ok(Some(wanted))
}

/// The range of a stream that goes on from a committed position. Where the first events behind it have expired, it starts at
/// the earliest that is left: a client that never says where it starts could not do anything about a refusal.
///
/// # Errors
/// The topic cannot be asked, or ends before the position: what comes up to there would be passed over.
pub(crate) async fn after(context: &CatchUpContext, committed: Position) -> Result<Range, Refusal> {
    // Added partitions are read from their start.
    let mut start = Position::start(context.ring.head().partitions());
    start.merge(&committed);
    let bounds = bounds(context).await?;
    if is_beyond(context, &start, &bounds).await? {
        let committed = Seq::starting_at(&start);
        let next = Seq::starting_at(&newest(&bounds, &context.ring.head()));
        let reason = format!(
            "the committed position is {committed}, but the next event of the topic will have {next}: the topic was deleted and made again, or has \
             lost records; delete the subscription and create it again, so that its position is forgotten"
        );
        return Err(bad("resume", reason));
    }
    let earliest = earliest(&bounds);
    let gap = !start.covers(&earliest);
    start.merge(&earliest);
    Ok(Range {
        start,
        end: None,
        gap,
        chosen: false,
    })
}

/// Asks which records the log holds, by partition.
///
/// # Errors
/// The topic cannot be asked.
pub(crate) async fn bounds(context: &CatchUpContext) -> Result<Vec<Bounds>, Refusal> {
    let bounds = timeout(PATIENCE, context.source.bounds()).await;
    let bounds = bounds.map_err(|_| Refusal::Unavailable(SILENT))?;
    bounds.map_err(unreachable)
}

const SILENT: &str = "the topic cannot be asked for what it holds: try again shortly";

/// The beginning of the log.
pub(crate) fn earliest(bounds: &[Bounds]) -> Position {
    Position::new(bounds.iter().map(|b| b.start).collect::<Vec<_>>())
}

/// The end of the log as far as anybody here knows.
pub(crate) fn newest(bounds: &[Bounds], head: &Position) -> Position {
    let mut newest = Position::new(bounds.iter().map(|b| b.end).collect::<Vec<_>>());
    newest.merge(head);
    newest
}

/// Returns whether the log ends before a position, by its own servers where it seems so.
async fn is_beyond(
    context: &CatchUpContext,
    position: &Position,
    bounds: &[Bounds],
) -> Result<bool, Refusal> {
    let head = context.ring.head();
    for (held, partition) in bounds.iter().zip(0..) {
        let next = position.next(partition);
        if next > held.end.max(head.next(partition))
            && !is_there(context, partition, next - 1).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether there is, or was, an event at this offset, which is beyond what is known of the log: clients may have seen
/// it on another gateway.
async fn is_there(context: &CatchUpContext, partition: u32, offset: u64) -> Result<bool, Refusal> {
    let _turn = turn(context).await?;
    let there = context.source.exists(partition, offset).await;
    there.map_err(unreachable)
}

/// A turn at reading the topic.
async fn turn(context: &CatchUpContext) -> Result<impl Drop + '_, Refusal> {
    let Ok(turn) = timeout(PATIENCE, context.replay_permits.acquire()).await else {
        return Err(Refusal::busy(
            "replays/gateway",
            "many clients ask for old events at once",
        ));
    };
    turn.map_err(|_| Refusal::Unavailable("this gateway is shutting down: connect again"))
}

/// The position of the first events that the broker took at `text` or later. Where that may be among those that have
/// expired, it is just before the earliest that is left.
async fn at_time(context: &CatchUpContext, text: &str) -> Result<Position, Refusal> {
    // A `+` that was not percent-encoded arrives as a space.
    let time: Timestamp = text.replace(' ', "+").parse().map_err(|_| {
        let reason = format!(
            "{text:?} is no RFC 3339 time with its zone, as in 2026-11-24T08:00:00Z or 2026-11-24T09:00:00%2B01:00 (%2B is a + in a URL)"
        );
        bad("time_start", reason)
    })?;
    let time_ms = time.as_millisecond();
    if time_ms > Timestamp::now().as_millisecond() + CLOCK_SKEW_MS {
        return Err(bad("time_start", format!("{text:?} is in the future")));
    }
    let bounds = bounds(context).await?;
    let _turn = turn(context).await?;
    let mut next = Vec::with_capacity(bounds.len());
    for (held, partition) in bounds.iter().zip(0..) {
        let found = seek(context.source.as_ref(), partition, *held, time_ms)
            .await
            .map_err(unreachable)?;
        let maybe_expired = found <= held.start && held.start > 0;
        next.push(found - u64::from(maybe_expired));
    }
    Ok(Position::new(next))
}

/// The position that a number stands for. One that is none is told which there are.
async fn parse(
    context: &CatchUpContext,
    text: &str,
    parameter: &'static str,
    head: &Position,
    read: fn(&str, u32) -> Result<Position, SeqError>,
) -> Result<Position, Refusal> {
    match read(text, head.partitions()) {
        Ok(position) => Ok(position),
        Err(error) => {
            let bounds = bounds(context).await?;
            let first = Seq::starting_at(&earliest(&bounds));
            let next = Seq::starting_at(&newest(&bounds, head));
            let reason = format!(
                "{text:?} is {error}; a stream can start from {first} to {next}, and 0 is the earliest"
            );
            Err(bad(parameter, reason))
        }
    }
}

fn bad(parameter: &'static str, reason: String) -> Refusal {
    Refusal::BadPosition { parameter, reason }
}

fn unreachable(error: SourceError) -> Refusal {
    tracing::warn!(%error, "cannot read which events can be replayed");
    Refusal::Unavailable(
        "the topic cannot be reached to find the start: try again shortly, or without one",
    )
}
