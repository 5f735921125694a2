//! The checker finds every planted fault, and none where there is none.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::*;

const DEVICES: u8 = 4;

/// Makes histories as a gateway without faults would.
struct Model {
    rng: StdRng,
    log: Log,
    interest: Interest,
}

impl Model {
    fn new(seed: u64, partitions: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut log = Log::new(partitions);
        for number in 0..rng.random_range(50..300) {
            let device = (!rng.random_bool(0.05)).then(|| rng.random_range(0..DEVICES));
            let partition = rng.random_range(0..partitions);
            log.partitions[partition].push(Record {
                number,
                device,
                lost: false,
            });
        }
        let interest = Interest::exactly(rng.random_range(1..15));
        Self { rng, log, interest }
    }

    /// Everything from `start` on, in one of the orders in which it can come, up to `end`.
    fn events(&mut self, start: &[u64], end: Option<&Seq>) -> Vec<Received> {
        let mut order: Vec<usize> = vec![];
        for (partition, records) in self.log.partitions.iter().enumerate() {
            let until = end.map_or(records.len(), |e| e.next[partition] as usize);
            order.extend((start[partition] as usize..until).map(|_| partition));
        }
        order.shuffle(&mut self.rng);
        let mut next = start.to_vec();
        let mut events = vec![];
        for own in order {
            let record = self.log.partitions[own][next[own] as usize];
            next[own] += 1;
            if self.interest.must(&record) {
                let seq = Seq {
                    next: next.clone().into(),
                    own,
                    after: false,
                };
                events.push(Received {
                    seq,
                    number: record.number,
                    device: record.device.unwrap(),
                });
            }
        }
        events
    }

    fn session(start: Start, events: Vec<Received>, outcome: Outcome) -> Session {
        Session {
            gateway: 0,
            start,
            end: None,
            on_gap: false,
            markers: false,
            opened: Instant::now(),
            ended: Some(Instant::now()),
            gap: None,
            live: None,
            events,
            heartbeats: vec![],
            outcome,
        }
    }

    /// A client that resumes with its last number plus one.
    fn resuming(&mut self) -> History {
        let mut sessions = vec![];
        let mut start = "0".to_owned();
        for _ in 0..self.rng.random_range(0..5) {
            let mut events = self.events(&self.start_of(&start), None);
            events.truncate(self.rng.random_range(0..=events.len()));
            let next = events.last().map(|e| e.seq.plus_one());
            sessions.push(Self::session(
                Start::Seq(start.clone()),
                events,
                Outcome::Lost,
            ));
            start = next.unwrap_or(start);
        }
        let events = self.events(&self.start_of(&start), None);
        sessions.push(Self::session(Start::Seq(start), events, Outcome::Open));
        self.history(Contract::Resume, sessions)
    }

    fn start_of(&self, digits: &str) -> Vec<u64> {
        let partitions = self.log.partitions.len();
        match digits {
            "0" => vec![0; partitions],
            digits => Seq::parse(digits, partitions).unwrap().start(),
        }
    }

    fn history(&self, contract: Contract, sessions: Vec<Session>) -> History {
        History {
            client: "model".to_owned(),
            contract,
            interest: self.interest,
            sessions,
        }
    }

    /// Any event of a history: its connection and its place there.
    fn any(&mut self, history: &History) -> Option<(usize, usize)> {
        let all = history.sessions.iter().enumerate();
        let all: Vec<_> = all
            .flat_map(|(s, session)| (0..session.events.len()).map(move |e| (s, e)))
            .collect();
        (!all.is_empty()).then(|| all[self.rng.random_range(0..all.len())])
    }
}

fn what(log: &Log, history: &History) -> What {
    check(log, history).expect_err("a planted fault").what
}

fn is_lost(found: &Result<Standing, What>) -> bool {
    matches!(found, Err(What::Lost { .. }))
}

