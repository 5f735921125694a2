//! A proxy that stands between one program and the API server, and misbehaves as API servers, load balancers and networks do.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

/// The way in which the proxy treats what goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything is forwarded.
    Clear,
    /// Most requests are answered with this status.
    Status(u16),
    /// Watches end, and new ones are refused because their version is too old (410), in either of the two ways.
    Gone,
    /// Nothing is forwarded, in open watches neither; later it resumes, with stale events.
    Stall,
    /// Connections are cut, and none are made.
    Cut,
    /// A write is refused with 409, as if somebody else had written.
    Conflict,
    /// A write is done, but the answer gets lost.
    LoseAnswers,
    /// Every request takes this many milliseconds more.
    Delay(u64),
}

/// A proxy for one program.
pub(crate) struct Proxy {
    /// The file that the program is given as `KUBECONFIG`.
    pub kubeconfig: PathBuf,
    mode: watch::Sender<Mode>,
}

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

impl Proxy {
    /// Listens on `listen`, and writes a copy of `kubeconfig` that leads here to `path`.
    pub(crate) async fn start(
        kubeconfig: &Path,
        path: PathBuf,
        listen: &str,
    ) -> anyhow::Result<Self> {
        let upstream = upstream(kubeconfig).await?;
        let listener = TcpListener::bind(listen).await?;
        redirect(kubeconfig, &path, listener.local_addr()?)?;
        let mode = watch::Sender::new(Mode::Clear);
        tokio::spawn(serve(listener, upstream, mode.subscribe()));
        Ok(Self {
            kubeconfig: path,
            mode,
        })
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

/// A client without rights of its own: each request brings its token.
async fn upstream(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.auth_info = AuthInfo::default();
    Ok(Client::try_from(config)?)
}

/// kubectl writes a line `server: URL`.
fn redirect(from: &Path, to: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let config = std::fs::read_to_string(from)?;
    let (before, rest) = config.split_once("server: ").context("no server")?;
    let (_, after) = rest.split_once('\n').context("no line")?;
    Ok(std::fs::write(
        to,
        format!("{before}server: http://{address}\n{after}"),
    )?)
}

async fn serve(listener: TcpListener, upstream: Client, mode: watch::Receiver<Mode>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (upstream, mut cut) = (upstream.clone(), mode.clone());
        let mode = mode.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(request, upstream.clone(), mode.clone());
                async { Ok::<_, Infallible>(answer.await.unwrap_or_else(bad_gateway)) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service);
            tokio::select! {
                _ = connection => (),
                _ = cut.wait_for(|mode| *mode == Mode::Cut) => (),
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    upstream: Client,
    mut mode: watch::Receiver<Mode>,
) -> anyhow::Result<Answer> {
    let is_watch = request
        .uri()
        .query()
        .is_some_and(|q| q.contains("watch=true"));
    let writes = request.method() != hyper::Method::GET;
    let now = *mode.borrow();
    match now {
        Mode::Conflict if writes => return Ok(refusal(409)),
        Mode::Status(status) if rand::random_bool(0.7) => return Ok(refusal(status)),
        Mode::Gone if is_watch && rand::random_bool(0.5) => return Ok(refusal(410)),
        Mode::Gone if is_watch => {
            let event = json!({"type": "ERROR", "object": status_object(410)});
            return Ok(full(StatusCode::OK, format!("{event}\n")));
        }
        Mode::Delay(ms) => sleep(Duration::from_millis(ms)).await,
        _ => (),
    }
    mode.wait_for(|mode| *mode != Mode::Stall).await?;
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(header::HOST);
    let body = body.collect().await?.to_bytes();
    let request = Request::from_parts(parts, Body::from(body));
    let (mut parts, body) = upstream.send(request).await?.into_parts();
    if now == Mode::LoseAnswers && writes {
        return Ok(refusal(504));
    }
    // The body is passed on in pieces of its own.
    parts.headers.remove(header::TRANSFER_ENCODING);
    let pieces = stream::unfold((body, mode), move |(mut body, mut mode)| async move {
        let piece = tokio::select! {
            piece = body.frame() => piece?,
            _ = mode.wait_for(|mode| is_watch && *mode == Mode::Gone) => return None,
        };
        mode.wait_for(|mode| *mode != Mode::Stall).await.ok()?;
        let piece: Result<Frame<Bytes>, _> = piece.map_err(io::Error::other);
        Some((piece, (body, mode)))
    });
    let body = UnsyncBoxBody::new(StreamBody::new(pieces));
    Ok(Response::from_parts(parts, body))
}

fn status_object(status: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": status,
        "reason": match status {
            409 => "Conflict",
            410 => "Expired",
            _ => "InternalError",
        },
        "message": format!("{status} by the test"),
    })
}

fn refusal(status: u16) -> Answer {
    let code = StatusCode::from_u16(status).expect("a status");
    let mut answer = full(code, status_object(status).to_string());
    if status == 429 {
        let headers = answer.headers_mut();
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    answer
}

fn full(status: StatusCode, body: String) -> Answer {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
    let mut answer = Response::new(UnsyncBoxBody::new(body));
    *answer.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

fn bad_gateway(_: anyhow::Error) -> Answer {
    refusal(502)
}
