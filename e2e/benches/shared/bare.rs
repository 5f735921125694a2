//! The server that the gateway is compared with: it does nothing but pass lines on to WebSockets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use futures_util::{SinkExt as _, StreamExt as _};

/// Lines that wait for a client at the most.
const QUEUE: usize = 1024;

/// Clients by their paths (`/own-17`), for lines of their own.
type Clients = Arc<Mutex<HashMap<String, mpsc::Sender<Utf8Bytes>>>>;

/// Passes every line of standard input on to every client, until it ends. A line `NAME {...}` goes to the client at the path `/NAME`
/// only.
#[allow(clippy::print_stdout)]
pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let (sender, _) = broadcast::channel::<Utf8Bytes>(QUEUE);
    let clients = Clients::default();
    let (subscribe, by_path) = (sender.clone(), clients.clone());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(client(socket, subscribe.subscribe(), by_path.clone()));
        }
    });
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.starts_with('{') {
            let _ = sender.send(line.into());
            continue;
        }
        let (path, line) = line.split_once(' ').unwrap();
        let own = clients.lock().unwrap().get(path).cloned();
        if let Some(own) = own {
            let _ = own.send(line.into()).await;
        }
    }
}

async fn client(socket: TcpStream, mut lines: broadcast::Receiver<Utf8Bytes>, clients: Clients) {
    socket.set_nodelay(true).unwrap();
    // As small as the gateway's: the default of 128 KiB would make the comparison of memory meaningless.
    let config = WebSocketConfig::default().read_buffer_size(1024);
    let (sender, mut own) = mpsc::channel(QUEUE);
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let note = |request: &Request, response: Response| {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        clients.lock().unwrap().insert(path, sender);
        Ok(response)
    };
    let mut socket = accept_hdr_async_with_config(socket, note, Some(config))
        .await
        .unwrap();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line.ok(),
            // Of clients with the same path, the last one has it.
            Some(line) = own.recv() => Some(line),
            message = socket.next() => if matches!(message, Some(Ok(_))) { continue } else { return },
        };
        let Some(line) = line else { return };
        if socket.send(Message::Text(line)).await.is_err() {
            return;
        }
    }
}
