//! Clients that open a stream and close it again, as many a second as asked.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::clock::clock;
use crate::connection::Endpoint;
use crate::frames;
use crate::routes::key;

/// Connections at once: those beyond wait here. The gateway has room for about a thousand that are no streams yet, and closes the
/// oldest when there are more.
pub(crate) const MOST: usize = 2_000;
/// Time after which answers are given up.
const PATIENCE: u64 = 5_000_000;
/// The status code of a normal end, as in a close frame.
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

/// A client.
struct Visitor {
    number: usize,
    socket: TcpStream,
    /// Time at which it connected, in microseconds.
    since: u64,
    /// The request, until it is sent.
    request: Option<Vec<u8>>,
    answered: bool,
}

/// Those that have come and gone.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Those that were answered 101.
    pub(crate) opened: u64,
    /// Those that were answered something else, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Those whose connection ended without an answer, or that got none in time.
    pub(crate) unanswered: u64,
    /// Time from the first connection to the last answer.
    pub(crate) seconds: f64,
    /// Microseconds from connecting to the answer 101, sorted.
    pub(crate) times: Vec<u32>,
}

/// Clients of one gateway, each with a subscription of its own.
pub(crate) struct Visitors {
    poll: Poll,
    events: Events,
    addresses: Vec<SocketAddr>,
    /// Numbers of subscriptions without a stream; those that have been without one for the longest time come first.
    free: VecDeque<usize>,
    /// By token.
    here: Vec<Option<Visitor>>,
    /// Tokens that nobody has.
    places: Vec<usize>,
}

impl Visitors {
    pub(crate) fn new(endpoint: &Endpoint, numbers: Range<usize>) -> Self {
        let addresses = endpoint.addresses.iter();
        Self {
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            addresses: addresses.map(|address| address.parse().unwrap()).collect(),
            free: numbers.collect(),
            here: (0..MOST).map(|_| None).collect(),
            places: (0..MOST).rev().collect(),
        }
    }

    /// Comes so many times a second for this time, and waits for the last answers.
    pub(crate) fn come(&mut self, rate: usize, time: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        let start = clock();
        let end = start + time.as_micros() as u64;
        let asked = rate as u64 * time.as_micros() as u64 / 1_000_000;
        let (mut begun, mut last) = (0, start);
        loop {
            let now = clock();
            if now < end {
                // Those that are due, as far as there is room.
                let due = asked.min((now - start) * rate as u64 / 1_000_000);
                while begun < due && self.start(now) {
                    begun += 1;
                }
            } else if self.places.len() == MOST {
                break;
            } else if now > end + PATIENCE {
                self.give_up(&mut outcome);
                break;
            }
            let polled = self
                .poll
                .poll(&mut self.events, Some(Duration::from_millis(1)));
            match polled {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                polled => polled.unwrap(),
            }
            let tokens: Vec<_> = self.events.iter().map(|event| event.token().0).collect();
            for token in tokens {
                self.look_at(token, &mut outcome, &mut last);
            }
        }
        outcome.seconds = (last - start) as f64 / 1e6;
        outcome.times.sort_unstable();
        outcome
    }

    /// Connects a client. Returns whether there is room for it.
    fn start(&mut self, now: u64) -> bool {
        let (Some(&token), Some(number)) = (self.places.last(), self.free.pop_front()) else {
            return false;
        };
        self.places.pop();
        let address = self.addresses[number % self.addresses.len()];
        let mut socket = TcpStream::connect(address).unwrap();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut socket, Token(token), interest)
            .unwrap();
        let key = key(number);
        let request = format!(
            "GET /stream?stream_key={key} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.here[token] = Some(Visitor {
            number,
            socket,
            since: now,
            request: Some(request.into_bytes()),
            answered: false,
        });
        true
    }

    /// Goes on with a client whose socket is ready.
    fn look_at(&mut self, token: usize, outcome: &mut Outcome, last: &mut u64) {
        let Some(visitor) = &mut self.here[token] else {
            return;
        };
        if let Some(request) = visitor.request.take()
            && visitor.socket.write(&request).is_err()
        {
            // Not connected yet.
            visitor.request = Some(request);
        }
        let mut buffer = [0; 4 << 10];
        loop {
            match visitor.socket.read(&mut buffer) {
                Err(e) if [ErrorKind::WouldBlock, ErrorKind::NotConnected].contains(&e.kind()) => {
                    return;
                }
                Ok(0) | Err(_) => break,
                Ok(length) if !visitor.answered => {
                    visitor.answered = true;
                    let now = clock();
                    *last = now;
                    let answer = String::from_utf8_lossy(&buffer[..length]);
                    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
                    if status == Some(101) {
                        outcome.opened += 1;
                        outcome.times.push((now - visitor.since) as u32);
                        let mut close = vec![];
                        frames::of_client(frames::CLOSE, &NORMAL, &mut close);
                        // If it fails, the gateway has gone, as the next read says.
                        let _ = visitor.socket.write(&close);
                    } else {
                        *outcome.refused.entry(status.unwrap_or(0)).or_default() += 1;
                        break;
                    }
                }
                // The answer to the close frame, before the end.
                Ok(_) => (),
            }
        }
        outcome.unanswered += u64::from(!visitor.answered);
        self.leave(token);
    }

    fn leave(&mut self, token: usize) {
        if let Some(visitor) = self.here[token].take() {
            self.free.push_back(visitor.number);
            self.places.push(token);
        }
    }

    fn give_up(&mut self, outcome: &mut Outcome) {
        for token in 0..MOST {
            let visitor = self.here[token].as_ref();
            outcome.unanswered += u64::from(visitor.is_some_and(|visitor| !visitor.answered));
            self.leave(token);
        }
    }
}
