//! Probes and metrics: `/livez`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::accept::Acceptor;

/// Connections at once: probes and scrapers are few.
const CONNECTIONS: usize = 32;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// State and metrics that a process reports of itself.
pub trait Probes: Send + Sync + 'static {
    /// Returns whether the process does its work: a text to show, as `Ok` if it does.
    ///
    /// # Errors
    /// The process does not do its work. The text says what it waits for.
    fn ready(&self) -> Result<String, String> {
        Ok("ok\n".to_owned())
    }

    /// Its metrics, in the text exposition format.
    ///
    /// # Errors
    /// The metrics' own.
    fn metrics(&self) -> prometheus::Result<String>;
}

/// Serves until dropped.
///
/// # Errors
/// None in practice.
pub async fn serve(listener: TcpListener, probes: Arc<impl Probes>) -> anyhow::Result<()> {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let mut acceptor = Acceptor::new(listener);
    loop {
        let permit = connections.clone().acquire_owned().await?;
        let (socket, _) = acceptor.accept().await;
        let probes = probes.clone();
        tokio::spawn(async move {
            connection(socket, probes).await;
            drop(permit);
        });
    }
}

async fn connection(socket: TcpStream, probes: Arc<impl Probes>) {
    let service = service_fn(|request| {
        let response = answer(&request, probes.as_ref());
        async { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

fn answer(request: &Request<Incoming>, probes: &impl Probes) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET, "/readyz") => match probes.ready() {
            Ok(text) => (StatusCode::OK, text),
            Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
        },
        (&Method::GET, "/metrics") => probes.metrics().map_or_else(
            |error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            |text| (StatusCode::OK, text),
        ),
        (_, path) => (
            StatusCode::NOT_FOUND,
            format!("nothing is at {path}: there is GET /livez, /readyz and /metrics\n"),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}
