//! Subscriptions and their streams, as two teams have them.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::access;
use crate::events::datapoint;
use crate::harness::{Harness, TENANTS};
use crate::ingress::Certificate;
use crate::settings::{HOST, PATIENCE, SYSTEM, tags};

/// A group of gateways with TLS of its own.
const TLS_GROUP: &str = "secure";

/// Each gets what it asked for and nothing else, at the URL in its Secret.
pub(super) async fn tenants(harness: &mut Harness) -> anyhow::Result<()> {
    let [a, b] = TENANTS;
    let of_model =
        |model: &str| json!({"eventTypes": ["datapoint"], "filters": [{"oemModels": [model]}]});
    harness.subscribe(a, "leds", &of_model("lamp"))?;
    harness.subscribe(b, "leds", &of_model("kettle"))?;
    let keys = [harness.key(a, "leds")?, harness.key(b, "leds")?];
    anyhow::ensure!(keys[0] != keys[1], "two subscriptions have one key");
    let url = harness.secret(a, "leds", "url")?;
    anyhow::ensure!(
        url == format!("wss://{HOST}/stream?stream_key={}", keys[0]),
        "{url}"
    );

    let mut lamps = harness
        .endpoint
        .open_patiently(&format!("stream_key={}", keys[0]))
        .await?;
    let mut kettles = harness
        .endpoint
        .open_patiently(&format!("stream_key={}", keys[1]))
        .await?;
    let mut publisher = harness.publisher()?;
    for number in 1..=100 {
        let model = ["lamp", "kettle", "door"][number as usize % 3];
        publisher.send(&datapoint(model, number))?;
    }
    publisher.finish()?;
    let of = |rest: u64| (1..=100).filter(|n| n % 3 == rest).collect::<Vec<u64>>();
    anyhow::ensure!(
        lamps.numbers(of(0).len()).await? == of(0),
        "the lamps' events"
    );
    anyhow::ensure!(
        kettles.numbers(of(1).len()).await? == of(1),
        "the kettles' events"
    );

    // Someone who is not of this harness.
    anyhow::ensure!(
        harness
            .endpoint
            .open("stream_key=0123456789abcdef0123456789abcdef")
            .await
            .err()
            == Some(401)
    );
    // From here on it only answers heartbeats, until its stream ends.
    let lamps = tokio::spawn(async move { lamps.next().await });
    // A second client while the first is there, wherever the ingress sends it.
    for _ in 0..4 {
        let second = harness
            .endpoint
            .open(&format!("stream_key={}", keys[0]))
            .await;
        anyhow::ensure!(second.err() == Some(409), "a second client is let in");
    }
    let connection = [
        "get",
        "dss",
        "leds",
        "-n",
        a,
        "-o",
        "jsonpath={.status.connection.state}",
    ];
    harness
        .kubectl
        .wait_for(&connection, |state| state == "Online")
        .await?;

    // A Secret of the team's own that is in the way is left alone, and named.
    let secret = ["create", "secret", "generic", "doors-stream-key", "-n", a];
    harness.kubectl.run(&secret)?;
    harness.apply(a, "doors", &of_model("door"))?;
    let conflict = [
        "wait",
        "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=SecretConflict",
        "dss/doors",
        "-n",
        a,
        "--timeout=60s",
        "--request-timeout=0",
    ];
    harness.kubectl.run(&conflict)?;
    harness
        .kubectl
        .run(&["delete", "dss/doors", "secret/doors-stream-key", "-n", a])?;

    // A team's role reaches its own Secrets only.
    harness.kubectl.run(&[
        "create",
        "rolebinding",
        "team",
        "-n",
        a,
        "--clusterrole=edit",
        "--user=anna",
    ])?;
    let may = ["auth", "can-i", "get", "secrets", "--as=anna"];
    harness.kubectl.run(&[&may[..], &["-n", a]].concat())?;
    harness.kubectl.refused(&[&may[..], &["-n", b]].concat())?;

    harness.kubectl.run(&["delete", "dss", "leds", "-n", a])?;
    anyhow::ensure!(
        timeout(PATIENCE, lamps).await??.is_none(),
        "the stream of a deleted subscription continues"
    );
    Ok(())
}

