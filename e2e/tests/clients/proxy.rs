//! A network between a client and its server that breaks as a test says.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use datastream_e2e::ports::fixed_port;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::PATIENCE;

/// The most bytes that are passed on at a time.
const CHUNK: usize = 16 << 10;

/// Condition of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    #[default]
    Good,
    /// Nobody listens.
    Refusing,
    /// Each piece takes this long.
    Slow(Duration),
    /// Connections stay, and nothing is passed on.
    Stalled,
    /// So many bytes at a time.
    Trickling(usize),
    /// Whoever connects gets this answer.
    Answering(String),
}

#[derive(Clone, Debug, Default)]
struct State {
    condition: Condition,
    /// Connections with a lower number are cut.
    first_open: usize,
    /// Connections with a lower number pass nothing on.
    first_passing: usize,
}

/// The network. Dropping it cuts everything.
pub(crate) struct Proxy {
    /// The port for clients.
    pub(crate) port: u16,
    state: watch::Sender<State>,
    connections: Arc<AtomicUsize>,
    /// Pieces that have been passed to clients.
    pieces: watch::Sender<usize>,
}

impl Proxy {
    /// A good network in front of the server at this port.
    pub(crate) async fn to(server: u16) -> Self {
        let port = fixed_port().unwrap();
        let (state, watched) = watch::channel(State::default());
        let connections = Arc::new(AtomicUsize::new(0));
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let pieces = watch::Sender::new(0);
        let network = Network {
            port,
            server,
            state: watched,
            connections: Arc::clone(&connections),
            pieces: pieces.clone(),
        };
        tokio::spawn(network.serve(listener));
        Self {
            port,
            state,
            connections,
            pieces,
        }
    }

    pub(crate) fn set(&self, condition: Condition) {
        self.state.send_modify(|state| state.condition = condition);
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        let next = self.connections();
        self.state.send_modify(|state| state.first_open = next);
    }

    /// Passes nothing on any more on the connections that there are, and says nothing of it. New ones are good.
    pub(crate) fn forget(&self) {
        let next = self.connections();
        self.state.send_modify(|state| state.first_passing = next);
    }

    /// Waits until so many more pieces have been passed to clients.
    pub(crate) async fn passed_to_clients(&self, more: usize) {
        let mut pieces = self.pieces.subscribe();
        let enough = *pieces.borrow() + more;
        let passed = timeout(PATIENCE, pieces.wait_for(|pieces| *pieces >= enough)).await;
        passed.expect("pieces in time").unwrap();
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Server of the network's connections.
#[derive(Clone)]
struct Network {
    port: u16,
    server: u16,
    state: watch::Receiver<State>,
    connections: Arc<AtomicUsize>,
    pieces: watch::Sender<usize>,
}

impl Network {
    /// Accepts clients until the network is gone.
    async fn serve(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        loop {
            let condition = self.state.borrow_and_update().condition.clone();
            if condition == Condition::Refusing {
                listener = None;
            } else if listener.is_none() {
                let again = TcpListener::bind(("127.0.0.1", self.port)).await;
                listener = Some(again.unwrap());
            }
            let accepted = async {
                match &listener {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.state.changed() => if changed.is_err() { return },
                accepted = accepted => {
                    let Ok((client, _)) = accepted else { continue };
                    let number = self.connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(self.clone().connect(client, number));
                }
            }
        }
    }

    /// One connection, until it is cut or either end closes it.
    async fn connect(mut self, mut client: TcpStream, number: usize) -> io::Result<()> {
        let condition = self.state.borrow().condition.clone();
        if let Condition::Answering(answer) = condition {
            let mut request = [0; CHUNK];
            let _ = client.read(&mut request).await?;
            return client.write_all(answer.as_bytes()).await;
        }
        let mut server = TcpStream::connect(("127.0.0.1", self.server)).await?;
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
        }
        let (mut client_reads, mut client_writes) = client.split();
        let (mut server_reads, mut server_writes) = server.split();
        let (up, down) = (self.state.clone(), self.state.clone());
        let passed = || self.pieces.send_modify(|pieces| *pieces += 1);
        tokio::select! {
            done = pass(&mut client_reads, &mut server_writes, number, up, || ()) => done,
            done = pass(&mut server_reads, &mut client_writes, number, down, passed) => done,
            _ = self.state.wait_for(|state| number < state.first_open) => Ok(()),
        }
    }
}

/// Passes on what comes, as the network allows.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    number: usize,
    mut state: watch::Receiver<State>,
    passed: impl Fn(),
) -> io::Result<()> {
    let mut buffer = [0; CHUNK];
    loop {
        let passes =
            |state: &State| state.condition != Condition::Stalled && number >= state.first_passing;
        let condition = match state.wait_for(passes).await {
            Ok(state) => state.condition.clone(),
            Err(_) => return Ok(()),
        };
        let most = match condition {
            Condition::Trickling(bytes) => bytes,
            _ => CHUNK,
        };
        let length = from.read(&mut buffer[..most]).await?;
        if length == 0 {
            return Ok(());
        }
        if let Condition::Slow(delay) = condition {
            sleep(delay).await;
        }
        // What was read before the network stalled waits, too.
        if state.wait_for(passes).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
        passed();
    }
}
