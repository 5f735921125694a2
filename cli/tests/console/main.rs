//! The console in a real browser, on `datastream dev` with its simulated fleet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader};

use browser::Browser;
use datastream_e2e::ports::fixed_port;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use support::group::Group;

/// Starts `datastream dev`, and returns the URL of the stream of all events.
fn start(options: &[&str]) -> (Group, String) {
    let dev = start_all(options);
    (dev.group, dev.url)
}

/// `datastream dev`, and what it prints.
struct Dev {
    group: Group,
    /// URL of the stream of all events.
    url: String,
    /// Link to the console.
    console: String,
    /// URL of the admin listener, which takes events.
    admin: String,
}

fn start_all(options: &[&str]) -> Dev {
    let mut args = vec![
        "dev",
        "--simulate",
        "--admin=127.0.0.1:0",
        "--output=json",
        "--manifests=../crds/examples",
    ];
    args.extend(options);
    let (group, stdout) = Group::start(env!("CARGO_BIN_EXE_datastream"), &args);
    let mut lines = BufReader::new(stdout).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let first = next();
    let stream = loop {
        let line = next();
        if line["name"] == "all-events" {
            break line;
        }
    };
    // The rest is read to the end, so that nothing blocks on a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Dev {
        group,
        url: text(&stream["url"]),
        console: text(&first["console"]),
        admin: text(&first["admin"]),
    }
}

/// The page's address, and the key of the stream.
fn page_and_key(url: &str) -> (String, &str) {
    let (endpoint, key) = url.split_once("?stream_key=").unwrap();
    let page = endpoint.replace("ws://", "http://").replace("/stream", "/");
    (page, key)
}

/// Opens the page, and on it the streams of these keys, by hand.
fn open(browser: &Browser, page: &str, keys: &[&str]) {
    browser.open(page);
    for key in keys {
        browser.run(&format!(
            "document.querySelector('#target').value = {}; document.querySelector('#open').requestSubmit()",
            json!(key)
        ));
    }
}

/// A key that no subscription has.
const UNKNOWN: &str = "0123456789abcdef0123456789abcdef";

fn row(n: u8) -> String {
    format!("document.querySelectorAll('#streams tbody tr')[{n}]")
}

/// Waits until a stream is live and has got so many events.
fn until_live(browser: &Browser, row: &str, events: u32) {
    browser.until(&format!(
        "return {row}?.dataset.state === 'live' && Number({row}.cells[2].textContent) > {events}"
    ));
}

/// The sequence numbers of the events that are shown, newest first.
fn shown(browser: &Browser) -> Vec<u64> {
    let script = "return [...document.querySelectorAll('#events td.seq')].map((td) => Number(td.textContent))";
    serde_json::from_value(browser.run(script)).unwrap()
}

fn assert_nothing_is_missing(shown: &[u64]) {
    assert!(
        shown.windows(2).all(|pair| pair[0] == pair[1] + 1),
        "{shown:?}"
    );
}

#[test]
fn the_console_shows_streams_events_and_refusals() {
    let (_dev, url) = start(&["--listen=127.0.0.1:0"]);
    let (page, key) = page_and_key(&url);
    let browser = Browser::start();
    // A good key, and one that nobody has.
    open(&browser, &page, &[key, UNKNOWN]);
    let (good, bad) = (row(0), row(1));
    until_live(&browser, &good, 5);
    browser.until(&format!(
        "return {good}.cells[0].textContent === 'default/all-events'"
    ));
    browser.until(&format!(
        "return {bad}?.dataset.state === 'closed' && {bad}.innerText.includes('401')"
    ));
    assert_eq!(
        browser.run("return document.querySelectorAll('#streams tbody tr').length"),
        2
    );
    browser.until("return document.querySelectorAll('#events tbody tr').length > 5");

    // Held still, an event shows its details on a click, and what comes is counted.
    browser.click("#pause");
    browser.click("#events tbody tr");
    let details =
        browser.until("return document.querySelector('#details:not([hidden]) pre')?.textContent");
    let details: Value = serde_json::from_str(details.as_str().unwrap()).unwrap();
    // The row is marked with the next frame.
    let chosen = "return document.querySelector('#events tr.chosen td.seq')?.textContent";
    assert_eq!(details["seq"], browser.until(chosen));
    assert!(details["metadata"]["event_type"].is_string(), "{details}");
    let newest = shown(&browser)[0];
    browser.until(
        "return /^Go on \\((\\d\\d) new\\)$/.test(document.querySelector('#pause').textContent)",
    );
    assert_eq!(shown(&browser)[0], newest);
    save(&browser.screenshot(), "wide");
    browser.click("#pause");
    browser.until("return document.querySelector('#pause').textContent === 'Pause'");
    assert_nothing_is_missing(&shown(&browser));
    browser.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))");
    browser.until("return document.querySelector('#details').hidden");
    assert_eq!(
        browser.until("return document.querySelectorAll('#events tr[tabindex=\"0\"]').length"),
        1
    );
    let filter = |text: &str| {
        browser.run(&format!(
            "const filter = document.querySelector('#filter'); filter.value = {}; filter.oninput()",
            json!(text)
        ));
    };
    filter("no event has this");
    browser.until(
        "return document.querySelector('#no-events').innerText.includes('None of the last')",
    );
    filter("");

    // By hand: the same stream again, from its first event, waits for as long as the other one is open.
    let fill = format!(
        "document.querySelector('#target').value = {}; document.querySelector('#start').value = '1'; document.querySelector('#open').requestSubmit()",
        json!(url)
    );
    browser.run(&fill);
    let third = row(2);
    browser.until(&format!(
        "return {third}?.dataset.state === 'waiting' && {third}.innerText.includes('409')"
    ));
    browser.click("#streams tbody tr:nth-child(1) button");
    browser.until(&format!("return {good}.dataset.state === 'done'"));
    until_live(&browser, &third, 5);
    // It is there again when the page is.
    browser.run("location.reload()");
    browser.until(&format!("return {third}?.innerText.length > 0"));

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

