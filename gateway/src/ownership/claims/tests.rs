//! Tests of who has a stream while claims cannot be written.

use std::convert::Infallible;

use datastream_routing::names::{PEER, PEER_TLS};
use datastream_service::tls::{Identity, SharedTls, shared_identity};
use datastream_service_kube::api_server::answered_by;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A gateway whose API server answers everything like this.
fn claims((status, body): (StatusCode, Value)) -> Arc<KubeClaims> {
    let client = answered_by(move |_, _| Some((status, body.clone())));
    KubeClaims::new(client, "ds", "default", "gw-0", 0)
}

const OTHER: &str = "gw-1_0123456789abcdef";

/// A gateway of this name that takes a stream, and does not say where it can be asked.
fn taker(holder: &str) -> Taker<SocketAddr> {
    let holder = holder.to_owned();
    Taker {
        holder,
        place: None,
        tls: false,
    }
}

/// Another gateway that answers every question like this, its Lease, and the questions.
async fn stranger(client: Probed) -> (Lease, Arc<Mutex<Vec<String>>>) {
    stranger_with(client, None).await
}

/// The same, which is asked by TLS if it has any.
async fn stranger_with(client: Probed, tls: Option<SharedTls>) -> (Lease, Arc<Mutex<Vec<String>>>) {
    let by_tls = tls.is_some().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(vec![]));
    let questions = asked.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| {
                let query = request.uri().query().unwrap_or_default().to_owned();
                questions.lock().unwrap().push(query);
                let answer = serde_json::to_vec(&super::super::ProbeReport { client }).unwrap();
                async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer)))) }
            });
            let http = http1::Builder::new();
            match &tls {
                None => drop(http.serve_connection(TokioIo::new(socket), service).await),
                Some(tls) => {
                    let acceptor = TlsAcceptor::from(tls.server.clone());
                    if let Ok(socket) = acceptor.accept(socket).await {
                        drop(http.serve_connection(TokioIo::new(socket), service).await);
                    }
                }
            }
        }
    });
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "datastream-gateway-gw-1", "annotations": {PEER: address, PEER_TLS: by_tls}},
        "spec": {
            "holderIdentity": OTHER,
            "leaseDurationSeconds": 15,
            "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        },
    }))
    .unwrap();
    (lease, asked)
}

/// The same, known to this gateway.
async fn other(claims: &KubeClaims, client: Probed) -> (String, Arc<Mutex<Vec<String>>>) {
    let (lease, asked) = stranger(client).await;
    claims.peers.know(lease);
    (OTHER.to_owned(), asked)
}

fn failure(status: StatusCode, reason: &str) -> (StatusCode, Value) {
    let code = status.as_u16();
    let body = json!({"kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": reason});
    (status, body)
}

fn failing() -> (StatusCode, Value) {
    failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")
}

fn id() -> SubscriptionId {
    SubscriptionId::new("default", "a")
}

#[tokio::test]
async fn a_client_is_refused_while_the_gateway_that_took_the_stream_without_a_claim_has_it() {
    let claims = claims(failure(StatusCode::NOT_FOUND, "NotFound"));
    let (other_one, asked) = other(&claims, Probed::Answers).await;
    claims.note_takeover(&id(), &taker(&other_one));
    // Another one asks as well, and hears from the first that it has it.
    claims.note_takeover(&id(), &taker("gw-0a_fedcba9876543210"));
    let taken = claims.claim(&id(), "1").await.err();
    let pod = "gw-1".to_owned();
    assert_eq!(taken, Some(ClaimError::Elsewhere { pod }));
    assert_eq!(*asked.lock().unwrap(), ["subscription=default%2Fa"]);
}

/// The API server is away, so the others are asked.
async fn claim_among(identity: Option<&Arc<Identity>>, other: SharedTls) -> Option<ClaimError> {
    let claims = claims(failing());
    claims.renewed.send_replace(Some(Instant::now()));
    if let Some(identity) = identity {
        claims.tls.set(identity);
    }
    claims
        .peers
        .know(stranger_with(Probed::Answers, Some(other)).await.0);
    claims.claim(&id(), "1").await.err()
}

