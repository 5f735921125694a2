//! The floor: a thread that waits for readiness, builds the frame of an event once, and does one `write` for each connection; or several
//! of them, which share the connections.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, PipeWriter, Read, Write as _, pipe, stdin};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use memchr::{memchr_iter, memmem};
use mio::net::{TcpListener, TcpStream};
use mio::unix::pipe::Receiver;
use mio::{Events, Interest, Poll, Registry, Token};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::feed::OWN;
use crate::frames;

const INPUT: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
const READ: usize = 64 << 10;

struct Client {
    socket: TcpStream,
    /// Its request, until the end of that has come.
    request: Vec<u8>,
    open: bool,
    /// Bytes that the kernel does not take now.
    backlog: Vec<u8>,
}

#[derive(Default)]
struct Clients {
    all: Vec<Client>,
    /// By their paths (`/own-17`).
    by_path: HashMap<Vec<u8>, usize>,
}

/// Passes every line of standard input on to every client, until it ends. A line `own-17 {...}` goes to the client at the path `/own-17`
/// only. Each thread prints an address of its own; with several, the client at `/own-N` has to be at the address of thread `N` modulo
/// their number.
pub(crate) fn serve(threads: usize) {
    let input = stdin().as_fd().try_clone_to_owned().unwrap();
    if threads == 1 {
        return pass_on(input, listen());
    }
    let ways = (0..threads).map(|_| {
        let (reader, writer) = pipe().unwrap();
        let listener = listen();
        thread::spawn(move || pass_on(reader.into(), listener));
        writer
    });
    distribute(input, &mut ways.collect::<Vec<_>>());
}

/// The same by one thread, with lines from elsewhere.
#[allow(dead_code, reason = "not every bench has lines from elsewhere")]
pub(crate) fn serve_from(input: OwnedFd) {
    pass_on(input, listen());
}

#[allow(clippy::print_stdout)]
fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    println!("{}", listener.local_addr().unwrap());
    listener
}

/// Hands each line to the thread that has its client, or to all.
fn distribute(input: OwnedFd, ways: &mut [PipeWriter]) {
    let mut input = BufReader::with_capacity(READ, File::from(input));
    let mut shares = vec![Vec::with_capacity(2 * READ); ways.len()];
    let mut line = vec![];
    while input.read_until(b'\n', &mut line).unwrap() > 0 {
        match number(&line) {
            Some(number) => shares[number % ways.len()].extend_from_slice(&line),
            None => shares
                .iter_mut()
                .for_each(|share| share.extend_from_slice(&line)),
        }
        line.clear();
        if input.buffer().is_empty() || shares.iter().any(|share| share.len() >= READ) {
            for (way, share) in ways.iter_mut().zip(&mut shares) {
                way.write_all(share).unwrap();
                share.clear();
            }
        }
    }
}

/// The number of the only client that a line is for.
fn number(line: &[u8]) -> Option<usize> {
    let name = line.strip_prefix(OWN.as_bytes())?;
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

fn pass_on(input: OwnedFd, mut listener: TcpListener) {
    let mut poll = Poll::new().unwrap();
    let mut input = Receiver::from(input);
    input.set_nonblocking(true).unwrap();
    let registry = poll.registry();
    let readable = Interest::READABLE;
    registry.register(&mut input, INPUT, readable).unwrap();
    registry
        .register(&mut listener, LISTENER, readable)
        .unwrap();

    let mut clients = Clients::default();
    let mut events = Events::with_capacity(1024);
    let mut lines = Vec::with_capacity(2 * READ);
    let mut buffer = vec![0; READ];
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            polled => polled.unwrap(),
        }
        for event in &events {
            match event.token() {
                INPUT => {
                    while let Some(read) = read(&mut input, &mut buffer) {
                        if read == 0 {
                            return;
                        }
                        lines.extend_from_slice(&buffer[..read]);
                        let mut start = 0;
                        for end in memchr_iter(b'\n', &lines) {
                            clients.pass_on(&lines[start..end]);
                            start = end + 1;
                        }
                        lines.drain(..start);
                    }
                }
                LISTENER => clients.accept(&listener, poll.registry()),
                Token(number) => clients.ready(number, &mut buffer),
            }
        }
    }
}

/// Reads once. Returns nothing where nothing has come.
fn read(from: &mut impl Read, buffer: &mut [u8]) -> Option<usize> {
    match from.read(buffer) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => None,
        Err(e) if e.kind() == ErrorKind::ConnectionReset => Some(0),
        read => Some(read.unwrap()),
    }
}

impl Clients {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) {
        while let Ok((mut socket, _)) = listener.accept() {
            socket.set_nodelay(true).unwrap();
            let token = Token(self.all.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut socket, token, interest).unwrap();
            self.all.push(Client {
                socket,
                request: vec![],
                open: false,
                backlog: vec![],
            });
        }
    }

    fn pass_on(&mut self, line: &[u8]) {
        let mut frame = Vec::with_capacity(line.len() + 4);
        if line.first() == Some(&b'{') {
            frames::of_server(frames::TEXT, line, &mut frame);
            for client in &mut self.all {
                client.send(&frame);
            }
            return;
        }
        let space = line.iter().position(|byte| *byte == b' ').unwrap();
        frames::of_server(frames::TEXT, &line[space + 1..], &mut frame);
        if let Some(number) = self.by_path.get(&line[..space]) {
            self.all[*number].send(&frame);
        }
    }

    fn ready(&mut self, number: usize, buffer: &mut [u8]) {
        let client = &mut self.all[number];
        client.send_backlog();
        while let Some(read) = read(&mut client.socket, buffer) {
            if read == 0 {
                client.open = false;
                return;
            }
            // An open client has nothing to say.
            if client.open {
                continue;
            }
            client.request.extend_from_slice(&buffer[..read]);
            if client.request.ends_with(b"\r\n\r\n") {
                let request = std::mem::take(&mut client.request);
                client.open = true;
                client.send(&answer(&request));
                self.by_path.insert(path(&request).to_vec(), number);
            }
        }
    }
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        if !self.open {
            return;
        }
        let mut written = 0;
        if self.backlog.is_empty() {
            written = match self.socket.write(bytes) {
                Ok(written) => written,
                Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => {
                    self.open = false;
                    return;
                }
            };
        }
        self.backlog.extend_from_slice(&bytes[written..]);
    }

    fn send_backlog(&mut self) {
        if !self.backlog.is_empty() {
            let bytes = std::mem::take(&mut self.backlog);
            self.send(&bytes);
        }
    }
}

/// The path of a request, without its slash.
fn path(request: &[u8]) -> &[u8] {
    let from = memmem::find(request, b"/").unwrap() + 1;
    let length = memmem::find(&request[from..], b" ").unwrap();
    &request[from..from + length]
}

/// The answer to a handshake.
fn answer(request: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"Sec-WebSocket-Key: ";
    let from = memmem::find(request, NAME).unwrap() + NAME.len();
    let length = memmem::find(&request[from..], b"\r\n").unwrap();
    let mut key = request[from..from + length].to_vec();
    key.extend_from_slice(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &key));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}
