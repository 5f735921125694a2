//! The load generator: one thread that sends events to servers and reads all of their clients, and costs little itself.

use std::io::ErrorKind;
use std::thread::yield_now;
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use mio::{Events, Poll, Token};

use crate::clock::clock;
use crate::connection::{Connection, Endpoint};
use crate::feed::{Feed, SENT};
use crate::pattern::{Pattern, Receivers};

/// Connections to a server at the most.
const MOST: usize = 1 << 16;
/// Connections that open at once.
const OPENING: usize = 64;
/// Bytes that are read at once.
const READ: usize = 256 << 10;
/// Microseconds for which more is expected of a server that has just sent something. Whoever sleeps meanwhile has to be woken by the
/// server's `write`, which would be counted as the server's work; a client on another machine costs it nothing like that.
const AWAKE: u64 = 200;
/// Microseconds below which the next event is not slept for: a wait for sockets ends up to a millisecond late, and what is due each 20 us
/// would go out 50 at once.
const NAP: u64 = 1_000;
/// Microseconds by which an event may be late before it counts as sent when it was due: what waits for a server that is behind.
const LATE: u64 = 2_000;
/// Time after which deliveries are given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The clients of one server, and the way in for events.
struct Crowd {
    feed: Feed,
    connections: Vec<Connection>,
    /// Connections that the server has closed.
    closed: usize,
    seen: Seen,
}

/// Deliveries of a turn.
struct Seen {
    finder: Finder<'static>,
    received: u64,
    /// By the number of the connection.
    by_connection: Vec<u32>,
    /// Microseconds from sending.
    ages: Vec<u32>,
    last: u64,
}

impl Seen {
    fn note(&mut self, number: usize, payload: &[u8]) {
        let now = clock();
        for at in self.finder.find_iter(payload) {
            let digits = payload[at + SENT.len()..].iter();
            let digits = digits.take_while(|byte| byte.is_ascii_digit());
            let sent = digits.fold(0, |sent, digit| sent * 10 + u64::from(digit - b'0'));
            self.ages.push(now.saturating_sub(sent) as u32);
            self.by_connection[number] += 1;
            self.received += 1;
            self.last = now;
        }
    }
}

/// The deliveries of a turn.
pub(crate) struct Delivered {
    #[allow(dead_code, reason = "not every bench asks")]
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    pub(crate) seconds: f64,
    /// Microseconds from sending, sorted.
    pub(crate) ages: Vec<u32>,
    /// Deliveries that have not come, or too often.
    pub(crate) wrong: u64,
    /// Connections that the server has closed so far.
    pub(crate) closed: usize,
}

/// Clients and feeds of all servers.
pub(crate) struct Generator {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    crowds: Vec<Crowd>,
}

impl Generator {
    pub(crate) fn new() -> Self {
        Self {
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            buffer: vec![0; READ],
            crowds: vec![],
        }
    }

    /// Opens so many connections to a server. Returns its number here.
    pub(crate) fn open(&mut self, endpoint: &Endpoint, mut feed: Feed, count: usize) -> usize {
        let crowd = self.crowds.len();
        feed.register(self.poll.registry(), token(crowd, MOST));
        self.crowds.push(Crowd {
            feed,
            connections: Vec::with_capacity(count),
            closed: 0,
            seen: Seen {
                finder: Finder::new(SENT),
                received: 0,
                by_connection: vec![0; count],
                ages: vec![],
                last: 0,
            },
        });
        for first in (0..count).step_by(OPENING) {
            let numbers = first..count.min(first + OPENING);
            for number in numbers.clone() {
                let registry = self.poll.registry();
                let connection =
                    Connection::start(endpoint, number, registry, token(crowd, number));
                self.crowds[crowd].connections.push(connection);
            }
            let give_up = Instant::now() + PATIENCE;
            while !self.crowds[crowd].connections[numbers.clone()]
                .iter()
                .all(Connection::is_open)
            {
                assert!(Instant::now() < give_up, "not all connections have opened");
                self.poll(Duration::from_millis(10));
            }
        }
        crowd
    }

