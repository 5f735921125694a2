//! TLS between the gateways of a group, by the certificate that the operator gives them all.

use std::sync::{Arc, Mutex, PoisonError};

use datastream_service::tls::{Identity, SharedTls};

/// TLS with the other gateways, once their certificate is known.
#[derive(Debug, Default)]
pub(crate) struct PeerTls(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    identity: Option<Arc<Identity>>,
    tls: Option<SharedTls>,
}

impl PeerTls {
    /// Uses this certificate from now on. One that cannot be used is logged, and the one before it stays.
    pub(crate) fn set(&self, identity: &Arc<Identity>) {
        let known = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.identity.as_ref() == Some(identity) {
            return;
        }
        match SharedTls::new(identity) {
            Ok(tls) => known.tls = Some(tls),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "the certificate of the gateways cannot be used"
            ),
        }
        known.identity = Some(identity.clone());
    }

    /// TLS with the other gateways; none as long as their certificate is not known.
    pub(crate) fn current(&self) -> Option<SharedTls> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.tls.clone()
    }
}
