//! Sequence numbers: they name one event each, lead back to the position that they were made of, and grow.

use datastream_protocol::position::{EventIdentity, MAX_PARTITIONS, Position, Seq, after};

/// The largest number of a topic with one partition, for which there is no next one.
const LAST: u64 = 999_999_999_999_999;

/// Reads a sequence number, and makes numbers of positions that the bytes stand for.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        bounds(text);
        event(text);
        next(text);
    }
    position(data);
    pair(data);
}

/// A text is a start where it is an end, at most one event before it, however many partitions the topic has got since.
fn bounds(text: &str) {
    let mut of_fewer: Option<Position> = None;
    for partitions in [1, 2, 3, 16, MAX_PARTITIONS] {
        let start = Seq::parse_start(text, partitions);
        let end = Seq::parse_end(text, partitions);
        match (&start, &end) {
            (Ok(start), Ok(end)) => {
                assert_eq!(start.partitions(), partitions);
                assert_eq!(end.partitions(), partitions);
                assert!(end.covers(start), "{start:?} {end:?}");
                let ahead: u64 = (0..partitions).map(|p| end.next(p) - start.next(p)).sum();
                assert!(ahead <= 1, "{start:?} {end:?}");
            }
            (Err(start), Err(end)) => assert_eq!(start, end),
            _ => panic!("{start:?} {end:?}"),
        }
        if let Some(fewer) = &of_fewer {
            let end = end.as_ref().unwrap();
            assert!(fewer.covers(end) && end.covers(fewer), "{fewer:?} {end:?}");
        }
        of_fewer = end.ok();
    }
}

/// The number of an event leads to its event and its position, and back.
fn event(text: &str) {
    let Ok((identity, position)) = EventIdentity::of_seq(text) else {
        return;
    };
    let start = Seq::start_of(text).unwrap();
    assert!(identity.is_before(&position) && !identity.is_before(&start));
    let seq = Seq::of(&position, identity.partition);
    assert_eq!(seq.as_str(), text.trim_start_matches('0'));
    let end = Seq::parse_end(text, position.partitions()).unwrap();
    assert_eq!(end, position);
    if position.offsets() != [LAST] {
        let next = after(text).unwrap();
        assert_eq!(Seq::start_of(&next), Ok(position.clone()), "{next}");
        let resumed = Seq::starting_at(&position);
        assert_eq!(Seq::start_of(resumed.as_str()), Ok(position), "{resumed}");
    }
}

/// The next number is one more, as far as integers go, and has as many digits unless all are nines.
fn next(text: &str) {
    let is_decimal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let next = after(text);
    assert_eq!(next.is_some(), is_decimal);
    let Some(next) = next else { return };
    let is_longer = text.bytes().all(|b| b == b'9');
    assert_eq!(next.len(), text.len() + usize::from(is_longer));
    let one_more = text.parse::<u128>().ok().and_then(|n| n.checked_add(1));
    if let Some(one_more) = one_more {
        assert_eq!(next.parse(), Ok(one_more));
    }
}

/// Offsets within what numbers have digits for, of eight bytes each.
fn offsets(data: &[u8]) -> Vec<u64> {
    let all = data.chunks_exact(8).take(MAX_PARTITIONS as usize);
    all.map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()) % (LAST - 1))
        .collect()
}

/// An event at any position has a number, which leads back to both, and the one after it a larger one.
fn position(data: &[u8]) {
    let before = Position::new(offsets(data));
    let partitions = before.partitions();
    if partitions == 0 {
        return;
    }
    let own = u32::from(data[0]) % partitions;
    let mut position = before.clone();
    position.advance(own, before.next(own) + 1);
    let seq = Seq::of(&position, own);
    assert!(seq.as_str().len() <= Seq::max_digits(partitions));
    let identity = EventIdentity {
        partition: own,
        offset: before.next(own),
    };
    let expected = Ok((identity, position.clone()));
    assert_eq!(EventIdentity::of_seq(seq.as_str()), expected);
    assert_eq!(Seq::start_of(seq.as_str()), Ok(before));

    let other = (own + 1) % partitions;
    let mut later = position.clone();
    later.advance(other, position.next(other) + 1);
    let next = Seq::of(&later, other);
    let value = |seq: &Seq| (seq.as_str().len(), seq.as_str().to_owned());
    assert!(value(&seq) < value(&next), "{seq} {next}");
}

/// Two positions have a union, which covers both, and an intersection, which both cover.
fn pair(data: &[u8]) {
    let (one, other) = data.split_at(data.len() / 2);
    let (one, other) = (Position::new(offsets(one)), Position::new(offsets(other)));
    let (union, both) = (one.union(&other), one.intersection(&other));
    assert!(union.covers(&one) && union.covers(&other));
    assert!(one.covers(&both) && other.covers(&both));
    let mut merged = one.clone();
    merged.merge(&other);
    assert!(merged.covers(&one) && union.covers(&merged));
}