    /// Does nothing but what is asked of clients, such as answers to heartbeats.
    pub(crate) fn idle(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.poll(left);
        }
    }

    /// Sends events to a server for this time, and waits until all have arrived.
    pub(crate) fn turn(&mut self, crowd: usize, pattern: Pattern, time: Duration) -> Delivered {
        let seen = &mut self.crowds[crowd].seen;
        seen.received = 0;
        seen.by_connection.fill(0);
        seen.ages.clear();
        let connections = seen.by_connection.len();
        let per_event = pattern.receivers_of(connections) as u64;
        let start = clock();
        let end = start + time.as_micros() as u64;
        let (mut sent, mut due) = (0_u64, start);
        loop {
            let now = clock();
            let Crowd { feed, seen, .. } = &mut self.crowds[crowd];
            let mut full = false;
            if now < end {
                let arrived = match pattern.to {
                    Receivers::One => seen.received,
                    Receivers::All => u64::from(*seen.by_connection.iter().min().unwrap()),
                    Receivers::Nobody => sent.saturating_sub(feed.waiting() as u64),
                };
                while due <= now {
                    full = sent - arrived >= pattern.window;
                    if full {
                        break;
                    }
                    let to = match pattern.to {
                        Receivers::All => None,
                        Receivers::One => Some(sent as usize % connections),
                        Receivers::Nobody => Some(connections),
                    };
                    let at = if pattern.interval > 0 && now > due + LATE {
                        due
                    } else {
                        now
                    };
                    feed.send(to, at);
                    sent += 1;
                    if sent.is_multiple_of(pattern.burst) {
                        due += pattern.interval;
                    }
                }
            } else if seen.received == sent * per_event || now > end + PATIENCE.as_micros() as u64 {
                break;
            }
            feed.flush();
            let on_the_way = seen.received < sent * per_event;
            let wait = if now < end && !full {
                due.saturating_sub(now)
            } else {
                NAP
            };
            let timeout = if wait < NAP || on_the_way && now < seen.last + AWAKE {
                Duration::ZERO
            } else {
                Duration::from_micros(wait)
            };
            if !self.poll(timeout) && timeout.is_zero() {
                // Others of this core, such as the broker, may be what is waited for.
                yield_now();
            }
        }
        let Crowd { seen, closed, .. } = &mut self.crowds[crowd];
        let wrong = seen.wrong(pattern, sent);
        let mut ages = std::mem::take(&mut seen.ages);
        let last = match pattern.to {
            Receivers::Nobody => clock(),
            _ => seen.last,
        };
        let seconds = (last - start) as f64 / 1e6;
        ages.sort_unstable();
        Delivered {
            events: sent,
            deliveries: sent * per_event,
            seconds,
            ages,
            wrong,
            closed: *closed,
        }
    }

    /// Waits for sockets, and reads them. Returns whether there were any.
    fn poll(&mut self, timeout: Duration) -> bool {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return false,
            polled => polled.unwrap(),
        }
        for event in &self.events {
            let Token(token) = event.token();
            let crowd = &mut self.crowds[token / (MOST + 1)];
            let number = token % (MOST + 1);
            if number == MOST {
                crowd.feed.flush();
                continue;
            }
            let connection = &mut crowd.connections[number];
            let number = connection.number();
            let seen = &mut crowd.seen;
            let was_closed = connection.is_closed();
            connection.read(&mut self.buffer, |payload| seen.note(number, payload));
            crowd.closed += usize::from(connection.is_closed() && !was_closed);
        }
        !self.events.is_empty()
    }
}

impl Seen {
    /// The deliveries that have not come to whom they were meant for, or too often.
    fn wrong(&self, pattern: Pattern, sent: u64) -> u64 {
        let connections = self.by_connection.len();
        let wrong = self.by_connection.iter().enumerate();
        let wrong = wrong.map(|(number, received)| {
            let expected = match pattern.to {
                Receivers::One => (sent + (connections - 1 - number) as u64) / connections as u64,
                Receivers::All => sent,
                Receivers::Nobody => 0,
            };
            expected.abs_diff((*received).into())
        });
        wrong.sum()
    }
}

/// The token of a connection, or, behind the last one, of the feed.
const fn token(crowd: usize, number: usize) -> Token {
    Token(crowd * (MOST + 1) + number)
}
