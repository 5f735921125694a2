//! Lost connections: where a stream goes on, and that it brings everything once.

use std::time::Duration;

use datastream_client::{Error, Event, EventStream, Failure, OnGap, Update};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::gateway::{Gateway, PATIENCE};

/// The numbers of the next events.
async fn numbers(stream: &mut EventStream, count: usize) -> Vec<u64> {
    let mut found = vec![];
    while found.len() < count {
        let event = next(stream).await.unwrap().unwrap();
        found.push(event.seq().parse().unwrap());
    }
    found
}

async fn next(stream: &mut EventStream) -> Option<Result<Event, Error>> {
    let next = timeout(PATIENCE, stream.next()).await;
    next.expect("an event in time")
}

#[tokio::test]
async fn a_stream_resumes_after_its_last_event_whatever_ended_the_connection() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().seq_start("1").open().unwrap();
    let server = async {
        let mut first = 1;
        for code in [1001, 1012, 1011, 1013, 1008, 1006] {
            let mut client = gateway.accept().await;
            assert_eq!(client.query, format!("seq_start={first}&markers=1"));
            client.events(first..first + 3).await;
            first += 3;
            if code != 1006 {
                client.close(code, "for the test").await;
            }
        }
    };
    let ((), found) = tokio::join!(server, numbers(&mut stream, 18));
    assert_eq!(found, (1..=18).collect::<Vec<_>>());
    // The last one has not been handled.
    assert_eq!(stream.position().as_deref(), Some("18"));
}

#[tokio::test]
async fn events_that_come_again_are_left_out() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        client.events([4, 5, 5, 4, 6]).await;
        client.close(1012, "moved").await;
        let mut client = gateway.accept().await;
        client.events([5, 6, 7]).await;
        client
    };
    let (_client, found) = tokio::join!(server, numbers(&mut stream, 4));
    assert_eq!(found, [4, 5, 6, 7]);
}

#[tokio::test]
async fn a_stream_that_has_no_event_yet_resumes_at_its_marker() {
    let gateway = Gateway::start().await;
    let stream = gateway.stream().time_start("2026-11-27T08:00:00+01:00");
    let mut stream = stream.open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        assert_eq!(
            client.query,
            "time_start=2026-11-27T08:00:00%2B01:00&markers=1"
        );
        client.body(r#"{"control":"live","seq_start":"8"}"#).await;
        drop(client);
        gateway.refuse(503, "", "unavailable").await;
        let mut client = gateway.accept().await;
        assert_eq!(client.query, "markers=1&seq_start=8");
        client.events([8]).await;
        client
    };
    let (_client, found) = tokio::join!(server, numbers(&mut stream, 1));
    assert_eq!(found, [8]);
}

#[tokio::test]
async fn a_stream_ends_at_the_end_that_was_asked_for() {
    let gateway = Gateway::start().await;
    let stream = gateway.stream().seq_start("1").seq_end("2");
    let stream = stream.open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        assert_eq!(client.query, "seq_start=1&seq_end=2&markers=1");
        client.events([1, 2]).await;
        client.close(1000, "seq_end").await;
    };
    let ((), found) = tokio::join!(server, stream.try_collect::<Vec<_>>());
    assert_eq!(found.unwrap().len(), 2);
}

#[tokio::test]
async fn a_normal_end_that_nobody_asked_for_is_a_lost_connection() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        client.events([1]).await;
        client.close(1000, "").await;
        let mut client = gateway.accept().await;
        client.events([2]).await;
        client
    };
    let (_client, found) = tokio::join!(server, numbers(&mut stream, 2));
    assert_eq!(found, [1, 2]);
}

#[tokio::test]
async fn a_gap_is_told_and_the_stream_goes_on_if_it_is_asked_again() {
    let gateway = Gateway::start().await;
    let stream = gateway.stream().seq_start("2").on_gap(OnGap::Earliest);
    let mut stream = stream.open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        assert_eq!(client.query, "seq_start=2&on_gap=earliest&markers=1");
        client.body(r#"{"control":"gap","seq_start":"9"}"#).await;
        client.events([9]).await;
        client
    };
    let asked = async {
        let gap = next(&mut stream).await;
        assert_eq!(
            gap,
            Some(Err(Error::Gap {
                seq_start: "9".to_owned()
            }))
        );
        // It is not known yet whether the gap has been taken note of.
        assert_eq!(stream.position().as_deref(), Some("2"));
        numbers(&mut stream, 1).await
    };
    let (_client, found) = tokio::join!(server, asked);
    assert_eq!(found, [9]);
    assert_eq!(stream.position().as_deref(), Some("9"));
}