proptest! {
    #[test]
    fn a_correct_history_passes_and_is_complete(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let history = model.resuming();
        let standing = check(&model.log, &history).map_err(|v| TestCaseError::fail(v.to_string()))?;
        prop_assert_eq!(standing.pending, None);
    }

    #[test]
    fn a_lost_event_is_found(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let mut history = model.resuming();
        let Some((session, event)) = model.any(&history) else { return Ok(()) };
        let lost = history.sessions[session].events.remove(event);
        match check(&model.log, &history) {
            // It may still come.
            Ok(standing) => prop_assert_eq!(standing.pending.map(|p| p.2), Some(lost.number)),
            Err(violation) => {
                let number = lost.number;
                let found = matches!(violation.what, What::Lost { number: n, .. } if n == number);
                prop_assert!(found, "{}", violation);
            }
        }
    }

    #[test]
    fn a_duplicate_event_is_found(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let mut history = model.resuming();
        let Some((session, event)) = model.any(&history) else { return Ok(()) };
        let events = &mut history.sessions[session].events;
        let at = model.rng.random_range(event + 1..=events.len());
        events.insert(at, events[event].clone());
        prop_assert_eq!(what(&model.log, &history), What::Doubled);
    }

    #[test]
    fn events_out_of_order_are_found(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let mut history = model.resuming();
        let Some((session, event)) = model.any(&history) else { return Ok(()) };
        let events = &mut history.sessions[session].events;
        let own = events[event].seq.own;
        let Some(later) = (event + 1..events.len()).find(|e| events[*e].seq.own == own) else {
            return Ok(());
        };
        events.swap(event, later);
        prop_assert!(matches!(what(&model.log, &history), What::Reordered(..)));
    }

    #[test]
    fn foreign_and_altered_events_are_found(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let mut history = model.resuming();
        let Some((session, event)) = model.any(&history) else { return Ok(()) };
        let found = &mut history.sessions[session].events[event];
        let device = found.device;
        found.number += 1;
        prop_assert!(matches!(what(&model.log, &history), What::Altered(Some(_))));
        history.sessions[session].events[event].number -= 1;
        history.interest = Interest::exactly(model.interest.must & !(1 << device));
        prop_assert_eq!(what(&model.log, &history), What::Foreign);
        // Unless it may come.
        history.interest.may = model.interest.must;
        prop_assert!(check(&model.log, &history).is_ok());
    }

    #[test]
    fn a_connection_that_begins_too_early_or_too_late_is_found(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let all = model.events(&vec![0; partitions], None);
        prop_assume!(all.len() > 2);
        let at = model.rng.random_range(1..all.len() - 1);
        let start = Start::Seq(all[at].seq.digits());
        let one = |events: &[Received]| {
            let session = Model::session(start.clone(), events.to_vec(), Outcome::Left);
            check(&model.log, &model.history(Contract::Apart, vec![session])).map_err(|v| v.what)
        };
        prop_assert!(one(&all[at..]).is_ok());
        prop_assert!(matches!(one(&all[at - 1..]), Err(What::TooEarly(_))));
        prop_assert!(is_lost(&one(&all[at + 1..])));
    }

    #[test]
    fn events_after_seq_end_are_violations(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let all = model.events(&vec![0; partitions], None);
        prop_assume!(all.len() > 2);
        let end = all[model.rng.random_range(1..all.len() - 1)].seq.clone();
        let events = model.events(&vec![0; partitions], Some(&end));
        let done = Outcome::Closed { code: 1000, reason: "seq_end reached".to_owned() };
        let one = |events: Vec<Received>| {
            let session = Session {
                end: Some(end.clone()),
                ..Model::session(Start::Seq("0".to_owned()), events, done.clone())
            };
            check(&model.log, &model.history(Contract::Apart, vec![session])).map_err(|v| v.what)
        };
        prop_assert!(one(events.clone()).is_ok());
        let early = one(events[..events.len() - 1].to_vec());
        prop_assert!(is_lost(&early));
        let place = |e: &Received| (e.seq.own, e.seq.offset());
        let beyond = all.iter().find(|e| e.seq.offset() >= end.next[e.seq.own]).unwrap();
        let mut more = events;
        more.push(beyond.clone());
        let found = one(more.clone());
        prop_assert!(found.is_err(), "{:?} after {:?}: {:?}", place(beyond), end, found);
    }

    #[test]
    fn a_live_stream_begins_no_later_than_the_next_produced_event(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let all = model.events(&vec![0; partitions], None);
        prop_assume!(all.len() > 2);
        // In one partition what is left out at the front shows where the stream began.
        let at = model.rng.random_range(0..all.len() - 1);
        let one = |from: u64| {
            let session = Model::session(Start::Live { from }, all[at..].to_vec(), Outcome::Open);
            check(&model.log, &model.history(Contract::Apart, vec![session])).map_err(|v| v.what)
        };
        let left_out = all[..at].iter().map(|e| e.number).max();
        prop_assert!(one(left_out.map_or(0, |n| n + 1)).is_ok());
        if let Some(number) = left_out {
            prop_assert!(is_lost(&one(number)));
        }
    }

    #[test]
    fn a_committed_stream_resumes_between_its_acknowledged_and_its_last_event(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let all = model.events(&vec![0; partitions], None);
        prop_assume!(all.len() > 4);
        let seen = model.rng.random_range(3..all.len());
        let settled = model.rng.random_range(1..seen - 1);
        let first = Session {
            heartbeats: [vec![settled], vec![seen - 1; SETTLED]].concat(),
            ..Model::session(Start::Committed { from: 0 }, all[..seen].to_vec(), Outcome::Lost)
        };
        let again = |from: usize| {
            let second = Model::session(Start::Committed { from: 0 }, all[from..].to_vec(), Outcome::Open);
            let sessions = vec![first.clone(), second];
            check(&model.log, &model.history(Contract::Committed, sessions)).map_err(|v| v.what)
        };
        prop_assert_eq!(again(settled).map(|s| s.pending), Ok(None));
        prop_assert_eq!(again(seen - 1).map(|s| s.pending), Ok(None));
        prop_assert!(matches!(again(settled - 1), Err(What::TooEarly(_))));
        if seen + 1 < all.len() {
            prop_assert!(is_lost(&again(seen + 1)));
        }
    }
}

