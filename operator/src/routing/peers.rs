//! The certificate by which the gateways of a group know each other: made once, and again when it is gone.

use std::sync::Arc;
use std::time::Duration;

use datastream_routing::names::{PEERS, labels, peers_name};
use datastream_service::backoff::Backoff;
use datastream_service::tls::{Identity, Pem, SHARED_NAME, SharedTls};
use datastream_service_kube::api::{in_time, reason};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::FIELD_MANAGER;

/// Pauses between attempts to write it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// The keys of the Secret, as those of the type `kubernetes.io/tls`.
const KEYS: [&str; 2] = ["tls.crt", "tls.key"];

/// Sees that the Secret of a group is there: now, and whenever it is `gone`.
pub(crate) async fn keep(
    secrets: Api<Secret>,
    group: String,
    gone: Arc<Notify>,
) -> anyhow::Result<()> {
    let name = peers_name(&group);
    let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
    loop {
        match write_if_missing(&secrets, &group, &name).await {
            Ok(()) => {
                backoff.reset();
                gone.notified().await;
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(
                    object = name,
                    error,
                    "cannot write the certificate of the gateways; trying again"
                );
                sleep(backoff.next_delay()).await;
            }
        }
    }
}

async fn write_if_missing(secrets: &Api<Secret>, group: &str, name: &str) -> anyhow::Result<()> {
    let explained = |error| anyhow::anyhow!(reason(&error));
    // By its name, and yet as a list: the operator needs no right to get Secrets there.
    let named = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = in_time(secrets.list(&named)).await.map_err(explained)?;
    let labels = labels(PEERS, group);
    if let Some(found) = found.items.iter().find(|secret| are_complete(secret)) {
        let has = |(name, value): (&&str, &String)| found.labels().get(*name) == Some(value);
        if !labels.iter().all(has) {
            // Without them, gateways do not see it.
            let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
            let params = PatchParams::default();
            in_time(secrets.patch(name, &params, &patch))
                .await
                .map_err(explained)?;
        }
        return Ok(());
    }
    let (certificate, key) = self_signed()?;
    let encoded = |text: String| ByteString(text.into_bytes());
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "labels": labels },
        "type": "kubernetes.io/tls",
        "data": { KEYS[0]: encoded(certificate), KEYS[1]: encoded(key) },
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&secret);
    in_time(secrets.patch(name, &params, &patch))
        .await
        .map_err(explained)?;
    tracing::info!(group, "made the certificate of the gateways");
    Ok(())
}

/// A self-signed certificate and its key, in PEM, which do not end.
fn self_signed() -> Result<(String, String), rcgen::Error> {
    let params = CertificateParams::new([SHARED_NAME.to_owned()])?;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// A self-signed certificate of this process alone.
///
/// # Errors
/// The system has no random bytes.
pub(crate) fn own_identity() -> Result<Identity, rcgen::Error> {
    let (certificate, key) = self_signed()?;
    let pem = |text: String| {
        Pem::new(
            "the certificate of this process".to_owned(),
            text.into_bytes(),
        )
    };
    Ok(Identity::new(pem(certificate), pem(key)))
}

/// Returns whether the Secret has a certificate with its key that gateways can use.
pub(crate) fn are_complete(secret: &Secret) -> bool {
    let pem = |key: &str| {
        let bytes = secret.data.as_ref()?.get(key)?.0.clone();
        Some(Pem::new(key.to_owned(), bytes))
    };
    let [certificate, key] = KEYS.map(pem);
    let identity = certificate.zip(key).map(|(c, k)| Identity::new(c, k));
    identity.is_some_and(|identity| SharedTls::new(&identity).is_ok())
}
