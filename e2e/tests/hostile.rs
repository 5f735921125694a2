//! A gateway under everything at once that clients and producers can do to its memory stays within its stated bound, and honest
//! clients get every event.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "../benches/hostile/attacks.rs"]
mod attacks;

use std::io::{Read as _, Write as _};
use std::net::TcpStream as BlockingStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attacks::Attack;
use datastream_broker::{Broker, BrokerOptions};
use datastream_e2e::{Launch, MemoryCgroup, Program, get, own_program};
use datastream_gateway::Settings;
use datastream_routing::buckets;
use datastream_routing::{KeyHash, Route, SubscriptionId};
use datastream_service::tls::{
    Authority, ClientCertificates, DISTANT_YEAR, ServerFiles, client_config,
};
use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

const TOPIC: &str = "device-events";
const PATIENCE: Duration = Duration::from_mins(2);
/// Clients that read, that never read, and that flood with pings.
const HONEST: usize = 20;
const SILENT: usize = 100;
const FLOODING: usize = 20;
/// Clients of HTTP/2 that ask for much and take nothing.
const UNREAD: usize = 1_000;
/// Large events, each between small ones.
const LARGE: usize = 24;
const SMALL: usize = 400;

fn key(number: usize) -> String {
    format!("{number:032x}")
}

fn routes() -> Vec<Route> {
    let route = |number: usize| {
        let id = SubscriptionId::new("hostile", format!("s{number}"));
        Route::new(id, KeyHash::of(&key(number)))
    };
    (0..HONEST + SILENT + FLOODING).map(route).collect()
}

/// Settings with small bounds; with TLS, its files are made in this folder.
fn settings(tls: Option<&Path>) -> Settings {
    Settings {
        tls: tls.map(|dir| {
            let authority = Authority::new();
            authority.write(dir);
            ServerFiles {
                identity: authority.issue(dir, &["127.0.0.1"], DISTANT_YEAR),
                clients: ClientCertificates::Unasked,
            }
        }),
        ring_bytes: 8 << 20,
        replays: 2,
        max_streams: 200,
        largest_frame: 1 << 20,
        send_memory: 16 << 20,
        handshakes_per_second: 500,
        ..Settings::default()
    }
}