#[test]
fn a_close_for_no_valid_reason_is_a_violation() {
    let model = Model::new(1, 1);
    let ends = |outcome: Outcome| {
        let session = Model::session(Start::Live { from: 1000 }, vec![], outcome);
        check(&model.log, &model.history(Contract::Apart, vec![session])).map_err(|v| v.what)
    };
    let closed = |code: u16, reason: &str| Outcome::Closed {
        code,
        reason: reason.to_owned(),
    };
    assert!(ends(closed(1001, "the gateway is shutting down")).is_ok());
    assert!(ends(Outcome::Lost).is_ok());
    for wrong in [
        closed(1000, "done"),
        closed(1008, ""),
        closed(1011, "expired"),
        Outcome::Dropped {
            how: "reset".to_owned(),
        },
    ] {
        assert_eq!(ends(wrong), Err(What::WrongClose));
    }
}

#[test]
fn sequence_numbers_are_parsed_as_decision_2_says() {
    let digits = format!("1{:015}{:015}{:03}", 7, 3, 2);
    let seq = Seq::parse(&digits, 2).unwrap();
    assert_eq!((&*seq.next, seq.own, seq.offset()), (&[7, 3][..], 1, 2));
    assert_eq!(seq.digits(), digits);
    assert_eq!(seq.start(), [7, 2]);
    let after = Seq::parse(&seq.plus_one(), 2).unwrap();
    assert_eq!(after.start(), [7, 3]);
    assert_eq!(Seq::parse("8", 1).unwrap().start(), [7]);
    assert_eq!(Seq::parse("8", 1).unwrap().plus_one(), "9");
    assert_eq!(Seq::parse("8", 2), None);
}

/// Returns the events that a stream from the beginning of a partition sees whose first events have expired.
fn expired(model: &mut Model, until: u64) -> Vec<Received> {
    model.log.evictions.push(Eviction {
        partition: 0,
        at: Instant::now(),
        start: until,
    });
    let mut start = vec![0; model.log.partitions.len()];
    start[0] = until;
    model.events(&start, None)
}

/// The number to start with at this position.
fn digits(next: &[u64]) -> String {
    let seq = Seq {
        next: next.into(),
        own: 0,
        after: true,
    };
    seq.digits()
}

