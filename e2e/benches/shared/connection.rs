//! A client's connection, which is read when there is something to read.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use memchr::memmem;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::dialect::Dialect;
use crate::frames::{self, Frame};

/// The place where clients connect to.
pub(crate) struct Endpoint {
    /// HOST:PORT, at least one; clients are spread over them.
    pub(crate) addresses: Vec<String>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) dialect: Dialect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The answer to the HTTP request is to come.
    Upgrading,
    /// The answer that says that the client is subscribed is to come.
    Subscribing(&'static [u8]),
    Open,
    Closed,
}

/// A WebSocket of a client.
pub(crate) struct Connection {
    number: usize,
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    dialect: Dialect,
    state: State,
    /// The beginning of what has not come as a whole.
    rest: Vec<u8>,
}

impl Connection {
    /// Connects, and sends the request.
    pub(crate) fn start(
        endpoint: &Endpoint,
        number: usize,
        registry: &Registry,
        token: Token,
    ) -> Self {
        let Endpoint {
            addresses, dialect, ..
        } = endpoint;
        let address = &addresses[number % addresses.len()];
        let socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut socket = TcpStream::from_std(socket);
        registry
            .register(&mut socket, token, Interest::READABLE)
            .unwrap();
        let tls = endpoint.tls.clone().map(|config| {
            let name = ServerName::try_from("127.0.0.1").unwrap();
            Box::new(ClientConnection::new(config, name).unwrap())
        });
        let mut this = Self {
            number,
            socket,
            tls,
            dialect: *dialect,
            state: State::Upgrading,
            rest: vec![],
        };
        let target = dialect.target(number);
        let request = format!(
            "GET /{target} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        this.write(request.as_bytes());
        this
    }

    pub(crate) const fn number(&self) -> usize {
        self.number
    }

    /// Returns whether it gets events.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Returns whether the server has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Reads what has come, and hands on the payloads that are not for the connection itself.
    pub(crate) fn read(&mut self, buffer: &mut [u8], mut event: impl FnMut(&[u8])) {
        // For what comes, and for what it says without TLS.
        let (received, plain) = buffer.split_at_mut(buffer.len() / 2);
        while !self.is_closed() {
            match would_block(self.socket.read(received)) {
                None => return,
                Some(0) => self.close("no reason"),
                Some(length) => {
                    if self.tls.is_some() {
                        self.decrypt(&received[..length], plain, &mut event);
                    } else {
                        self.take(&received[..length], &mut event);
                    }
                    // Readiness comes again with what comes now.
                    if length < received.len() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes what has come over TLS. The library by itself would ask the kernel for 4 KiB at a time.
    fn decrypt(&mut self, mut bytes: &[u8], plain: &mut [u8], event: &mut impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let Some(tls) = &mut self.tls else { return };
            tls.read_tls(&mut bytes).unwrap();
            tls.process_new_packets().unwrap();
            self.flush();
            while let Some(length) = self.decrypted(plain) {
                if length == 0 {
                    return self.close("no reason");
                }
                self.take(&plain[..length], event);
            }
        }
    }

    fn decrypted(&mut self, plain: &mut [u8]) -> Option<usize> {
        would_block(self.tls.as_mut()?.reader().read(plain))
    }

    /// Hands to the kernel what TLS has to send.
    fn flush(&mut self) {
        let Some(tls) = &mut self.tls else { return };
        while tls.wants_write() && would_block(tls.write_tls(&mut self.socket)) > Some(0) {}
    }

    /// Sends. It is little, and the kernel takes it.
    fn write(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            // A server that has gone says so when it is read.
            None => drop(self.socket.write_all(bytes)),
            Some(tls) => {
                tls.writer().write_all(bytes).unwrap();
                self.flush();
            }
        }
    }

    #[allow(clippy::print_stderr)]
    fn close(&mut self, reason: &str) {
        eprintln!("the server closes connection {}: {reason}", self.number);
        self.state = State::Closed;
    }

    fn take(&mut self, bytes: &[u8], event: &mut impl FnMut(&[u8])) {
        if self.rest.is_empty() {
            let left = self.parse(bytes, event);
            self.rest.extend_from_slice(left);
            return;
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let left = self.parse(&all, event).len();
        all.drain(..all.len() - left);
        self.rest = all;
    }

    /// Returns what is no whole frame yet.
    fn parse<'a>(&mut self, mut bytes: &'a [u8], event: &mut impl FnMut(&[u8])) -> &'a [u8] {
        if self.state == State::Upgrading {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                return bytes;
            };
            self.upgraded(&bytes[..end]);
            bytes = &bytes[end + 4..];
        }
        while let Some(frame) = frames::take(&mut bytes) {
            self.frame(frame, event);
        }
        bytes
    }

    fn upgraded(&mut self, answer: &[u8]) {
        let answer = String::from_utf8_lossy(answer);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        self.state = State::Open;
        if let Some((message, expected)) = self.dialect.subscribe(self.number) {
            self.state = State::Subscribing(expected);
            self.send(self.dialect.kind(), &message);
        }
    }

    fn frame(&mut self, frame: Frame<'_>, event: &mut impl FnMut(&[u8])) {
        let Frame { kind, payload } = frame;
        match kind {
            frames::PING => self.send(frames::PONG, payload),
            frames::PONG => (),
            frames::CLOSE => {
                let reason = payload.get(2..).unwrap_or_default();
                self.close(&String::from_utf8_lossy(reason));
            }
            _ => match self.state {
                State::Subscribing(answer) if memmem::find(payload, answer).is_some() => {
                    self.state = State::Open;
                }
                _ => {
                    if let Some(answer) = self.dialect.answer(payload) {
                        self.send(self.dialect.kind(), answer);
                    }
                    event(payload);
                }
            },
        }
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        let mut frame = vec![];
        frames::of_client(kind, payload, &mut frame);
        self.write(&frame);
    }
}

/// Returns nothing where there is nothing to read, or no room to write; 0 bytes where the server has gone.
fn would_block(done: std::io::Result<usize>) -> Option<usize> {
    match done {
        Err(e) if e.kind() == ErrorKind::WouldBlock => None,
        Err(e) if [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&e.kind()) => {
            Some(0)
        }
        done => Some(done.unwrap()),
    }
}
