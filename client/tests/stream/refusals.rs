//! Servers that give no stream: what passes by itself is tried again, and everything else is told.

use std::time::{Duration, Instant};

use datastream_client::{CredentialFiles, Credentials, Error, EventStream, Failure, Update};

use crate::gateway::{Gateway, KEY};

/// The error that a stream ends with whose server refuses it with this status.
async fn refused(status: u16, error: &str) -> Error {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().open().unwrap();
    let ((), next) = tokio::join!(gateway.refuse(status, "", error), stream.next());
    assert_eq!(stream.next().await, None, "a stream that failed is over");
    next.unwrap().unwrap_err()
}

#[tokio::test]
async fn each_final_status_has_an_error_of_its_own() {
    for (status, error) in [
        (400, "bad_position"),
        (401, "unauthorized"),
        (403, "suspended"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (406, "not_acceptable"),
        (410, "gone"),
    ] {
        let found = refused(status, error).await;
        assert_eq!(found.to_string(), format!("{status} {error}: so it is"));
        let is_its_own = match status {
            400 => matches!(found, Error::BadRequest(_)),
            401 => matches!(found, Error::Unauthorized(_)),
            403 => matches!(found, Error::Forbidden(_)),
            404 => matches!(found, Error::NotFound(_)),
            410 => matches!(found, Error::Gone(_)),
            _ => matches!(found, Error::Refused(_)),
        };
        assert!(is_its_own, "{found:?}");
        assert_eq!(found.refusal().map(|refusal| refusal.status), Some(status));
    }
}

#[tokio::test]
async fn a_passing_refusal_is_waited_for_as_long_as_it_asks() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().open().unwrap();
    let server = async {
        gateway.refuse(503, "retry-after: 2\r\n", "busy").await;
        let refused = Instant::now();
        let mut client = gateway.accept().await;
        assert!(refused.elapsed() >= Duration::from_secs(2));
        client.events([1]).await;
        client
    };
    let (_client, next) = tokio::join!(server, stream.next());
    assert_eq!(next.unwrap().unwrap().seq(), "1");
}

#[tokio::test]
async fn a_stream_is_given_up_after_as_many_failures_as_it_may_have() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().retries(1).open().unwrap();
    let server = async {
        gateway.refuse(409, "", "in_use").await;
        let mut client = gateway.accept().await;
        client.events([1]).await;
        // What has come in between counts the failures anew.
        client.close(1012, "moved").await;
        gateway.refuse(409, "", "in_use").await;
    };
    let asked = async {
        assert_eq!(stream.next().await.unwrap().unwrap().seq(), "1");
        stream.next().await.unwrap().unwrap_err()
    };
    let ((), error) = tokio::join!(server, asked);
    let last_of = |error: &Error| match error {
        Error::GivenUp {
            attempts: 2,
            last: Failure::Refused(refusal),
        } => refusal.error.clone(),
        error => panic!("{error:?}"),
    };
    assert_eq!(last_of(&error), "in_use");
}

#[tokio::test]
async fn what_is_no_stream_is_told_when_it_came_twice() {
    let gateway = Gateway::start().await;
    let mut stream = gateway.stream().open().unwrap();
    let server = async {
        for _ in 0..2 {
            gateway.accept().await.text("nonsense".to_owned()).await;
        }
    };
    let ((), next) = tokio::join!(server, stream.next());
    assert_eq!(
        next.unwrap().unwrap_err().to_string(),
        "cannot receive the first event, and it came again: a frame without '|'"
    );
}

#[tokio::test]
async fn keys_and_tokens_are_sent_in_a_header() {
    let gateway = Gateway::start().await;
    let bare = gateway.url().replace(&format!("?stream_key={KEY}"), "");
    let mut by_key = EventStream::builder(&bare).key(KEY).open().unwrap();
    let mut tokens = 0..;
    let tokens = std::sync::Mutex::new(move || tokens.next().unwrap());
    let credentials = Credentials::new(CredentialFiles::default()).unwrap();
    let credentials = credentials.with_token(move || match tokens.lock().unwrap()() {
        0 => Err("no token yet".to_owned()),
        n => Ok(format!("token-{n}")),
    });
    let by_token = EventStream::builder(&bare).credentials(credentials);
    let mut by_token = by_token.subscription("team/leds").open().unwrap();

    let (client, connected) = tokio::join!(gateway.accept(), by_key.next_update());
    assert_eq!(connected, Some(Ok(Update::Connected)));
    assert_eq!(client.query, "markers=1");
    assert_eq!(client.authorization, Some(format!("Bearer {KEY}")));

    let Some(Ok(Update::Reconnecting { failure, .. })) = by_token.next_update().await else {
        panic!("it has a token");
    };
    assert_eq!(failure, Failure::BadToken("no token yet".to_owned()));
    let (client, connected) = tokio::join!(gateway.accept(), by_token.next_update());
    assert_eq!(connected, Some(Ok(Update::Connected)));
    assert_eq!(client.query, "subscription=team/leds&markers=1");
    assert_eq!(client.authorization.as_deref(), Some("Bearer token-1"));
}