/// With a second group, which speaks TLS itself: its gateways are asked by the name of their Service.
pub(super) async fn helm_test(harness: &Harness) -> anyhow::Result<()> {
    let [tag, _] = tags();
    let dir = tempfile::tempdir()?;
    let service = format!("datastream-gateway-{TLS_GROUP}.{SYSTEM}.svc");
    let certificate = Certificate::new(dir.path(), &service)?;
    harness
        .kubectl
        .apply(&certificate.secret("gateway-tls", SYSTEM))?;
    let group = format!("gateways.{TLS_GROUP}");
    let values = [
        "tls.secretName=gateway-tls",
        "ingress.enabled=false",
        "tokens.issuer=https://kubernetes.default.svc",
        "tokens.serviceAccounts=true",
    ];
    let values = values.map(|value| format!("{group}.{value}")).join(",");
    harness.install(&tag, &["--set", &values])?;
    harness
        .kubectl
        .helm(&["test", "datastream", "--timeout", "2m"])?;
    // Its gateways read the keys of the API server, under the NetworkPolicies that they have.
    let selector = format!("datastream.dev/gateway-group={TLS_GROUP}");
    let logs = ["logs", "-n", SYSTEM, "-l", &selector, "--tail=-1"];
    harness
        .kubectl
        .wait_for(&logs, |log| log.contains("read the keys of the issuer"))
        .await?;
    harness.install(&tag, &[])?;
    let notes = harness.kubectl.helm(&["get", "notes", "datastream"])?;
    anyhow::ensure!(notes.contains(&format!("wss://{HOST}/stream")), "{notes}");
    anyhow::ensure!(
        notes.contains("kubectl apply") && notes.contains("kubectl -n default wait"),
        "{notes}"
    );
    // Restricted Pod Security is enforced in the namespace of the release, and nothing was refused.
    let pods = harness.kubectl.get(&["pods", "-n", SYSTEM])?;
    let count = pods["items"].as_array().map_or(0, Vec::len);
    anyhow::ensure!(count >= 4, "{count} pods");
    Ok(())
}

/// Checks the audit log; last, because it covers all that the programs did before.
pub(super) async fn access(harness: &mut Harness) -> anyhow::Result<()> {
    let Some(log) = access::log() else {
        println!(
            "  the audit log of this cluster is not at hand: what the programs asked for is not compared with what they are granted"
        );
        return Ok(());
    };
    // The same message again and again: its Event is counted up instead of created again.
    for suspended in [true, false, true, false] {
        harness.apply(
            "team-b",
            "leds",
            &json!({"eventTypes": ["datapoint"], "suspended": suspended}),
        )?;
        // Not Ready: a subscription that is suspended has no stream.
        harness.wait("team-b", "leds", "Programmed")?;
    }
    let deadline = Instant::now() + PATIENCE;
    for part in ["operator", "gateway"] {
        let account = format!("datastream-{part}");
        let granted = access::granted(&harness.kubectl, &account)?;
        loop {
            let used = access::used(&std::fs::read_to_string(&log)?, &account);
            let too_much: Vec<_> = granted.difference(&used).collect();
            let refused: Vec<_> = used.difference(&granted).collect();
            anyhow::ensure!(
                refused.is_empty(),
                "the {part} asks for {refused:?}, which it is not granted"
            );
            if too_much.is_empty() {
                break;
            }
            // The operator clears claims away a minute after their gateway was killed.
            anyhow::ensure!(
                Instant::now() < deadline,
                "the {part} is granted {too_much:?} and never asks for it"
            );
            sleep(Duration::from_secs(1)).await;
        }
    }
    Ok(())
}
