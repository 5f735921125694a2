//! Tests of who has a stream while claims cannot be written.

use std::convert::Infallible;

use datastream_routing::object::PEER;
use datastream_service_kube::api_server::answered_by;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

/// A gateway whose API server answers everything like this.
fn fleet((status, body): (StatusCode, Value)) -> Arc<KubeFleet> {
    let client = answered_by(move |_, _| Some((status, body.clone())));
    KubeFleet::new(client, "ds", "default", "gw-0", 0)
}

const OTHER: &str = "gw-1_0123456789abcdef";

/// A gateway of this name that takes a stream, and does not say where it can be asked.
fn taker(holder: &str) -> Taker<SocketAddr> {
    let holder = holder.to_owned();
    Taker {
        holder,
        place: None,
    }
}

/// Another gateway that answers every question like this, its Lease, and the questions.
async fn stranger(client: Probed) -> (Lease, Arc<Mutex<Vec<String>>>) {
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
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        }
    });
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "datastream-gateway-gw-1", "annotations": {PEER: address}},
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
async fn other(fleet: &KubeFleet, client: Probed) -> (String, Arc<Mutex<Vec<String>>>) {
    let (lease, asked) = stranger(client).await;
    fleet.peers.know(lease);
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
async fn a_stream_that_was_taken_without_a_claim_is_asked_for_where_it_is() {
    let fleet = fleet(failure(StatusCode::NOT_FOUND, "NotFound"));
    let (other_one, asked) = other(&fleet, Probed::Answers).await;
    fleet.note_taker(&id(), &taker(&other_one));
    // Another one asks as well, and is told by the first that it has it.
    fleet.note_taker(&id(), &taker("gw-0a_fedcba9876543210"));
    let taken = fleet.claim(&id(), "1").await.err();
    let pod = "gw-1".to_owned();
    assert_eq!(taken, Some(Taken::Elsewhere { pod }));
    assert_eq!(*asked.lock().unwrap(), ["subscription=default%2Fa"]);
}

#[tokio::test]
async fn whoever_takes_a_stream_and_has_just_started_is_looked_up() {
    let (lease, asked) = stranger(Probed::Answers).await;
    let fleet = fleet((StatusCode::OK, serde_json::to_value(&lease).unwrap()));
    fleet.note_taker(&id(), &taker(OTHER));
    let taken = fleet.claim(&id(), "1").await.err();
    let pod = "gw-1".to_owned();
    assert_eq!(taken, Some(Taken::Elsewhere { pod }));
    assert_eq!(*asked.lock().unwrap(), ["subscription=default%2Fa"]);
}

#[tokio::test]
async fn whoever_takes_a_stream_before_its_lease_is_written_is_asked_where_its_question_came_from()
{
    let (lease, asked) = stranger(Probed::Answers).await;
    // What is there is of the process before it.
    let mut before = lease.clone();
    before.spec.as_mut().unwrap().holder_identity = Some("gw-1_fedcba9876543210".to_owned());
    let fleet = fleet((StatusCode::OK, serde_json::to_value(&before).unwrap()));
    let address: SocketAddr = lease.annotations()[PEER].parse().unwrap();
    let holder = OTHER.to_owned();
    let place = Some(address.port());
    let taker = Taker { holder, place }.at("::ffff:127.0.0.1".parse().unwrap());
    fleet
        .answer(&id(), Some(taker), async { Probed::NotHeld })
        .await;
    let pod = "gw-1".to_owned();
    assert_eq!(
        fleet.claim(&id(), "1").await.err(),
        Some(Taken::Elsewhere { pod })
    );
    assert_eq!(*asked.lock().unwrap(), ["subscription=default%2Fa"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_a_stream_and_cannot_be_looked_up_counts_for_as_long_as_a_lease() {
    let fleet = fleet(failing());
    fleet.note_taker(&id(), &taker(OTHER));
    assert_eq!(fleet.ask_takers(&id()).await, Err(Taken::Unknown));
    tokio::time::advance(DURATION).await;
    assert_eq!(fleet.ask_takers(&id()).await, Ok(()));
    assert!(fleet.lock().takers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_many_who_take_a_stream_the_last_are_remembered() {
    let fleet = fleet(failing());
    for number in 0..10 * MAX_TAKERS {
        fleet.note_taker(&id(), &taker(&format!("gw-{number}_0")));
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let last = format!("gw-{}_0", 10 * MAX_TAKERS - 1);
    assert_eq!(fleet.lock().takers[&id()].len(), MAX_TAKERS);
    assert!(fleet.lock().takers[&id()].contains_key(&last));
}

#[tokio::test]
async fn a_client_that_comes_while_another_gateway_is_answered_asks_there() {
    let fleet = fleet(failing());
    let (other_one, asked) = other(&fleet, Probed::Answers).await;
    let look = async {
        let taken = fleet.claim(&id(), "1").await.err();
        let pod = "gw-1".to_owned();
        assert_eq!(taken, Some(Taken::Elsewhere { pod }));
        Probed::NotHeld
    };
    let client = fleet.answer(&id(), Some(taker(&other_one)), look).await;
    assert!(matches!(client, Probed::NotHeld));
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert!(fleet.lock().takers[&id()].contains_key(&other_one));
}

#[tokio::test]
async fn a_gateway_that_is_told_of_a_client_here_takes_nothing() {
    let fleet = fleet(failing());
    let client = fleet
        .answer(&id(), Some(taker(OTHER)), async { Probed::Answers })
        .await;
    assert!(matches!(client, Probed::Answers));
    assert!(fleet.lock().takers.is_empty());
}

#[tokio::test]
async fn whoever_takes_a_stream_again_while_it_is_asked_is_not_forgotten() {
    let fleet = fleet(failing());
    let look = async {
        fleet.note_taker(&id(), &taker(OTHER));
        Probed::Answers
    };
    fleet.answer(&id(), Some(taker(OTHER)), look).await;
    assert!(fleet.lock().takers[&id()].contains_key(OTHER));
    // The answer to a question that was put before.
    let first = fleet.note_taker(&id(), &taker(OTHER));
    let second = fleet.note_taker(&id(), &taker(OTHER));
    fleet.forget_taker(&id(), OTHER, first);
    assert!(fleet.lock().takers[&id()].contains_key(OTHER));
    fleet.forget_taker(&id(), OTHER, second);
    assert!(fleet.lock().takers.is_empty());
}

#[tokio::test]
async fn whoever_took_a_stream_and_has_it_no_more_is_forgotten() {
    let made = json!({"metadata": {"name": "claim", "resourceVersion": "7"}});
    let fleet = fleet((StatusCode::OK, made));
    fleet.renewed.send_replace(Some(Instant::now()));
    let (other_one, asked) = other(&fleet, Probed::NotHeld).await;
    fleet.note_taker(&id(), &taker(&other_one));
    for _ in 0..2 {
        drop(fleet.claim(&id(), "1").await.unwrap());
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn without_the_api_server_the_others_are_told_who_takes_the_stream() {
    let fleet = fleet(failing());
    drop(fleet.lease_keeper(Some("10.0.0.1:9090".to_owned())));
    fleet.renewed.send_replace(Some(Instant::now()));
    let (_, asked) = other(&fleet, Probed::NotHeld).await;
    let held = fleet.claim(&id(), "1").await.unwrap();
    assert_eq!(fleet.held()[0].1.version, None);
    let question = format!(
        "subscription=default%2Fa&taker={}&port=9090",
        fleet.me.holder
    );
    assert_eq!(*asked.lock().unwrap(), [question]);
    drop(held);
}

#[tokio::test]
async fn without_the_api_server_nothing_is_taken_before_the_others_are_known() {
    let fleet = fleet(failing());
    fleet.renewed.send_replace(Some(Instant::now()));
    let taken = fleet.claim(&id(), "1").await.err();
    assert_eq!(taken, Some(Taken::Unknown));
}

#[tokio::test]
async fn a_claim_that_another_gateway_may_have_taken_over_is_not_taken_up_again() {
    let fleet = fleet(failing());
    fleet.renewed.send_replace(Some(Instant::now()));
    let hold = || drop(fleet.hold(&id(), "1", Some("7".to_owned())));
    hold();
    assert_eq!(fleet.take_up(&id()), Some("7".to_owned()));
    hold();
    fleet.yield_claim(&id());
    assert_eq!(fleet.take_up(&id()), None);
    // It is still to be deleted, if it is as it was.
    assert_eq!(fleet.take_released().remove(&id()), Some("7".to_owned()));
    fleet.put_back(id(), "7".to_owned());
    assert_eq!(fleet.take_up(&id()), None);
    assert_eq!(fleet.take_released().len(), 1);
}
