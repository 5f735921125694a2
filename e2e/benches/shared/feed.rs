//! The ways in which events get into a server: lines, NATS' protocol, a topic.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ChildStdin;

use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record};
use mio::net::TcpStream;
use mio::unix::pipe::Sender;
use mio::{Interest, Registry, Token};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// Prefix of the time at which an event was sent, in microseconds of this process' clock.
pub(crate) const SENT: &str = "\"sent\":";
/// Bytes of an event.
pub(crate) const EVENT_BYTES: usize = 450;
/// Name of what everybody gets.
pub(crate) const EVERYBODY: &str = "all";
/// Events that may wait for the producer: more than are ever on the way.
const QUEUE: usize = 16 << 10;
/// Records that are stored in one go at the most.
const BATCH: usize = 512;

/// Prefix of the name of what a client alone gets, before its number.
pub(crate) const OWN: &str = "own-";

/// The name of what a client alone gets: the DSN of its events, and its subject.
pub(crate) fn own(number: usize) -> String {
    format!("{OWN}{number}")
}

/// The way into a server.
pub(crate) enum Feed {
    /// Lines on its standard input; `own-17 {...}` is for client 17 alone.
    Lines(Wire<Sender>),
    /// PUB of NATS' protocol.
    Nats(Wire<TcpStream>),
    /// A topic of the broker.
    Topic(Producers),
}

impl Feed {
    pub(crate) fn lines(stdin: ChildStdin) -> Self {
        let stdin = Sender::from(stdin);
        stdin.set_nonblocking(true).unwrap();
        Self::Lines(Wire::new(stdin))
    }

    pub(crate) fn nats(address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut wire = Wire::new(TcpStream::from_std(socket));
        wire.unsent
            .extend_from_slice(b"CONNECT {\"verbose\":false}\r\n");
        Self::Nats(wire)
    }

    /// So many producers of its own, which end with the feed.
    pub(crate) fn topic(runtime: &Runtime, target: &FluvioTarget, producers: usize) -> Self {
        let producers = (0..producers).map(|_| {
            let (sender, mut records) = mpsc::channel(QUEUE);
            let mut producer = Producer::new(target.clone());
            runtime.spawn(async move {
                let mut batch = Vec::with_capacity(BATCH);
                while records.recv_many(&mut batch, BATCH).await > 0 {
                    producer.send(&batch).await.unwrap();
                    batch.clear();
                }
            });
            sender
        });
        Self::Topic(Producers {
            ways: producers.collect(),
            sent: 0,
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) {
        match self {
            Self::Lines(wire) => registry.register(&mut wire.to, token, Interest::WRITABLE),
            Self::Nats(wire) => {
                let interest = Interest::READABLE | Interest::WRITABLE;
                registry.register(&mut wire.to, token, interest)
            }
            Self::Topic(_) => return,
        }
        .unwrap();
    }

    /// Sends an event to everybody, or to one client only. What the server does not take now goes with the next [`Self::flush`].
    pub(crate) fn send(&mut self, to: Option<usize>, sent: u64) {
        let dsn = to.map_or_else(|| EVERYBODY.to_owned(), own);
        let event = event(&dsn, sent);
        match self {
            Self::Lines(wire) => {
                if to.is_some() {
                    wire.text(format_args!("{dsn} "));
                }
                wire.text(format_args!("{event}\n"));
            }
            Self::Nats(wire) => {
                wire.text(format_args!("PUB {dsn} {}\r\n{event}\r\n", event.len()));
            }
            Self::Topic(producers) => producers.send(event),
        }
    }

    /// Number of events that wait to be sent to a topic.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Lines(_) | Self::Nats(_) => 0,
            Self::Topic(producers) => producers.waiting(),
        }
    }

    /// Writes as much as the server takes, and answers NATS' pings.
    pub(crate) fn flush(&mut self) {
        match self {
            Self::Lines(wire) => wire.flush(),
            Self::Nats(wire) => {
                wire.answer_pings();
                wire.flush();
            }
            Self::Topic(_) => (),
        }
    }
}

/// Producers of one topic, which take turns.
pub(crate) struct Producers {
    ways: Vec<mpsc::Sender<Record>>,
    sent: usize,
}

impl Producers {
    fn waiting(&self) -> usize {
        let waiting = self
            .ways
            .iter()
            .map(|way| way.max_capacity() - way.capacity());
        waiting.sum()
    }

    fn send(&mut self, event: String) {
        let record = Record {
            // Every event has another key, so that all partitions have the same share.
            key: self.sent.to_string(),
            value: event.into_bytes(),
        };
        let way = &self.ways[self.sent % self.ways.len()];
        way.try_send(record).unwrap();
        self.sent += 1;
    }
}

/// A pipe or socket into a server, which is never waited for.
pub(crate) struct Wire<W> {
    to: W,
    unsent: Vec<u8>,
}

impl<W: Write> Wire<W> {
    const fn new(to: W) -> Self {
        Self { to, unsent: vec![] }
    }

    fn text(&mut self, text: std::fmt::Arguments<'_>) {
        self.unsent.write_fmt(text).unwrap();
    }

    fn flush(&mut self) {
        let mut written = 0;
        while written < self.unsent.len() {
            match self.to.write(&self.unsent[written..]) {
                Ok(bytes) => written += bytes,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("the server takes no events: {e}"),
            }
        }
        self.unsent.drain(..written);
    }
}

impl Wire<TcpStream> {
    fn answer_pings(&mut self) {
        let mut buffer = [0; 4 << 10];
        while let Ok(read) = self.to.read(&mut buffer) {
            assert_ne!(read, 0, "NATS has closed the publisher's connection");
            if buffer[..read].ends_with(b"PING\r\n") {
                self.unsent.extend_from_slice(b"PONG\r\n");
            }
        }
    }
}

/// An event of [`EVENT_BYTES`].
fn event(dsn: &str, sent: u64) -> String {
    let mut event = String::with_capacity(EVENT_BYTES);
    write!(
        event,
        r#"{{"metadata":{{"oem_id":"0dfc7900","oem_model":"ledevb","dsn":"{dsn}","property_name":"Blue_LED","event_type":"datapoint","resource_tags":[]}},"datapoint":{{{SENT}{sent},"value":1,"note":""#
    )
    .unwrap();
    let end = "\"}}";
    let padding = EVENT_BYTES - event.len() - end.len();
    event.extend(std::iter::repeat_n('x', padding));
    event.push_str(end);
    event
}