#[test]
fn the_console_shows_every_event_after_a_restart_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let journal = format!("--journal={}", folder.path().join("journal").display());
    let port = fixed_port().unwrap();
    let options = [journal, format!("--listen=127.0.0.1:{port}")];
    let options = options.each_ref().map(String::as_str);
    let (dev, url) = start(&options);
    let (page, key) = page_and_key(&url);
    let browser = Browser::start();
    open(&browser, &page, &[key]);
    let stream = row(0);
    until_live(&browser, &stream, 5);
    drop(dev);
    browser.until(&format!("return {stream}.dataset.state === 'waiting'"));
    let before = shown(&browser)[0];
    let (_dev, again) = start(&options);
    assert_eq!(again, url);
    browser.until(&format!("return {stream}.dataset.state === 'live'"));
    browser.until(&format!(
        "return Number({stream}.cells[4].textContent) > {before} + 5"
    ));
    let shown = shown(&browser);
    assert!(shown.contains(&before) && shown[0] > before, "{shown:?}");
    assert_nothing_is_missing(&shown);
}

#[test]
fn the_console_reads_events_as_the_gateway_does() {
    let (_dev, url) = start(&["--listen=127.0.0.1:0"]);
    let browser = Browser::start();
    browser.open(&page_and_key(&url).0);
    let vectors = include_str!("../../../protocol/tests/vectors/events.json");
    let wrong = browser.run(&format!(
        r#"return (async () => {{
        const {{ view }} = await import("/console/event.js");
        const pick = ({{ seq, type, device, property, happened, what }}) => [seq, type, device, property, happened, what];
        const vectors = {vectors};
        if (vectors.length < 20) return ["too few"];
        return vectors
            .map((v) => [v.name, pick(view(v.event)).map((text) => text ?? null),
                [v.seq, v.event_type, v.dsn, v.property_name, v.happened, v.what]])
            .filter(([, found, expected]) => JSON.stringify(found) !== JSON.stringify(expected));
        }})()"#
    ));
    assert_eq!(wrong, json!([]));
}

#[test]
fn markup_in_an_event_is_shown_as_text() {
    let dev = start_all(&["--listen=127.0.0.1:0"]);
    let (page, key) = page_and_key(&dev.url);
    let browser = Browser::start();
    open(&browser, &page, &[key]);
    until_live(&browser, &row(0), 0);
    let markup = r#"<img src="x" onerror="window.ran = true"><script>window.ran = true</script>"#;
    let event = json!({
        "metadata": {"event_type": "datapoint", "dsn": markup, "property_name": markup},
        "datapoint": {"value": markup},
    });
    let post = json!({"method": "POST", "mode": "no-cors", "body": event.to_string()});
    browser.run(&format!(
        "return fetch('{}/events', {post}).then(() => true)",
        dev.admin
    ));
    let cell = format!(
        "[...document.querySelectorAll('#events td')].find((td) => td.textContent === {})",
        json!(markup)
    );
    browser.until(&format!(
        "const cell = {cell}; cell?.click(); return Boolean(cell)"
    ));
    browser.until("return document.querySelector('#details pre').textContent.includes('onerror')");
    assert_eq!(
        browser.run("return document.querySelector('main img, main script')"),
        Value::Null
    );

    // If a fault of the page ever let markup in, the policy that the page is served with has nothing of it run.
    browser.run(&format!(
        "window.refused = 0; document.addEventListener('securitypolicyviolation', () => window.refused++); \
         document.querySelector('main').insertAdjacentHTML('beforeend', {})",
        json!(markup)
    ));
    browser.until("return window.refused > 0");
    assert_eq!(browser.run("return window.ran ?? null"), Value::Null);
}

