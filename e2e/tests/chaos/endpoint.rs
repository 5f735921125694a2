//! The endpoints at which clients find gateways, and whether something was done to a gateway.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_rustls::TlsConnector;

use crate::door::Door;

/// One gateway, as clients see it.
#[derive(Default)]
pub(crate) struct Endpoint {
    address: Mutex<Option<String>>,
    tls: Option<TlsConnector>,
    disturbances: AtomicU64,
}

impl Endpoint {
    pub(crate) fn new(tls: Option<TlsConnector>) -> Self {
        Self {
            tls,
            ..Self::default()
        }
    }

    pub(crate) fn door(&self) -> Option<Door> {
        let address = self.address.lock().unwrap().clone()?;
        Some(Door::new(address, self.tls.clone()))
    }

    pub(crate) fn open(&self, address: &str) {
        *self.address.lock().unwrap() = Some(address.to_owned());
    }

    /// Hides the endpoint from now on; returns its address.
    pub(crate) fn close(&self) -> Option<String> {
        self.address.lock().unwrap().take()
    }

    /// Counts a disturbance of the gateway that may cost it its connections.
    pub(crate) fn disturb(&self) {
        self.disturbances.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn disturbances(&self) -> u64 {
        self.disturbances.load(Ordering::SeqCst)
    }
}

/// Time until which a refusal for lack of rights is explained by a fault of the routes.
#[derive(Debug, Default)]
pub(crate) struct Excuse(Mutex<Option<Instant>>);

impl Excuse {
    /// A folder without notifications is read every 10 s.
    const SETTLES: Duration = Duration::from_secs(12);

    pub(crate) fn begin(&self, lasts: Duration) {
        *self.0.lock().unwrap() = Some(Instant::now() + lasts + Self::SETTLES);
    }

    pub(crate) fn holds(&self) -> bool {
        self.0
            .lock()
            .unwrap()
            .is_some_and(|until| Instant::now() < until)
    }
}
