//! Probes and metrics: `/livez`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::accept::Acceptor;
use crate::tls::{MaybeTls, speaks_tls};

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

    /// TLS for clients that speak it; the others are answered without.
    fn tls(&self) -> Option<Arc<ServerConfig>> {
        None
    }

    /// Lets somebody who brings this bearer token read the metrics.
    ///
    /// # Errors
    /// The refusal: a status and a sentence.
    fn admit(
        &self,
        _bearer: Option<&str>,
    ) -> impl Future<Output = Result<(), (StatusCode, String)>> + Send {
        async { Ok(()) }
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
    let accepted = timeout(HEAD_TIMEOUT, accept(socket, probes.tls())).await;
    let socket = match accepted {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return tracing::debug!(%error, "no TLS with a client"),
        Err(_) => return tracing::debug!("a client took too long to say anything"),
    };
    let service = service_fn(|request| {
        let probes = probes.clone();
        async move { Ok::<_, Infallible>(answer(&request, probes.as_ref()).await) }
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

async fn accept(socket: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<MaybeTls> {
    match tls {
        Some(config) if speaks_tls(&socket).await? => {
            let socket = TlsAcceptor::from(config).accept(socket).await?;
            Ok(MaybeTls::Right(Box::new(socket)))
        }
        _ => Ok(MaybeTls::Left(socket)),
    }
}

/// The bearer token of a request (RFC 6750, section 2.1).
pub fn bearer<B>(request: &Request<B>) -> Option<&str> {
    bearer_in(request.headers().get(AUTHORIZATION)?.to_str().ok()?)
}

/// The bearer token in a value of `Authorization`; none if that has another scheme.
pub fn bearer_in(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn answer(request: &Request<Incoming>, probes: &impl Probes) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET, "/readyz") => match probes.ready() {
            Ok(text) => (StatusCode::OK, text),
            Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
        },
        (&Method::GET, "/metrics") => match probes.admit(bearer(request)).await {
            Err((status, text)) => (status, format!("{text}\n")),
            Ok(()) => probes.metrics().map_or_else(
                |error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
                |text| (StatusCode::OK, text),
            ),
        },
        (_, path) => (
            StatusCode::NOT_FOUND,
            format!("nothing is at {path}: there is GET /livez, /readyz and /metrics\n"),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}