#[tokio::test]
async fn another_gateway_is_asked_by_tls_with_the_certificate_of_the_group() {
    let identity = Arc::new(shared_identity());
    let tls = SharedTls::new(&identity).unwrap();
    let pod = "gw-1".to_owned();
    let elsewhere = Some(ClaimError::Elsewhere { pod });
    assert_eq!(claim_among(Some(&identity), tls.clone()).await, elsewhere);
    // It lives, and cannot be asked: it may have the stream.
    assert_eq!(claim_among(None, tls).await, Some(ClaimError::Unknown));
    // So does one that has another certificate, as while the group's is replaced.
    let replaced = SharedTls::new(&shared_identity()).unwrap();
    let unknown = Some(ClaimError::Unknown);
    assert_eq!(claim_among(Some(&identity), replaced).await, unknown);
}

#[tokio::test]
async fn an_unknown_taker_is_looked_up_by_its_lease() {
    let (lease, asked) = stranger(Probed::Answers).await;
    let claims = claims((StatusCode::OK, serde_json::to_value(&lease).unwrap()));
    claims.note_takeover(&id(), &taker(OTHER));
    let taken = claims.claim(&id(), "1").await.err();
    let pod = "gw-1".to_owned();
    assert_eq!(taken, Some(ClaimError::Elsewhere { pod }));
    assert_eq!(*asked.lock().unwrap(), ["subscription=default%2Fa"]);
}

#[tokio::test]
async fn a_taker_without_a_lease_is_probed_at_the_source_address_of_its_request() {
    let (lease, asked) = stranger(Probed::Answers).await;
    // What is there is of the process before it.
    let mut before = lease.clone();
    before.spec.as_mut().unwrap().holder_identity = Some("gw-1_fedcba9876543210".to_owned());
    let claims = claims((StatusCode::OK, serde_json::to_value(&before).unwrap()));
    let address: SocketAddr = lease.annotations()[PEER].parse().unwrap();
    let holder = OTHER.to_owned();
    let place = Some(address.port());
    let tls = false;
    let taker = Taker { holder, place, tls }.at("::ffff:127.0.0.1".parse().unwrap());
    claims
        .answer(&id(), Some(taker), async { Probed::NotHeld })
        .await;
    let pod = "gw-1".to_owned();
    assert_eq!(
        claims.claim(&id(), "1").await.err(),
        Some(ClaimError::Elsewhere { pod })
    );
    assert_eq!(*asked.lock().unwrap(), ["subscription=default%2Fa"]);
}

