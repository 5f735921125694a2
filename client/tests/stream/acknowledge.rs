//! Heartbeats: when they are answered, which acknowledges what came before them.

use datastream_client::Acknowledge;
use tokio_tungstenite::tungstenite::Message;

use crate::gateway::Gateway;

#[tokio::test]
async fn a_heartbeat_is_answered_when_the_event_before_it_has_been_handled() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        client.events([1]).await;
        client.heartbeat().await;
        client
    };
    let (mut client, event) = tokio::join!(server, stream.next());
    assert_eq!(event.unwrap().unwrap().seq(), "1");
    // Nobody has asked for the next event yet.
    assert!(client.is_silent().await);
    let server = async {
        assert_eq!(client.said().await, Message::text("Z"));
        client.events([2]).await;
    };
    let ((), event) = tokio::join!(server, stream.next());
    assert_eq!(event.unwrap().unwrap().seq(), "2");
    assert_eq!(stream.position().as_deref(), Some("2"));
}

#[tokio::test]
async fn a_heartbeat_waits_for_the_explicit_acknowledgement_of_what_is_before_it() {
    let gateway = Gateway::start().await;
    let stream = gateway.stream().acknowledge(Acknowledge::Explicitly);
    let mut stream = stream.open().unwrap();
    let server = async {
        let mut client = gateway.accept().await;
        client.heartbeat().await;
        // Before the first event there is nothing to acknowledge.
        assert_eq!(client.said().await, Message::text("Z"));
        client.events([1, 2]).await;
        client.heartbeat().await;
        client.events([3, 4]).await;
        client.heartbeat().await;
        client
    };
    let asked = async {
        let mut events = vec![];
        while events.len() < 4 {
            events.push(stream.next().await.unwrap().unwrap());
        }
        events
    };
    let (mut client, events) = tokio::join!(server, asked);
    assert!(client.is_silent().await);
    assert_eq!(stream.position(), None);
    stream.acknowledge(&events[2]);
    stream.acknowledge(&events[0]);
    assert_eq!(stream.position().as_deref(), Some("4"));
    let server = async {
        assert_eq!(client.said().await, Message::text("Z"));
        assert!(client.is_silent().await);
        client.events([5]).await;
    };
    let ((), event) = tokio::join!(server, stream.next());
    assert_eq!(event.unwrap().unwrap().seq(), "5");
    // What has been acknowledged is told before the leave.
    stream.acknowledge(&events[3]);
    let server = async { (client.said().await, client.said().await) };
    let (said, ()) = tokio::join!(server, stream.close());
    assert_eq!(said, (Message::text("Z"), Message::Close(None)));
}