/// Starts a gateway, under a command that becomes it.
fn gateway(dir: &Path, broker: &str, settings: &Settings, within: Vec<String>) -> Program {
    let objects = dir.join("routes");
    std::fs::create_dir(&objects).unwrap();
    for (id, bucket) in buckets(routes()) {
        std::fs::write(objects.join(format!("{id}.json")), bucket.encode().unwrap()).unwrap();
    }
    let mut args = vec![
        "--listen=127.0.0.1:0".to_owned(),
        "--admin=127.0.0.1:0".to_owned(),
        format!("--fluvio={broker}"),
        format!("--topic={TOPIC}"),
        format!("--routes-dir={}", objects.display()),
        format!("--ring-mib={}", settings.ring_bytes >> 20),
        format!("--replays={}", settings.replays),
        format!("--max-streams={}", settings.max_streams),
        format!("--max-frame-kib={}", settings.largest_frame >> 10),
        format!("--send-memory-mib={}", settings.send_memory >> 20),
        format!("--handshakes-per-second={}", settings.handshakes_per_second),
    ];
    if let Some(ServerFiles { identity, .. }) = &settings.tls {
        args.push(format!("--tls-cert={}", identity.certificate.display()));
        args.push(format!("--tls-key={}", identity.key.display()));
    }
    let launch = Launch::new(own_program("datastream-gateway").unwrap(), args).within(within);
    Program::start(&launch, dir.join("gateway.log")).unwrap()
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(address: &str, trust: Option<&Arc<ClientConfig>>, number: usize) -> Socket {
    let scheme = if trust.is_some() { "wss" } else { "ws" };
    let url = format!("{scheme}://{address}/stream?stream_key={}", key(number));
    let config = WebSocketConfig::default().max_message_size(Some(16 << 20));
    loop {
        let tls = trust.map(|trust| Connector::Rustls(trust.clone()));
        // 503: many connect at once.
        match connect_async_tls_with_config(&url, Some(config), true, tls).await {
            Ok((socket, _)) => return socket,
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

fn small(number: usize) -> Vec<u8> {
    format!(r#"{{"metadata":{{"event_type":"datapoint","dsn":"small"}},"datapoint":{{"value":{number}}}}}"#).into()
}

/// A record whose frame is nearly as large as a frame may be: plain, or by its escapes.
fn large(number: usize) -> Vec<u8> {
    let value = if number.is_multiple_of(2) {
        "x".repeat(1000 << 10)
    } else {
        "|".repeat(160 << 10)
    };
    format!(r#"{{"metadata":{{"event_type":"datapoint","dsn":"large"}},"datapoint":{{"value":"{value}"}}}}"#).into()
}

/// Reads until it has had every small event once, in order, and answers heartbeats.
async fn honest(mut socket: Socket) -> usize {
    let mut next = 0;
    while next < SMALL {
        let message = timeout(PATIENCE, socket.next())
            .await
            .expect("something in time");
        match message {
            Some(Ok(Message::Text(text))) if text.as_str() == "1|Z" => {
                socket.send(Message::text("Z")).await.unwrap();
            }
            Some(Ok(Message::Text(text))) if text.contains(r#""dsn":"small""#) => {
                assert!(
                    text.contains(&format!(r#""value":{next}}}"#)),
                    "{next}: {text}"
                );
                next += 1;
            }
            Some(Ok(_)) => (),
            other => panic!("event {next}: {other:?}"),
        }
    }
    next
}

/// Opens a connection, asks for much and reads nothing; all of them are held by who called.
fn hold(address: &str, request: &[u8]) -> Option<BlockingStream> {
    let mut tcp = BlockingStream::connect(address).ok()?;
    tcp.set_nonblocking(true).ok()?;
    let _ = tcp.write(request);
    Some(tcp)
}

/// Asks again and again, with a good key and with wrong ones.
fn ask(address: &str, stop: &AtomicBool) {
    let mut number = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let key = if number.is_multiple_of(2) {
            key(0)
        } else {
            key(1_000_000 + number)
        };
        let Ok(mut tcp) = BlockingStream::connect(address) else {
            continue;
        };
        let _ = tcp.set_read_timeout(Some(Duration::from_secs(1)));
        let _ = write!(
            tcp,
            "GET /stream?stream_key={key} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let _ = tcp.read(&mut [0; 512]);
    }
}

fn peak_bytes(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        << 10
}

/// The beginning of a message of the handshake that would have 60,000 bytes (RFC 8446, sections 4 and 5.1).
fn endless_hello() -> Vec<u8> {
    let mut hello = vec![22, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60];
    hello.resize(5 + (16 << 10), 0);
    let begun = hello[..3 << 10].to_vec();
    hello.extend(begun);
    hello
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_attacks_at_once_stay_within_the_stated_memory_and_honest_clients_get_everything() {
    let dir = tempfile::tempdir().unwrap();
    under_attack(dir.path(), settings(None), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_attacks_at_once_over_tls_stay_within_the_stated_memory() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(Some(dir.path()));
    let trust = client_config(Some(&dir.path().join("ca.crt"))).unwrap();
    under_attack(dir.path(), settings, Some(&Arc::new(trust))).await;
}

async fn under_attack(dir: &Path, settings: Settings, trust: Option<&Arc<ClientConfig>>) {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    // The limit that the chart gives the pods.
    let limit = settings.memory().limit();
    let cgroup = MemoryCgroup::new("datastream-hostile", limit);
    let within = match &cgroup {
        Ok(cgroup) => {
            let enter = r#"echo $$ > "$0" && exec "$@""#;
            let file = cgroup.processes().display().to_string();
            vec!["sh".to_owned(), "-c".to_owned(), enter.to_owned(), file]
        }
        Err(reason) => {
            println!("no memory cgroup can be made here, so only its peak is looked at: {reason}");
            vec![]
        }
    };
    let gateway = gateway(dir, &broker.address().to_string(), &settings, within);
    let address = gateway.address("stream").unwrap().to_owned();
    let admin = gateway.address("admin").unwrap().to_owned();
    let is_ready = || get(&admin, "/readyz").is_ok_and(|(status, _)| status == 200);
    timeout(PATIENCE, async {
        while !is_ready() {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("ready in time");

    let mut readers = Vec::new();
    for number in 0..HONEST {
        readers.push(tokio::spawn(honest(connect(&address, trust, number).await)));
    }
    let mut silent = Vec::new();
    for number in HONEST..HONEST + SILENT {
        silent.push(connect(&address, trust, number).await);
    }
    let mut floods = Vec::new();
    for number in HONEST + SILENT..HONEST + SILENT + FLOODING {
        let mut socket = connect(&address, trust, number).await;
        floods.push(tokio::spawn(async move {
            let ping = Message::Ping(Bytes::from_static(&[b'p'; 125]));
            for _ in 0..100_000 {
                if socket.feed(ping.clone()).await.is_err() || socket.flush().await.is_err() {
                    return;
                }
            }
        }));
    }
    let pipelined = "GET /console/console.css HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let requests: [(usize, &[u8]); 3] = [
        (1_500, pipelined.as_bytes()),
        (500, b"GET /stream HTTP/1.1\r\nX-Slow: "),
        (1_500, &endless_hello()),
    ];
    let held: Vec<_> = requests
        .into_iter()
        .filter(|(_, request)| trust.is_some() || request[0] == b'G')
        .flat_map(|(count, request)| vec![request; count])
        .filter_map(|request| hold(&address, request))
        .collect();
    let count = if trust.is_none() { UNREAD } else { 0 };
    let unread = attacks::begin(Attack::UnreadHttp2, &address, count, |_| String::new());
    timeout(PATIENCE, unread.reached(count as u64))
        .await
        .expect("all of them connect");
    let stop = Arc::new(AtomicBool::new(false));
    let askers: Vec<_> = (0..2)
        .map(|_| {
            let (address, stop) = (address.clone(), stop.clone());
            std::thread::spawn(move || ask(&address, &stop))
        })
        .collect();

    let mut producer = Producer::new(FluvioTarget::new(broker.address().to_string(), TOPIC));
    let record = |value| Record {
        key: "k".to_owned(),
        value,
    };
    for number in 0..SMALL {
        let mut records = vec![record(small(number))];
        if number.is_multiple_of(SMALL / LARGE) {
            records.push(record(large(number / (SMALL / LARGE))));
        }
        producer.send(&records).await.unwrap();
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), SMALL);
    }
    assert!(is_ready(), "probes are answered");
    stop.store(true, Ordering::Relaxed);
    for asker in askers {
        asker.join().unwrap();
    }
    let peak = peak_bytes(gateway.server.pid().unwrap());
    let bound = settings.memory().bound();
    println!("peak {} MiB of {} MiB", peak >> 20, bound >> 20);
    if let Ok(cgroup) = &cgroup {
        let used = cgroup.used().unwrap();
        println!(
            "with the kernel's memory {} MiB of {} MiB",
            used >> 20,
            limit >> 20
        );
    }
    assert!(peak <= bound, "{} MiB of {} MiB", peak >> 20, bound >> 20);
    drop((silent, held, unread));
}

/// Attackers of a short form of an attack: a fiftieth.
fn short(attack: Attack) -> usize {
    (attack.whole() / 50).max(4)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_leaves_honest_clients_and_probes_alone() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic(TOPIC, 1).unwrap();
    // Fewer files than the attackers would have, so that those run out, too.
    let files = vec!["prlimit".to_owned(), "--nofile=450:450".to_owned()];
    let gateway = gateway(
        dir.path(),
        &broker.address().to_string(),
        &settings(None),
        files,
    );
    let address = gateway.address("stream").unwrap().to_owned();
    let admin = gateway.address("admin").unwrap().to_owned();
    let lives = || get(&admin, "/livez").is_ok_and(|(status, _)| status == 200);
    let mut readers = Vec::new();
    for number in 0..HONEST {
        readers.push(tokio::spawn(honest(connect(&address, None, number).await)));
    }
    let host = address.trim_start_matches("http://");
    let mut running = vec![];
    let mut attackers = HONEST;
    for attack in Attack::ALL {
        let first = attackers;
        attackers += if attack.needs_keys() {
            short(attack)
        } else {
            0
        };
        assert!(
            attackers <= HONEST + SILENT + FLOODING,
            "keys for {attack:?}"
        );
        running.push(attacks::begin(attack, host, short(attack), |n| {
            key(first + n)
        }));
    }
    let mut producer = Producer::new(FluvioTarget::new(broker.address().to_string(), TOPIC));
    for number in 0..SMALL {
        let record = Record {
            key: "k".to_owned(),
            value: small(number),
        };
        producer.send(&[record]).await.unwrap();
        if number.is_multiple_of(SMALL / 20) {
            assert!(lives(), "a probe is answered");
        }
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), SMALL);
    }
    for (attack, running) in Attack::ALL.iter().zip(&running) {
        let begun = timeout(PATIENCE, running.reached(1)).await;
        begun.unwrap_or_else(|_| panic!("{attack:?} has not begun"));
    }
    assert!(lives(), "a probe is answered");
}