proptest! {
    #[test]
    fn expired_events_may_be_missing_if_announced(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let length = model.log.partitions[0].len() as u64;
        prop_assume!(length > 2);
        let until = model.rng.random_range(1..length);
        let zero = vec![0; partitions];
        let first = digits(&zero);
        let before = model.events(&zero, None);
        let events = expired(&mut model, until);
        let lost = before.len() > events.len() && !events.is_empty();
        let one = |start: &str, change: &dyn Fn(&mut Session)| {
            let mut session = Model::session(Start::Seq(start.to_owned()), events.clone(), Outcome::Left);
            change(&mut session);
            check(&model.log, &model.history(Contract::Apart, vec![session])).map_err(|v| v.what)
        };
        let mut begins = zero.clone();
        begins[0] = until;
        let marker = Seq::parse(&digits(&begins), partitions);
        // Where nobody said so, it is lost.
        prop_assert_eq!(is_lost(&one(&first, &|_| ())), lost);
        prop_assert!(one("0", &|_| ()).is_ok());
        prop_assert!(one(&first, &|s| s.on_gap = true).is_ok());
        let announced = |s: &mut Session| (s.on_gap, s.markers) = (true, true);
        prop_assert_eq!(is_lost(&one(&first, &announced)), lost);
        let announced_where = |s: &mut Session| { announced(s); s.gap.clone_from(&marker); };
        prop_assert!(one(&first, &announced_where).is_ok());
        // Not before it has expired, not without being asked, not more than has.
        let early = |s: &mut Session| {
            announced(s);
            s.gap.clone_from(&marker);
            s.opened = model.log.evictions[0].at.checked_sub(Duration::from_secs(1)).unwrap();
        };
        prop_assert!(matches!(one(&first, &early), Err(What::WrongGap(_))));
        let unasked = |s: &mut Session| s.gap.clone_from(&marker);
        prop_assert!(matches!(one(&first, &unasked), Err(What::WrongGap(_))));
        begins[0] = until + 1;
        let more = Seq::parse(&digits(&begins), partitions);
        let more = |s: &mut Session| { announced(s); s.gap.clone_from(&more); };
        prop_assert!(matches!(one(&first, &more), Err(What::WrongGap(_))));
    }

    #[test]
    fn a_refusal_or_close_for_unexpired_events_is_a_violation(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let length = model.log.partitions[0].len() as u64;
        prop_assume!(length > 2);
        let until = model.rng.random_range(1..length);
        let mut begins = vec![0; partitions];
        let first = digits(&begins);
        let events = expired(&mut model, until);
        begins[0] = until;
        let left = digits(&begins);
        let earliest = Seq::parse(&left, partitions).unwrap();
        let gone = |start: &str, earliest: &Seq| {
            let outcome = Outcome::Gone { earliest: earliest.clone() };
            let refused = Model::session(Start::Seq(start.to_owned()), vec![], outcome);
            let again = Model::session(Start::Seq(left.clone()), events.clone(), Outcome::Open);
            check(&model.log, &model.history(Contract::Resume, vec![refused, again])).map_err(|v| v.what)
        };
        prop_assert_eq!(gone(&first, &earliest).map(|s| s.pending), Ok(None));
        prop_assert!(matches!(gone(&left, &earliest), Err(What::WrongGap(_))));
        begins[0] += 1;
        let more = Seq::parse(&digits(&begins), partitions).unwrap();
        prop_assert!(matches!(gone(&first, &more), Err(What::WrongGap(_))));
        let closed = |start: &str| {
            let outcome = Outcome::Closed { code: 1011, reason: "expired".to_owned() };
            let session = Model::session(Start::Seq(start.to_owned()), vec![], outcome);
            check(&model.log, &model.history(Contract::Apart, vec![session])).map_err(|v| v.what)
        };
        prop_assert!(closed(&first).is_ok());
        prop_assert_eq!(closed(&left), Err(What::WrongClose));
    }

    #[test]
    fn events_missing_before_the_live_marker_are_violations(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let all = model.events(&vec![0; partitions], None);
        prop_assume!(all.len() > 2);
        let at = model.rng.random_range(1..all.len());
        let one = |live: usize| {
            let live = Some((at, all[live].seq.clone())).map(|(n, seq)| (n, Seq { after: true, ..seq }));
            let session = Session {
                live,
                ..Model::session(Start::Seq("0".to_owned()), all[..at].to_vec(), Outcome::Lost)
            };
            check(&model.log, &model.history(Contract::Apart, vec![session])).map_err(|v| v.what)
        };
        prop_assert!(one(at - 1).is_ok());
        prop_assert!(is_lost(&one(at)));
    }

    #[test]
    fn missing_duplicate_and_unordered_stored_events_are_violations(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let mut stored = Stored {
            interest: model.interest,
            begin: Begin::Earliest,
            volumes: vec![Volume {
                events: model.events(&vec![0; partitions], None),
                ..Volume::default()
            }],
            damaged: BTreeSet::new(),
            gaps: vec![],
        };
        prop_assume!(stored.volumes[0].events.len() > 3);
        prop_assert_eq!(check_stored(&model.log, &stored), Ok(None));
        let at = model.rng.random_range(0..stored.volumes[0].events.len());
        let event = stored.volumes[0].events.remove(at);
        let (own, offset) = (event.seq.own, event.seq.offset());
        let mut passed = stored.volumes[0].events.iter().filter(|e| e.seq.own == own).map(|e| e.seq.offset());
        let passed = passed.any(|o| o > offset) || stored.volumes[0].events[0].seq.start()[own] > offset;
        let found = check_stored(&model.log, &stored);
        if passed {
            prop_assert!(found.is_err());
        } else {
            prop_assert_eq!(found, Ok(Some((own, offset, event.number))));
        }
        // It is excused by a gap that is recorded and true.
        let mut before = vec![0; partitions];
        before[own] = offset + 1;
        stored.gaps.push(("0".to_owned(), digits(&before)));
        prop_assert!(check_stored(&model.log, &stored).is_err());
        let eviction = Eviction { partition: own, at: Instant::now(), start: offset + 1 };
        model.log.evictions.push(eviction);
        prop_assert_eq!(check_stored(&model.log, &stored), Ok(None));
        let again = stored.volumes[0].events[0].clone();
        stored.volumes[0].events.push(again);
        prop_assert!(check_stored(&model.log, &stored).is_err());
    }

    #[test]
    fn damage_to_a_store_excuses_only_its_own_effects(seed: u64, partitions in 1..4_usize) {
        let mut model = Model::new(seed, partitions);
        let events = model.events(&vec![0; partitions], None);
        prop_assume!(events.len() > 6);
        let volume = |events: &[Received], repeats| Volume { events: events.to_vec(), repeats, unnoticed: false };
        let stored = |volumes| Stored {
            interest: model.interest,
            begin: Begin::Earliest,
            volumes,
            damaged: BTreeSet::new(),
            gaps: vec![],
        };
        let check = |stored: &Stored| check_stored(&model.log, stored);
        let half = events.len() / 2;
        // Moved away in the middle, and continued with an overlap: all together is everything.
        let moved = stored(vec![volume(&events[..half], false), volume(&events[half - 2..], false)]);
        prop_assert_eq!(check(&moved), Ok(None));
        let gap = stored(vec![volume(&events[..half - 1], false), volume(&events[half..], false)]);
        prop_assert!(check(&gap) != Ok(None));
        // One was set aside, perhaps twice.
        let aside = [&events[2..3], &events[2..3]].concat();
        let rest = [&events[..2], &events[3..]].concat();
        prop_assert_eq!(check(&stored(vec![volume(&rest, false), volume(&aside, true)])), Ok(None));
        prop_assert!(check(&stored(vec![volume(&rest, false), volume(&aside, false)])).is_err());
        // A line was destroyed or doubled.
        let place = |event: &Received| (event.seq.own, event.seq.offset());
        for damaged in [rest.clone(), [&events[..], &events[2..3]].concat()] {
            let mut damaged = stored(vec![volume(&damaged, false)]);
            prop_assert!(check(&damaged) != Ok(None));
            damaged.damaged.insert(place(&events[2]));
            prop_assert_eq!(check(&damaged), Ok(None));
        }
        // Lost with a copy that was put in its place, and then the copy was moved away unnoticed: a collector that resumes where the gateway says it was
        // cannot know of it.
        let mut restarted = stored(vec![volume(&rest[..half], false), volume(&events[half..], false)]);
        restarted.begin = Begin::Before(0);
        prop_assert!(check(&restarted) != Ok(None));
        restarted.volumes[0].unnoticed = true;
        prop_assert_eq!(check(&restarted), Ok(None));
        // The broker lost it, and it came before.
        let lost = &events[2];
        let (own, offset) = place(lost);
        let mut log = model.log.clone();
        log.partitions[own][offset as usize].lost = true;
        prop_assert_eq!(check_stored(&log, &stored(vec![volume(&rest, false)])), Ok(None));
        prop_assert_eq!(check_stored(&log, &stored(vec![volume(&events, false)])), Ok(None));
    }
}