#[tokio::test(start_paused = true)]
async fn a_taker_that_cannot_be_looked_up_counts_for_one_lease_duration() {
    let claims = claims(failing());
    claims.note_takeover(&id(), &taker(OTHER));
    assert_eq!(
        claims.probe_pending_takeovers(&id()).await,
        Err(ClaimError::Unknown)
    );
    tokio::time::advance(DURATION).await;
    assert_eq!(claims.probe_pending_takeovers(&id()).await, Ok(()));
    assert!(claims.lock().pending_takeovers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_the_latest_takers_of_a_stream_are_remembered() {
    let claims = claims(failing());
    for number in 0..10 * MAX_PENDING_TAKEOVERS {
        claims.note_takeover(&id(), &taker(&format!("gw-{number}_0")));
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let last = format!("gw-{}_0", 10 * MAX_PENDING_TAKEOVERS - 1);
    assert_eq!(
        claims.lock().pending_takeovers[&id()].len(),
        MAX_PENDING_TAKEOVERS
    );
    assert!(claims.lock().pending_takeovers[&id()].contains_key(&last));
}

#[tokio::test]
async fn a_client_that_connects_during_a_probe_checks_the_taker() {
    let claims = claims(failing());
    let (other_one, asked) = other(&claims, Probed::Answers).await;
    let look = async {
        let taken = claims.claim(&id(), "1").await.err();
        let pod = "gw-1".to_owned();
        assert_eq!(taken, Some(ClaimError::Elsewhere { pod }));
        Probed::NotHeld
    };
    let client = claims.answer(&id(), Some(taker(&other_one)), look).await;
    assert!(matches!(client, Probed::NotHeld));
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert!(claims.lock().pending_takeovers[&id()].contains_key(&other_one));
}

#[tokio::test]
async fn a_taker_that_finds_a_live_client_is_not_recorded() {
    let claims = claims(failing());
    let client = claims
        .answer(&id(), Some(taker(OTHER)), async { Probed::Answers })
        .await;
    assert!(matches!(client, Probed::Answers));
    assert!(claims.lock().pending_takeovers.is_empty());
}

#[tokio::test]
async fn a_taker_that_takes_a_stream_again_during_a_probe_is_not_forgotten() {
    let claims = claims(failing());
    let look = async {
        claims.note_takeover(&id(), &taker(OTHER));
        Probed::Answers
    };
    claims.answer(&id(), Some(taker(OTHER)), look).await;
    assert!(claims.lock().pending_takeovers[&id()].contains_key(OTHER));
    // The answer to a question that was put before.
    let first = claims.note_takeover(&id(), &taker(OTHER));
    let second = claims.note_takeover(&id(), &taker(OTHER));
    claims.forget_takeover(&id(), OTHER, first);
    assert!(claims.lock().pending_takeovers[&id()].contains_key(OTHER));
    claims.forget_takeover(&id(), OTHER, second);
    assert!(claims.lock().pending_takeovers.is_empty());
}

#[tokio::test]
async fn a_taker_that_no_longer_holds_the_stream_is_forgotten() {
    let made = json!({"metadata": {"name": "claim", "resourceVersion": "7"}});
    let claims = claims((StatusCode::OK, made));
    claims.renewed.send_replace(Some(Instant::now()));
    let (other_one, asked) = other(&claims, Probed::NotHeld).await;
    claims.note_takeover(&id(), &taker(&other_one));
    for _ in 0..2 {
        drop(claims.claim(&id(), "1").await.unwrap());
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn without_the_api_server_peers_learn_who_takes_the_stream() {
    let claims = claims(failing());
    drop(claims.lease_renewer(Some("10.0.0.1:9090".to_owned())));
    claims.renewed.send_replace(Some(Instant::now()));
    let (_, asked) = other(&claims, Probed::NotHeld).await;
    let held = claims.claim(&id(), "1").await.unwrap();
    assert_eq!(claims.held()[0].1.version, None);
    let question = format!(
        "subscription=default%2Fa&taker={}&port=9090",
        claims.me.holder
    );
    assert_eq!(*asked.lock().unwrap(), [question]);
    drop(held);
}

#[tokio::test]
async fn without_the_api_server_no_stream_is_taken_before_peers_are_known() {
    let claims = claims(failing());
    claims.renewed.send_replace(Some(Instant::now()));
    let taken = claims.claim(&id(), "1").await.err();
    assert_eq!(taken, Some(ClaimError::Unknown));
}

#[tokio::test]
async fn a_claim_that_another_gateway_may_have_taken_over_is_not_reclaimed() {
    let claims = claims(failing());
    claims.renewed.send_replace(Some(Instant::now()));
    let hold = || drop(claims.hold(&id(), "1", Some("7".to_owned())));
    hold();
    assert_eq!(claims.reclaim(&id()), Some("7".to_owned()));
    hold();
    claims.yield_claim(&id());
    assert_eq!(claims.reclaim(&id()), None);
    // It is still to be deleted, if it is as it was.
    assert_eq!(claims.take_released().remove(&id()), Some("7".to_owned()));
    claims.put_back(id(), "7".to_owned());
    assert_eq!(claims.reclaim(&id()), None);
    assert_eq!(claims.take_released().len(), 1);
}