#[test]
fn events_beyond_the_limit_of_a_pause_are_counted() {
    let (_dev, url) = start(&["--listen=127.0.0.1:0"]);
    let browser = Browser::start();
    browser.open(&page_and_key(&url).0);
    let found = browser.run(
        r#"return (async () => {
        const { Kept } = await import("/console/kept.js");
        const kept = new Kept(3, 100);
        const add = (...names) => names.forEach((json) => kept.add({ json }));
        const shown = () => kept.shown.entries.map(({ json }) => json).join(" ");
        add("a", "b");
        kept.pause();
        add("c", "d", "e", "f");
        const paused = [shown(), kept.news];
        kept.goOn();
        return [...paused, shown(), kept.lost];
        })()"#,
    );
    assert_eq!(found, json!(["a b", 4, "d e f", 1]));
}

#[test]
fn keys_stay_out_of_the_address_the_history_and_the_requests_of_the_browser() {
    let dev = start_all(&["--listen=127.0.0.1:0"]);
    let (url, link) = (&dev.url, &dev.console);
    let (page, key) = page_and_key(url);
    let browser = Browser::start();
    // The link opens every stream that is not suspended.
    browser.open(link);
    let all = browser.until("return document.querySelectorAll('#streams tbody tr').length || null");
    let row_of_all = "[...document.querySelectorAll('#streams tbody tr')].find((row) => row.cells[0].textContent === 'default/all-events')";
    until_live(&browser, row_of_all, 5);
    let seen = browser.run(
        "return [location.href, document.referrer, document.title, JSON.stringify(history.state), \
         ...performance.getEntriesByType('resource').map((entry) => entry.name), document.documentElement.outerHTML].join(' ')",
    );
    let seen = seen.as_str().unwrap();
    assert!(seen.contains("/console/console.js"), "{seen}");
    assert!(!seen.contains(key), "{seen}");
    // It is there again when the page is, once.
    browser.run("location.reload()");
    until_live(&browser, row_of_all, 5);
    let again = browser.run("return document.querySelectorAll('#streams tbody tr').length");
    assert!(again == all && again.as_u64() > Some(1), "{again} of {all}");
    let history = browser.history();
    let has = |text: &str| {
        history
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(has(page.trim_end_matches('/')), "the page is remembered");
    assert!(!has(key));
}

#[test]
fn the_console_fits_a_phone_screen() {
    let (_dev, url) = start(&["--listen=127.0.0.1:0"]);
    let (page, key) = page_and_key(&url);
    let browser = Browser::start();
    browser.resize(390, 844);
    open(&browser, &page, &[key, UNKNOWN]);
    until_live(&browser, &row(0), 5);
    let bad = row(1);
    browser.until(&format!("return {bad}.innerText.includes('401')"));
    assert_eq!(
        browser.run("return document.documentElement.scrollWidth"),
        390
    );
    let inside = |selector: &str| {
        let script = format!(
            "const box = document.querySelector('{selector}').getBoundingClientRect(); \
             return box.left >= 0 && box.right <= innerWidth && box.width > 0"
        );
        assert_eq!(browser.run(&script), true, "{selector}");
    };
    for selector in ["#clear", "#pause", "#filter", "#target", "#open button"] {
        inside(selector);
    }
    let height = browser.run(&format!("return {bad}.getBoundingClientRect().height"));
    assert!(height.as_f64().unwrap() < 200.0, "{height}");
    browser.click("#pause");
    browser.click("#events tbody tr");
    browser.until("return !document.querySelector('#details').hidden");
    inside("#details pre");
    let below = "return document.querySelector('#details').getBoundingClientRect().bottom <= innerHeight + 1";
    assert_eq!(browser.run(below), true);
    save(&browser.screenshot(), "phone");
    browser.click("#close-details");
    save(&browser.screenshot(), "phone-closed");
}

/// Writes the picture into the folder that `DATASTREAM_SCREENSHOTS` names, for people to look at.
fn save(picture: &str, name: &str) {
    if let Some(folder) = std::env::var_os("DATASTREAM_SCREENSHOTS") {
        let png: ByteString = serde_json::from_value(json!(picture)).unwrap();
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(path, png.0).unwrap();
    }
}
