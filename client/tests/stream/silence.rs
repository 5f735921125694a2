//! Silence: what ends it, and how long it is endured.

use std::convert::Infallible;
use std::time::Duration;

use datastream_client::{
    Connection, CredentialFiles, Credentials, EventStream, Failure, Incoming, SilenceLimit,
};
use tokio::task::yield_now;
use tokio::time::{advance, pause, resume, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::gateway::{Client, Gateway, PATIENCE, event};

/// The message that an event is, as it is sent.
fn frame(body: &str) -> Vec<u8> {
    let text = format!("{}|{body}", body.len());
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    [&[0x81, length][..], text.as_bytes()].concat()
}

/// The number of the next event, which comes when the server does its part.
async fn next(stream: &mut EventStream, server: impl Future<Output = Client>) -> String {
    let server = async {
        let _client = server.await;
        sleep(PATIENCE).await;
    };
    tokio::select! {
        event = stream.next() => event.unwrap().unwrap().seq().to_owned(),
        () = server => panic!("no event in time"),
    }
}

/// Runs a test whose time, once it is paused, passes only where the test says so: tokio moves it on when there is nothing to do.
async fn still(test: impl Future<Output = ()>) {
    tokio::select! {
        () = test => {}
        never = busy() => match never {},
    }
}

async fn busy() -> Infallible {
    loop {
        yield_now().await;
    }
}

/// Accepts a client, and pauses the time when it has read a heartbeat.
async fn accept(gateway: &Gateway) -> Client {
    let mut client = gateway.accept().await;
    client.heartbeat().await;
    assert_eq!(client.said().await, Message::text("Z"));
    pause();
    client
}

/// Sends a heartbeat after each of these seconds, which the client reads at once.
async fn heartbeats(client: &mut Client, intervals: &[u64]) {
    for seconds in intervals {
        advance(Duration::from_secs(*seconds)).await;
        client.heartbeat().await;
        assert_eq!(client.said().await, Message::text("Z"));
    }
}

#[tokio::test]
async fn an_event_may_take_longer_than_the_silence_while_bytes_of_it_come() {
    let gateway = Gateway::start().await;
    let stream = gateway.stream().silence(Duration::from_secs(2));
    let mut stream = stream.open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        for byte in frame(&event(1)) {
            sleep(Duration::from_millis(40)).await;
            client.bytes(&[byte]).await;
        }
        client
    };
    assert_eq!(next(&mut stream, server).await, "1");
}

#[tokio::test]
async fn a_server_that_stops_within_an_event_is_given_up() {
    let gateway = Gateway::start().await;
    let stream = gateway.stream().silence(Duration::from_secs(1));
    let mut stream = stream.open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        client.bytes(&frame(&event(1))[..40]).await;
        client.gone().await;
        let mut client = gateway.accept().await;
        client.events([2]).await;
        client
    };
    assert_eq!(next(&mut stream, server).await, "2");
}

/// Checks that a stream whose heartbeats came at these gaps, in seconds, takes an event after this silence on the same connection.
async fn endures(gaps: &[u64], silence: Duration) {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().open().unwrap();
    let server = async {
        let mut client = accept(&gateway).await;
        heartbeats(&mut client, gaps).await;
        advance(silence).await;
        client.events([1]).await;
        resume();
        client
    };
    Box::pin(still(async {
        assert_eq!(next(&mut stream, server).await, "1")
    }))
    .await;
}

#[tokio::test]
async fn a_heartbeat_out_of_turn_shortens_no_silence() {
    endures(&[30, 30, 1], Duration::from_secs(80)).await;
}

#[tokio::test]
async fn a_heartbeat_out_of_turn_on_a_fresh_stream_shortens_no_silence() {
    endures(&[1], Duration::from_mins(5)).await;
}

#[tokio::test]
async fn heartbeats_that_waited_while_an_event_was_handled_shorten_no_silence() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().open().unwrap();
    let server = async {
        let mut client = accept(&gateway).await;
        client.events([1]).await;
        client
    };
    still(async {
        let (mut client, first) = tokio::join!(server, stream.next());
        assert_eq!(first.unwrap().unwrap().seq(), "1");
        for _ in 0..2 {
            advance(Duration::from_secs(30)).await;
            client.heartbeat().await;
        }
        advance(Duration::from_secs(10)).await;
        let server = async {
            for _ in 0..2 {
                assert_eq!(client.said().await, Message::text("Z"));
            }
            advance(Duration::from_secs(80)).await;
            client.events([2]).await;
            resume();
            client
        };
        assert_eq!(next(&mut stream, server).await, "2");
    })
    .await;
}

#[tokio::test]
async fn intervals_of_one_connection_count_on_the_next() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().open().unwrap();
    let server = async {
        let mut client = accept(&gateway).await;
        heartbeats(&mut client, &[30, 30]).await;
        resume();
        client.close(1012, "moved").await;
        let client = accept(&gateway).await;
        advance(Duration::from_secs(95)).await;
        resume();
        client.gone().await;
        let mut client = gateway.accept().await;
        client.events([1]).await;
        client
    };
    Box::pin(still(async {
        assert_eq!(next(&mut stream, server).await, "1")
    }))
    .await;
}

/// Opens a connection that may be silent for some seconds.
async fn open(gateway: &Gateway, seconds: u64) -> (Connection, Client) {
    let url = gateway.url().parse().unwrap();
    let credentials = Credentials::new(CredentialFiles::default()).unwrap();
    let silence = SilenceLimit::new(Some(Duration::from_secs(seconds)));
    let opening = Connection::open(&url, &credentials, silence);
    let (connection, client) = tokio::join!(opening, gateway.accept());
    (connection.unwrap(), client)
}

/// The result of a read that is dropped after 100 ms.
async fn poll(connection: &mut Connection) -> Option<Result<Incoming, Failure>> {
    let read = timeout(Duration::from_millis(100), connection.next());
    read.await.ok()
}

#[tokio::test]
async fn silence_ends_a_connection_whose_reads_are_soon_dropped() {
    let gateway = Gateway::start().await;
    let (mut connection, _client) = open(&gateway, 7).await;
    pause();
    let mut reads = 0;
    let end = loop {
        reads += 1;
        assert!(reads < 100, "nothing came for {reads} reads");
        if let Some(incoming) = poll(&mut connection).await {
            break incoming;
        }
    };
    let silent = Failure::Lost("no heartbeat within 7 s".to_owned());
    assert_eq!(end, Err(silent));
    assert!(reads > 60, "given up after {reads} reads");
}

#[tokio::test]
async fn what_comes_while_nobody_reads_is_no_silence() {
    let gateway = Gateway::start().await;
    let (mut connection, mut client) = open(&gateway, 7).await;
    pause();
    for _ in 0..3 {
        assert_eq!(poll(&mut connection).await, None);
        client.heartbeat().await;
        advance(Duration::from_hours(1)).await;
        assert_eq!(poll(&mut connection).await, Some(Ok(Incoming::Heartbeat)));
    }
}