#[tokio::test]
async fn updates_tell_what_happens_in_order() {
    let gateway = Gateway::start().await;
    let stream = gateway.stream().skip_unreadable();
    let mut stream = stream.open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        client.events([1]).await;
        client.body(r#"{"control":"live","seq_start":"2"}"#).await;
        client.text("nonsense".to_owned()).await;
        client.heartbeat().await;
        assert_eq!(client.said().await, Message::text("Z"));
        client.close(1001, "for the test").await;
    };
    let asked = async {
        let mut found = vec![];
        while found.len() < 6 {
            found.push(stream.next_update().await.unwrap().unwrap());
        }
        found
    };
    let ((), found) = tokio::join!(server, asked);
    let [
        Update::Connected,
        Update::Event(event),
        Update::Live { seq_start },
        Update::Skipped(_),
        Update::Heartbeat,
        Update::Reconnecting { failure, delay },
    ] = &found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!((event.seq(), seq_start.as_str()), ("1", "2"));
    assert!(matches!(failure, Failure::Closed { code: 1001, .. }));
    assert!(*delay <= Duration::from_millis(500));
}

#[tokio::test]
async fn nothing_is_lost_when_the_wait_for_an_event_is_dropped() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().seq_start("1").open().unwrap();
    let server = async {
        for first in [1, 101] {
            let mut client = gateway.accept().await;
            for seq in first..first + 100 {
                client.events([seq]).await;
                tokio::task::yield_now().await;
            }
            client.close(1012, "moved").await;
        }
    };
    let asked = async move {
        let mut found = vec![];
        while found.len() < 200 {
            // Dropped after each poll that brings none.
            let next = futures_util::future::poll_immediate(stream.next()).await;
            match next {
                Some(event) => found.push(event.unwrap().unwrap().seq().parse::<u64>().unwrap()),
                None => tokio::task::yield_now().await,
            }
        }
        found
    };
    let ((), found) = timeout(PATIENCE, async { tokio::join!(server, asked) })
        .await
        .unwrap();
    assert_eq!(found, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn several_streams_are_merged() {
    let (a, b) = (Gateway::start().await, Gateway::start().await);
    let open = |gateway: &Gateway| gateway.stream().open().unwrap();
    let mut streams = futures_util::stream::select_all([open(&a), open(&b)]);
    let server = async {
        let (mut a, mut b) = (a.accept().await, b.accept().await);
        a.events([1, 2]).await;
        b.events([7]).await;
        (a, b)
    };
    let asked = async {
        let mut found = vec![];
        while found.len() < 3 {
            let event = streams.next().await.unwrap().unwrap();
            found.push(event.seq().to_owned());
        }
        found.sort();
        found
    };
    let (_clients, found) = timeout(PATIENCE, async { tokio::join!(server, asked) })
        .await
        .unwrap();
    assert_eq!(found, ["1", "2", "7"]);
}

#[tokio::test]
async fn a_stream_that_is_closed_takes_leave() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        client.events([1]).await;
        client.said().await
    };
    let asked = async {
        assert_eq!(numbers(&mut stream, 1).await, [1]);
        stream.close().await;
    };
    let (said, ()) = tokio::join!(server, asked);
    assert_eq!(said, Message::Close(None));
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let gateway = Gateway::start().await;
    let stream = gateway.stream().silence(Duration::from_secs(1));
    let mut stream = stream.open().unwrap();
    let server = async {
        let silent = gateway.accept().await;
        let mut client = gateway.accept().await;
        client.events([1]).await;
        (silent, client)
    };
    let (_clients, found) = tokio::join!(server, numbers(&mut stream, 1));
    assert_eq!(found, [1]);
}
