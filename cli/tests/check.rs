//! `datastream check`, the real binary, against a server of which the test says every word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::Stdio;

use support::PATIENCE;
use support::script::{KEY, refuse, server};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

/// Runs `datastream check`. Returns whether it succeeded, and what it said.
async fn check(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_datastream"))
        .arg("check")
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Answers as a gateway that serves: with what it knows of the key, and with a refusal of the handshake.
async fn serve(listener: &TcpListener) {
    refuse(listener, 200, "", "{}").await;
    let body = r#"{"error":"bad_handshake","message":"Sec-WebSocket-Version must be 13"}"#;
    refuse(listener, 400, "", body).await;
}

#[tokio::test]
async fn a_key_is_reported_valid_if_a_handshake_succeeds() {
    let (listener, url) = server().await;
    let place = url.replace(&KEY[4..], "…");
    let args = [url.as_str()];
    let (said, ()) = tokio::join!(check(&args), serve(&listener));
    let expected = format!("{place}: the gateway serves, and the key is good\n");
    assert_eq!(said, (true, expected));

    // Through a proxy that makes a plain GET of it.
    let (said, ()) = tokio::join!(check(&args), async {
        refuse(&listener, 200, "", "{}").await;
        refuse(&listener, 200, "", "{}").await;
    });
    let expected = "a proxy on the way removed the Upgrade header";
    assert!(!said.0 && said.1.contains(expected), "{said:?}");
}

#[tokio::test]
async fn missing_unknown_and_suspended_keys_are_reported() {
    let (listener, url) = server().await;
    let place = url.replace(&KEY[4..], "…");
    let no_key = url.split('?').next().unwrap();
    let unknown = r#"{"error":"unauthorized","message":"no subscription has this stream key"}"#;
    let suspended = r#"{"error":"suspended","message":"the subscription is suspended"}"#;
    for (url, status, body, good, expected) in [
        (
            no_key,
            401,
            unknown,
            true,
            format!("{no_key}: the gateway serves, and wants a key\n"),
        ),
        (
            url.as_str(),
            401,
            unknown,
            false,
            format!(
                "{place}: 401 Unauthorized: no subscription has this stream key (unauthorized)\n"
            ),
        ),
        (
            &url,
            403,
            suspended,
            false,
            format!("{place}: 403 Forbidden: the subscription is suspended (suspended)\n"),
        ),
        (no_key, 404, "", false, format!("{no_key}: 404 Not Found\n")),
    ] {
        let args = [url];
        let (said, _) = tokio::join!(check(&args), refuse(&listener, status, "", body));
        assert_eq!(said, (good, expected));
    }
}

#[tokio::test]
async fn check_retries_a_gateway_that_is_not_ready_if_requested() {
    let (listener, url) = server().await;
    let body = r#"{"error":"unavailable","message":"this gateway does not know its routes yet"}"#;
    let (said, _) = tokio::join!(
        async { check(&[&url]).await },
        refuse(&listener, 503, "", body)
    );
    assert!(
        !said.0
            && said
                .1
                .contains("does not know its routes yet (unavailable)"),
        "{said:?}"
    );
    let (said, ()) = tokio::join!(async { check(&["--wait", "60", &url]).await }, async {
        refuse(&listener, 503, "", body).await;
        serve(&listener).await;
    });
    assert!(said.0, "{said:?}");
    drop(listener);
    let (good, said) = check(&[&url]).await;
    assert!(!good && said.contains("cannot connect"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test]
async fn a_malformed_url_is_reported_without_its_key() {
    let (good, said) = check(&[&format!("ftp://h/?stream_key={KEY}")]).await;
    assert!(
        !good && said.contains("starts with ws:// or wss://"),
        "{said}"
    );
    assert!(!said.contains(KEY), "{said}");
}
