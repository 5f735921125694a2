//! The `EventSource` and the `WebSocket` of Chromium, on pages of another origin than the server's.

use std::fs;

use serde_json::json;

use crate::browser::Browser;
use crate::events::assert_all;
use crate::programs::example;
use crate::proxy::{Condition, Proxy};
use crate::reader::{Reader, events_at, key};
use crate::server::Server;

/// The page of the examples, on an origin of its own.
async fn page() -> Proxy {
    let page = fs::read_to_string(example("page.html")).unwrap();
    let length = page.len();
    let origin = Proxy::to(0).await;
    origin.set(Condition::Answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
    )));
    origin
}

/// Opens the page on the stream at this port, by a key and with this query.
fn open(browser: &Browser, page: &Proxy, port: u16, key: &str, query: &str) {
    let events = format!("{}?stream_key={key}&{query}", events_at(port));
    // Another fragment alone would not load the page again.
    browser.open("about:blank");
    browser.open(&format!("http://localhost:{}/#{events}", page.port));
}

/// Waits until the page shows so many events. Returns them.
fn shown(browser: &Browser, count: usize) -> Vec<String> {
    let script = format!(
        "const items = [...document.querySelectorAll('li')].map((item) => item.textContent); \
         return items.length >= {count} && items"
    );
    serde_json::from_value(browser.until(&script)).unwrap()
}

/// Waits until the page shows this state.
fn has_state(browser: &Browser, text: &str) {
    browser.until(&format!(
        "return document.querySelector('#state').textContent.includes({})",
        json!(text)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eventsource_reads_events_over_restarts() {
    let mut server = Server::start().await;
    let page = page().await;
    let browser = Browser::start();
    open(&browser, &page, server.port, &key(&server), "seq_start=1");
    server.publish(1..=20).await;
    shown(&browser, 20);
    server.kill().await;
    server.start_again().await;
    server.publish(21..=40).await;
    shown(&browser, 40);
    server.drain().await;
    server.start_again().await;
    server.publish(41..=60).await;
    assert_all("EventSource", &shown(&browser, 60), 1..=60);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eventsource_ends_with_its_replay() {
    let server = Server::start().await;
    let page = page().await;
    server.publish(1..=20).await;
    let browser = Browser::start();
    open(
        &browser,
        &page,
        server.port,
        &key(&server),
        "seq_start=1&seq_end=10",
    );
    has_state(&browser, "refused for good");
    assert_all("EventSource", &shown(&browser, 10), 1..=10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eventsource_gives_up_where_the_refusal_is_final() {
    let (server, _broker) = Server::with_expired().await;
    let page = page().await;
    let browser = Browser::start();
    let key = key(&server);
    for (key, query, status) in [
        (key.as_str(), "seq_start=x", 400),
        ("unknown", "seq_start=1", 401),
        (&key, "subscription=default/another", 403),
        (&key, "seq_start=1", 410),
    ] {
        let network = Proxy::to(server.port).await;
        open(&browser, &page, network.port, key, query);
        has_state(&browser, "refused for good");
        assert_eq!(network.connections(), 1, "{query}");
        let status = format!("status of {status}");
        let errors = browser.errors();
        assert!(
            errors.iter().any(|error| error.contains(&status)),
            "{query}: {errors:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eventsource_comes_again_once_the_stream_is_free() {
    let server = Server::start().await;
    let page = page().await;
    let browser = Browser::start();
    let (url, authorization) = (
        events_at(server.port),
        format!("Authorization: Bearer {}", key(&server)),
    );
    let curl = Reader::start(&key(&server), &["curl", "-sSN", "-H", &authorization, &url]);
    server.is_connected().await;
    open(&browser, &page, server.port, &key(&server), "seq_start=1");
    has_state(&browser, r#""status":409"#);
    drop(curl);
    server.publish(1..=10).await;
    assert_all("EventSource", &shown(&browser, 10), 1..=10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eventsource_comes_again_once_the_server_has_time() {
    let server = Server::start().await;
    let page = page().await;
    let browser = Browser::start();
    server.publish(1..=10).await;
    browser.open(&format!("http://localhost:{}/", page.port));
    // More than 1,000 messages in 10 s: it is sent away, and has to stay away for a while.
    browser.run(&format!(
        "const socket = new WebSocket({}); window.socket = socket; \
         socket.onopen = () => {{ for (let i = 0; i < 2000; i++) socket.send('Z'); }}; \
         socket.onclose = ({{ code }}) => (window.code = code);",
        json!(server.url(server.port))
    ));
    assert_eq!(browser.until("return window.code ?? false"), 1008);
    open(&browser, &page, server.port, &key(&server), "seq_start=1");
    has_state(&browser, r#""status":503"#);
    assert_all("EventSource", &shown(&browser, 10), 1..=10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_reads_json_and_cloud_events() {
    let server = Server::start().await;
    let page = page().await;
    let browser = Browser::start();
    server.publish(1..=10).await;
    let endpoint = format!(
        "ws://127.0.0.1:{}/stream?seq_start=1&seq_end=10",
        server.port
    );
    let key = key(&server);
    browser.open(&format!("http://localhost:{}/", page.port));
    for (url, protocols, chosen) in [
        (
            format!("{endpoint}&format=json&stream_key={key}"),
            json!([]),
            "",
        ),
        (
            endpoint.clone(),
            json!(["cloudevents.json", format!("datastream.key.{key}")]),
            "cloudevents.json",
        ),
    ] {
        browser.run(&format!(
            "const messages = (window.messages = []); window.ended = undefined; \
             const socket = new WebSocket({}, {protocols}); \
             socket.onmessage = ({{ data }}) => messages.push(JSON.parse(data)); \
             socket.onclose = ({{ code }}) => (window.ended = [code, socket.protocol]);",
            json!(url)
        ));
        assert_eq!(
            browser.until("return window.ended ?? false"),
            json!([1000, chosen])
        );
        let events = "return messages.map((message) => JSON.stringify(message.data ?? message))";
        let events: Vec<String> = serde_json::from_value(browser.run(events)).unwrap();
        assert_all(chosen, &events, 1..=10);
    }
}
