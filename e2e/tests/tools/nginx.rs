//! nginx in front of a server, as the example configures it. With its defaults it asks in HTTP/1.0, and keeps answers back that do not
//! say otherwise.

use std::fs;

use datastream_e2e::ports::fixed_port;
use tempfile::TempDir;

use crate::process::{Output, Process};
use crate::programs::{example, installed};
use crate::proxy::Proxy;
use crate::reader::{Reader, events_at, key, resumes_over_restarts, stream_at};
use crate::server::Server;

/// Seconds after which it ends, whatever happens.
const LIFETIME: u32 = 120;
/// Time for which nothing may come from the server, 60 s by default. Here it is more than heartbeats are apart, and less than the stream
/// is idle.
const IDLE: &str = "proxy_read_timeout 8s;";
/// Directives by which it keeps answers back until it has them whole, or has no more room.
const BUFFERING: &str = "proxy_ignore_headers X-Accel-Buffering;";

/// nginx.
struct Nginx {
    _process: Process,
    _folder: TempDir,
    port: u16,
}

impl Nginx {
    /// Starts it in front of a server, with these directives beside the example.
    async fn start(server: u16, directives: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let port = fixed_port().unwrap();
        let site = fs::read_to_string(example("nginx.conf")).unwrap();
        let site = site.replace("listen 8000", &format!("listen 127.0.0.1:{port}"));
        let site = site.replace("127.0.0.1:8080", &format!("127.0.0.1:{server}"));
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {};", path(what)));
        let temporary = temporary.join("\n");
        // One process: those of a master would outlive it if it is killed.
        let configuration = format!(
            "daemon off; master_process off; pid {};\nerror_log stderr notice;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}\n{directives}\n{site}}}\n",
            path("pid"),
        );
        fs::write(path("nginx.conf"), configuration).unwrap();
        let words = ["/usr/sbin/nginx", "-c", &path("nginx.conf"), "-e", "stderr"];
        let process = Process::start(&words.map(str::to_owned), LIFETIME);
        // It listens by then.
        let is_up = |output: &Output| output.notes.iter().any(|note| note.contains("using the"));
        process.has_written("start of nginx", is_up).await;
        Self {
            _process: process,
            _folder: folder,
            port,
        }
    }
}

/// Follows a stream by curl, from its first event on.
fn follow(server: &Server, port: u16, options: &[&str]) -> Reader {
    let url = format!("{}?seq_start=1", events_at(port));
    let key = key(server);
    let authorization = format!("Authorization: Bearer {key}");
    let mut words = vec!["curl", "-sSN", "-H", &authorization, &url];
    words.extend(options);
    Reader::start(&key, &words)
}

#[tokio::test]
async fn nginx_passes_each_line_on_and_heartbeats_keep_an_idle_stream() {
    let server = Server::start().await;
    let nginx = Nginx::start(server.port, IDLE).await;
    let curl = follow(&server, nginx.port, &[]);
    for number in 1..=5 {
        server.publish(number..=number).await;
        curl.printed(number).await;
    }
    // Heartbeats of 15 s.
    let idle = |output: &Output| output.lines.iter().filter(|line| line.is_empty()).count() >= 3;
    curl.process.has_written("heartbeats", idle).await;
    server.publish(6..=10).await;
    curl.printed(10).await;
    curl.has(1..=10);
}

#[tokio::test]
async fn nginx_passes_each_server_sent_event_on() {
    let server = Server::start().await;
    let nginx = Nginx::start(server.port, IDLE).await;
    let curl = follow(&server, nginx.port, &["-H", "Accept: text/event-stream"]);
    for number in 1..=5 {
        server.publish(number..=number).await;
        let id = format!("id: {number}");
        let come = |output: &Output| output.lines.contains(&id);
        curl.process.has_written("event", come).await;
    }
    let output = curl.process.output();
    let ids = output.lines.iter().filter(|line| line.starts_with("id: "));
    assert_eq!(ids.count(), 5, "{:?}", output.lines);
}

#[tokio::test]
async fn server_sent_events_behind_nginx_are_read_over_restarts() {
    let mut server = Server::start().await;
    let nginx = Nginx::start(server.port, IDLE).await;
    let python = installed("python/bin/python").await;
    let (program, url) = (example("httpx_events.py"), events_at(nginx.port));
    let reader = Reader::start(&key(&server), &[&python, &program, &url, "1"]);
    resumes_over_restarts(&mut server, &reader).await;
}

#[tokio::test]
async fn websockets_behind_nginx_are_read_over_restarts() {
    let mut server = Server::start().await;
    let nginx = Nginx::start(server.port, IDLE).await;
    let python = installed("python/bin/python").await;
    let (program, url) = (example("websockets_json.py"), stream_at(nginx.port));
    let reader = Reader::start(&key(&server), &[&python, &program, &url, "1"]);
    resumes_over_restarts(&mut server, &reader).await;
}

#[tokio::test]
async fn a_proxy_that_keeps_answers_back_brings_a_stream_at_its_end_only() {
    let server = Server::start().await;
    let network = Proxy::to(server.port).await;
    let nginx = Nginx::start(network.port, BUFFERING).await;
    server.publish(1..=3).await;
    let url = format!("{}?seq_start=1&limit=4", events_at(nginx.port));
    let key = key(&server);
    let authorization = format!("Authorization: Bearer {key}");
    let curl = Reader::start(&key, &["curl", "-sSN", "-H", &authorization, &url]);
    // Events and a heartbeat, which it has had by then.
    network.passed_to_clients(3).await;
    assert!(curl.process.output().lines.is_empty());
    server.publish(4..=4).await;
    curl.ended_with(1..=4).await;
}

#[tokio::test]
async fn a_proxy_that_keeps_answers_back_brings_batches() {
    let mut server = Server::start().await;
    let nginx = Nginx::start(server.port, BUFFERING).await;
    let url = events_at(nginx.port);
    let batches = Reader::start(&key(&server), &[&example("batches.sh"), &url, "1"]);
    resumes_over_restarts(&mut server, &batches).await;
}
