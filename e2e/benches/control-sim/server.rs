//! The simulated API server as the operator meets it: over HTTP, with what the operator asks for and nothing else.
//!
//! A server-side apply takes every field in force without looking at other managers. Selectors of a watch are matched with the labels
//! that an object has now. Events are answered and not kept.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};

use crate::changes::{Manager, applied, created, merged};
use crate::refusal::Refusal;
use crate::requests::Requests;
use crate::store::{Change, Object, Page, Store, Type, Watcher};
use crate::target::{Query, Target, token};

type Body = UnsyncBoxBody<Bytes, Infallible>;

const APPLY: &str = "application/apply-patch+yaml";
/// Time after which a watch ends that says none itself.
const WATCH: Duration = Duration::from_mins(5);

pub(crate) struct Server {
    pub(crate) store: Arc<Store>,
    pub(crate) requests: Requests,
    uid: AtomicU64,
}

impl Server {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            requests: Requests::default(),
            uid: AtomicU64::new(1),
        }
    }

    /// Serves until dropped.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let this = self.clone();
            let service = service_fn(move |request| {
                let this = this.clone();
                async move { Ok::<_, Infallible>(this.answer(request).await) }
            });
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that goes ends it.
                let _ = connection
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(Collected::to_bytes);
        let Some((target, body)) = Target::of(parts.uri.path()).zip(body.ok()) else {
            return refused(Refusal::NotFound);
        };
        let query = Query::of(parts.uri.query().unwrap_or_default(), &target.name.0);
        self.requests
            .count(verb(&parts, &target, &query), target.resource());
        if parts.method != Method::GET {
            return self.write(&parts, &target, &query, &body);
        }
        if query.is_watch {
            return self.watch(&target, query);
        }
        if target.name.1.is_empty() {
            return answer(StatusCode::OK, self.list(&target, &query, &parts).into());
        }
        match self.store.get(&target.kind, &target.name) {
            Ok(object) => answer(StatusCode::OK, object.json.clone()),
            Err(refusal) => refused(refusal),
        }
    }

    fn write(&self, parts: &Parts, target: &Target, query: &Query, body: &Bytes) -> Response<Body> {
        let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
        if target.kind == "selfsubjectaccessreviews" {
            body["status"] = json!({"allowed": true});
        }
        let is_kept = !matches!(target.kind.as_str(), "selfsubjectaccessreviews" | "events");
        if query.is_dry_run || !is_kept {
            return answer(StatusCode::CREATED, body.to_string().into());
        }
        let manager = manager(parts, target, query);
        let written = match parts.method {
            Method::POST => self.create(target, body, &manager),
            Method::PATCH if is_apply(parts) => self.apply(target, &body, &manager),
            Method::PATCH => self.merge(target, &body, &manager),
            _ => self.delete(target, &body),
        };
        match written {
            Ok(object) if parts.method == Method::POST => {
                answer(StatusCode::CREATED, object.json.clone())
            }
            Ok(object) => answer(StatusCode::OK, object.json.clone()),
            Err(refusal) => refused(refusal),
        }
    }

    /// Creates an object.
    pub(crate) fn create(
        &self,
        target: &Target,
        mut object: Value,
        manager: &Manager,
    ) -> Result<Arc<Object>, Refusal> {
        let namespace = target.name.0.clone();
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let name = object["metadata"]["name"].as_str().unwrap();
        let name = (namespace, name.to_owned());
        self.store
            .write(&target.kind, &name, |before| match before {
                Some(_) => Err(Refusal::AlreadyExists),
                None => Ok(created(object, self.uid(), manager)),
            })
    }

    /// Applies a patch, which makes the object if it is not there.
    pub(crate) fn apply(
        &self,
        target: &Target,
        patch: &Value,
        manager: &Manager,
    ) -> Result<Arc<Object>, Refusal> {
        let result = self.store.write(&target.kind, &target.name, |before| {
            let before = before.ok_or(Refusal::NotFound)?;
            applied(&before, patch, manager)
        });
        if result.as_ref().err() == Some(&Refusal::NotFound) && !target.is_status {
            return self.create(target, patch.clone(), manager);
        }
        result
    }

    /// Merges a patch.
    pub(crate) fn merge(
        &self,
        target: &Target,
        patch: &Value,
        manager: &Manager,
    ) -> Result<Arc<Object>, Refusal> {
        self.store.write(&target.kind, &target.name, |before| {
            merged(&before.ok_or(Refusal::NotFound)?, patch, manager)
        })
    }

    fn delete(&self, target: &Target, options: &Value) -> Result<Arc<Object>, Refusal> {
        let version = options["preconditions"]["resourceVersion"].as_str();
        let version = version.and_then(|version| version.parse().ok());
        self.store.delete(&target.kind, &target.name, version)
    }

    fn uid(&self) -> u128 {
        self.uid.fetch_add(1, Ordering::Relaxed).into()
    }

    fn list(&self, target: &Target, query: &Query, parts: &Parts) -> String {
        let (first, after) = query.continued.clone().unzip();
        let limit = query.limit.unwrap_or(usize::MAX);
        let page = self.store.list(&target.kind, &query.selector, limit, after);
        let Page {
            version,
            items,
            last,
        } = page;
        // What changes between two pages comes by the watch that follows.
        let version = first.unwrap_or(version);
        let metadata = match last {
            Some(last) => {
                json!({"resourceVersion": version.to_string(), "continue": token(version, &last)})
            }
            None => json!({"resourceVersion": version.to_string()}),
        };
        let accept = parts.headers.get(ACCEPT).and_then(|v| v.to_str().ok());
        let is_partial = accept.is_some_and(|accept| accept.contains("PartialObjectMetadataList"));
        let items: Vec<_> = items
            .iter()
            .map(|object| {
                let text = String::from_utf8_lossy(&object.json);
                if is_partial {
                    let object: Value = serde_json::from_str(&text).unwrap();
                    let partial = json!({
                        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"],
                    });
                    partial.to_string()
                } else {
                    text.into_owned()
                }
            })
            .collect();
        let items = items.join(",");
        format!(r#"{{"apiVersion":"v1","kind":"List","metadata":{metadata},"items":[{items}]}}"#)
    }

    fn watch(&self, target: &Target, query: Query) -> Response<Body> {
        let time = query.timeout_seconds.map_or(WATCH, Duration::from_secs);
        let watch = Some((
            self.store
                .follow(&target.kind, query.selector, query.version),
            Instant::now() + time,
        ));
        let pieces = stream::unfold(watch, |watch| async {
            let (mut watcher, end) = watch?;
            match timeout_at(end, watcher.next()).await {
                Ok(Ok(changes)) => Some((lines(&changes), Some((watcher, end)))),
                Ok(Err(refusal)) => {
                    let line = json!({"type": "ERROR", "object": refusal.status()});
                    Some((format!("{line}\n").into(), None))
                }
                Err(_) => Some((bookmark(&watcher), None)),
            }
        });
        let frames = pieces.map(|piece| Ok(Frame::data(piece)));
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

fn is_apply(parts: &Parts) -> bool {
    parts
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|type_| type_ == APPLY)
}

fn verb(parts: &Parts, target: &Target, query: &Query) -> &'static str {
    match parts.method {
        _ if query.is_dry_run => "try",
        Method::GET if query.is_watch => "watch",
        Method::GET if target.name.1.is_empty() => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PATCH if is_apply(parts) => "apply",
        Method::PATCH => "patch",
        _ => "delete",
    }
}

