//! The certificate by which the gateways of a group know each other: made once, and again when it is gone.

use datastream_routing::names::{PEERS, labels, peers_name};
use datastream_service::tls::SHARED_NAME;
use datastream_service_kube::api::{in_time, reason};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use crate::FIELD_MANAGER;

/// The keys of the Secret, as those of the type `kubernetes.io/tls`.
const KEYS: [&str; 2] = ["tls.crt", "tls.key"];

/// Sees that the Secret of a group is there. Returns whether it is.
pub(super) async fn ensure(secrets: &Api<Secret>, group: &str) -> bool {
    let name = peers_name(group);
    match write_if_missing(secrets, group, &name).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(
                object = name,
                error = format!("{error:#}"),
                "cannot write the certificate of the gateways; trying again"
            );
            false
        }
    }
}

async fn write_if_missing(secrets: &Api<Secret>, group: &str, name: &str) -> anyhow::Result<()> {
    let explained = |error| anyhow::anyhow!(reason(&error));
    let found = in_time(secrets.get_opt(name)).await.map_err(explained)?;
    if found.is_some_and(|secret| is_complete(&secret)) {
        return Ok(());
    }
    let params = CertificateParams::new([SHARED_NAME.to_owned()])?;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let encoded = |text: String| ByteString(text.into_bytes());
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "labels": labels(PEERS, group) },
        "type": "kubernetes.io/tls",
        "data": { KEYS[0]: encoded(certificate.pem()), KEYS[1]: encoded(key.serialize_pem()) },
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&secret);
    in_time(secrets.patch(name, &params, &patch))
        .await
        .map_err(explained)?;
    tracing::info!(group, "made the certificate of the gateways");
    Ok(())
}

/// Returns whether the Secret has what it should, by the look of it.
pub(super) fn is_complete(secret: &Secret) -> bool {
    let data = secret.data.as_ref();
    let has = |key: &&str| data.is_some_and(|d| d.get(**key).is_some_and(|v| !v.0.is_empty()));
    KEYS.iter().all(|key| has(&key))
}
