//! The console in a real browser, on `datastream dev` with its simulated fleet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader};

use browser::Browser;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use support::group::Group;

/// Starts `datastream dev`, and returns the URL of the stream of all events.
fn start() -> (Group, String) {
    let manifests = "../crds/examples";
    let args = [
        "dev",
        "--simulate",
        "--listen=127.0.0.1:0",
        "--admin=127.0.0.1:0",
        "--output=json",
        "--manifests",
        manifests,
    ];
    let (dev, stdout) = Group::start(env!("CARGO_BIN_EXE_datastream"), &args);
    let mut lines = BufReader::new(stdout).lines();
    loop {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if line["name"] == "all-events" {
            // The rest is read to the end, so that nothing blocks on a full pipe.
            std::thread::spawn(move || lines.for_each(drop));
            return (dev, line["url"].as_str().unwrap().to_owned());
        }
    }
}

#[test]
fn the_console_shows_streams_events_and_refusals() {
    let (_dev, url) = start();
    let (endpoint, key) = url.split_once("?stream_key=").unwrap();
    let page = endpoint.replace("ws://", "http://").replace("/stream", "/");
    let browser = Browser::start();
    // A good key, and one that nobody has.
    browser.open(&format!(
        "{page}#key={key}&key=0123456789abcdef0123456789abcdef"
    ));
    let row = |n: u8| format!("document.querySelectorAll('#streams tbody tr')[{n}]");
    let (good, bad) = (row(0), row(1));
    browser.until(&format!(
        "return {good}?.dataset.state === 'live' && Number({good}.cells[2].textContent) > 5"
    ));
    browser.until(&format!(
        "return {bad}?.dataset.state === 'closed' && {bad}.innerText.includes('401')"
    ));
    assert_eq!(
        browser.run("return document.querySelectorAll('#streams tbody tr').length"),
        2
    );
    browser.until("return document.querySelectorAll('#events tbody tr').length > 5");

    // Held still, an event shows its details on a click.
    browser.click("#pause");
    browser.click("#events tbody tr");
    let details =
        browser.until("return document.querySelector('#details:not([hidden]) pre')?.textContent");
    let details: Value = serde_json::from_str(details.as_str().unwrap()).unwrap();
    // The row is marked with the next frame.
    let chosen = "return document.querySelector('#events tr.chosen td.seq')?.textContent";
    assert_eq!(details["seq"], browser.until(chosen));
    assert!(details["metadata"]["event_type"].is_string(), "{details}");
    save(&browser.screenshot());

    // By hand: the same stream again, from its first event, beside the one that is there, is refused with the reason.
    let fill = format!(
        "document.querySelector('#target').value = {}; document.querySelector('#start').value = '1'; document.querySelector('#open').requestSubmit()",
        json!(url)
    );
    browser.run(&fill);
    let third = row(2);
    browser.until(&format!("return {third}?.innerText.includes('409')"));
    // Closed, the first gives way.
    browser.click("#streams tbody tr:nth-child(1) button");
    browser.until(&format!("return {good}.dataset.state === 'done'"));
    browser.click("#streams tbody tr:nth-child(3) button");
    browser.until(&format!(
        "return {third}.dataset.state === 'live' && Number({third}.cells[2].textContent) > 5"
    ));

    // Refused handshakes are all that the browser complains of.
    let errors = browser.errors();
    let unexpected: Vec<_> = errors
        .iter()
        .filter(|e| {
            !e.contains("failed: HTTP Authentication")
                && !e.contains("Unexpected response code: 409")
                && !e.contains("401")
        })
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

/// Writes the picture where `DATASTREAM_SCREENSHOT` says, for people to look at.
fn save(picture: &str) {
    if let Some(path) = std::env::var_os("DATASTREAM_SCREENSHOT") {
        let png: ByteString = serde_json::from_value(json!(picture)).unwrap();
        std::fs::write(path, png.0).unwrap();
    }
}
