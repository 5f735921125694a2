//! Watches of an API server that fails, in virtual time.

use std::sync::{Arc, Mutex};

use hyper::{Request, Response, StatusCode};
use k8s_openapi::api::core::v1::Secret;
use kube::client::Body;
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::*;

/// An API server that answers requests, given their number and whether they are watches, or leaves them without an answer for ever;
/// and the requests that it got.
fn server(
    answer: impl Fn(usize, bool) -> Option<(StatusCode, Value)> + Send + 'static,
) -> (Client, Arc<Mutex<Vec<Instant>>>) {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let asked = Arc::new(Mutex::new(vec![]));
    let log = asked.clone();
    tokio::spawn(async move {
        // Held, so that those that get no answer wait for one.
        let mut silent = vec![];
        while let Some((request, respond)) = handle.next_request().await {
            let is_watch = request.uri().query().unwrap_or_default().contains("watch");
            let number = log.lock().unwrap().len();
            log.lock().unwrap().push(Instant::now());
            let Some((status, body)) = answer(number, is_watch) else {
                silent.push(respond);
                continue;
            };
            let mut response = Response::new(Body::from(format!("{body}\n").into_bytes()));
            *response.status_mut() = status;
            respond.send_response(response);
        }
    });
    (Client::new(service, "default"), asked)
}

fn failure(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "x", "message": "no"})
}

fn list(items: &[&str]) -> Value {
    let items: Vec<_> = items
        .iter()
        .map(|i| json!({"metadata": {"name": i, "resourceVersion": "1"}}))
        .collect();
    json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
}

/// The times, since the first one, at which the API server is asked within ten minutes.
async fn asked_within_ten_minutes(
    answer: impl Fn(usize, bool) -> (StatusCode, Value) + Send + 'static,
) -> Vec<Duration> {
    let (client, asked) = server(move |number, is_watch| Some(answer(number, is_watch)));
    let mut changes = std::pin::pin!(changes::<Secret>(Api::all(client), Selection::all()));
    let deadline = Instant::now() + Duration::from_mins(10);
    while tokio::time::timeout_at(deadline, changes.next())
        .await
        .is_ok()
    {}
    let asked = asked.lock().unwrap();
    asked.iter().map(|at| *at - asked[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn a_failing_list_is_retried_with_backoff() {
    let error = |_, _| (StatusCode::INTERNAL_SERVER_ERROR, failure(500));
    let asked = asked_within_ten_minutes(error).await;
    assert!((20..60).contains(&asked.len()), "{asked:?}");
    let pauses: Vec<_> = asked
        .windows(2)
        .map(|w| w[1].saturating_sub(w[0]))
        .collect();
    let longest = super::super::backoff::LAST_ANSWERED;
    assert!(pauses[10..].iter().all(|p| *p >= longest / 2), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn successful_lists_before_failing_watches_are_retried_with_backoff() {
    let gone = |_, is_watch| {
        if is_watch {
            let error = json!({"type": "ERROR", "object": failure(410)});
            (StatusCode::OK, error)
        } else {
            (StatusCode::OK, list(&["a"]))
        }
    };
    let asked = asked_within_ten_minutes(gone).await;
    assert!((40..120).contains(&asked.len()), "{}", asked.len());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_reported_from_its_first_error_until_recovery() {
    let (client, _) = server(|number, is_watch| {
        Some(match (number, is_watch) {
            (0 | 1, _) => (StatusCode::INTERNAL_SERVER_ERROR, failure(500)),
            (_, false) => (StatusCode::OK, list(&["a"])),
            (_, true) => (
                StatusCode::OK,
                json!({"type": "MODIFIED", "object": {"metadata": {"name": "a", "resourceVersion": "2"}, "data": 1}}),
            ),
        })
    });
    let changes = changes::<Secret>(Api::all(client), Selection::all());
    let reported = changes.take(6).map(|(change, unreadable)| match change {
        Change::Set(secret) => format!("+{} {unreadable}", secret.name_any()),
        Change::Unreadable(object) => format!("?{} {unreadable}", object.error),
        Change::Synced => "=".to_owned(),
        Change::Failed(_) => "failed".to_owned(),
        Change::Recovered => "recovered".to_owned(),
        Change::Gone(..) => "gone".to_owned(),
    });
    let reported: Vec<_> = reported.collect().await;
    assert_eq!(
        reported[..5],
        ["failed", "failed", "recovered", "+a 0", "="]
    );
    assert!(
        reported[5].starts_with("?data: ") && reported[5].ends_with(" 1"),
        "{}",
        reported[5]
    );
}

/// Follows Secrets of which something is heard every ten seconds, of an API server that answers the requests with these numbers
/// and no others; returns what is reported, and when, for a minute.
async fn reported_within_a_minute(answered: &'static [usize]) -> Vec<(u64, &'static str)> {
    let (client, _) = server(move |number, is_watch| {
        (!is_watch && answered.contains(&number)).then(|| (StatusCode::OK, list(&["a"])))
    });
    let api = Api::all(client);
    let started = Instant::now();
    let selection = Selection::all().with_pulse(Duration::from_secs(10));
    let mut changes = std::pin::pin!(changes::<Secret>(api, selection));
    let deadline = started + Duration::from_mins(1);
    let mut reported = vec![];
    while let Ok(Some((change, _))) = tokio::time::timeout_at(deadline, changes.next()).await {
        let what = match change {
            Change::Set(_) => "set",
            Change::Synced => "synced",
            Change::Failed(_) => "failed",
            Change::Recovered => "recovered",
            Change::Unreadable(_) | Change::Gone(..) => "else",
        };
        reported.push((started.elapsed().as_secs(), what));
    }
    reported
}

#[tokio::test(start_paused = true)]
async fn after_silence_expiring_objects_are_listed_with_backoff() {
    // 0 and 2 and 4: lists, each followed by a watch that says nothing.
    let reported = reported_within_a_minute(&[0, 2, 4]).await;
    let all = [(0, "set"), (0, "synced"), (10, "set"), (10, "synced")];
    assert_eq!(reported[..4], all);
    assert_eq!(reported[4..], [(30, "set"), (30, "synced")]);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_list_after_silence_fails_before_leases_expire() {
    let reported = reported_within_a_minute(&[0]).await;
    assert_eq!(reported, [(0, "set"), (0, "synced"), (14, "failed")]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_expiring_objects_recovers_within_half_a_pulse_after_an_outage() {
    // Listed, then an outage of a minute, after which the watch is too old to resume.
    let started = Instant::now();
    let outage = Duration::from_mins(1);
    let end = started + outage;
    let (client, _) = server(move |_, is_watch| {
        Some(match (is_watch, started.elapsed() < outage) {
            (false, _) => (StatusCode::OK, list(&["a"])),
            (true, true) => (StatusCode::INTERNAL_SERVER_ERROR, failure(500)),
            (true, false) => {
                let error = json!({"type": "ERROR", "object": failure(410)});
                (StatusCode::OK, error)
            }
        })
    });
    let selection = Selection::all().with_pulse(lease::PULSE);
    let mut changes = std::pin::pin!(changes::<Secret>(Api::all(client), selection));
    loop {
        let change = changes.next().await;
        if started.elapsed() >= outage && matches!(change, Some((Change::Synced, _))) {
            break;
        }
    }
    let blind = end.elapsed();
    assert!(
        blind <= lease::PULSE / 2 + Duration::from_millis(200),
        "{blind:?}"
    );
}
