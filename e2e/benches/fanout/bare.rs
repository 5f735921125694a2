//! The server that the gateway is compared with: it does nothing but pass lines on to every WebSocket.

use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use futures_util::{SinkExt as _, StreamExt as _};

/// Passes every line of standard input on to every client, until it ends.
#[allow(clippy::print_stdout)]
pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let (sender, _) = broadcast::channel::<Utf8Bytes>(1024);
    let subscribe = sender.clone();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(client(socket, subscribe.subscribe()));
        }
    });
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let _ = sender.send(line.into());
    }
}

async fn client(socket: TcpStream, mut lines: broadcast::Receiver<Utf8Bytes>) {
    socket.set_nodelay(true).unwrap();
    // As small as the gateway's: the default of 128 KiB would make the comparison of memory meaningless.
    let config = WebSocketConfig::default().read_buffer_size(1024);
    let mut socket = accept_async_with_config(socket, Some(config))
        .await
        .unwrap();
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Ok(line) = line else { return };
                if socket.send(Message::Text(line)).await.is_err() {
                    return;
                }
            }
            message = socket.next() => if !matches!(message, Some(Ok(_))) { return },
        }
    }
}