fn manager(parts: &Parts, target: &Target, query: &Query) -> Manager {
    let agent = parts.headers.get(USER_AGENT).and_then(|v| v.to_str().ok());
    let name = query.manager.as_deref().or(agent).unwrap_or("unknown");
    let operation = if is_apply(parts) { "Apply" } else { "Update" };
    Manager {
        subresource: target.is_status.then_some("status"),
        ..Manager::new(name, operation)
    }
}

fn lines(changes: &[Change]) -> Bytes {
    let mut lines = BytesMut::new();
    for change in changes {
        let type_ = match change.type_ {
            Type::Added => "ADDED",
            Type::Modified => "MODIFIED",
            Type::Deleted => "DELETED",
        };
        lines.extend_from_slice(format!(r#"{{"type":"{type_}","object":"#).as_bytes());
        lines.extend_from_slice(&change.object.json);
        lines.extend_from_slice(b"}\n");
    }
    lines.freeze()
}

/// The last line of a watch: the version from which the next one goes on.
fn bookmark(watcher: &Watcher) -> Bytes {
    let metadata = json!({"resourceVersion": watcher.seen.to_string()});
    let line = json!({"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Bookmark", "metadata": metadata}});
    format!("{line}\n").into()
}

fn answer(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn refused(refusal: Refusal) -> Response<Body> {
    answer(refusal.code(), refusal.status().to_string().into())
}
