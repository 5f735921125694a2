//! State and metrics of the operator, for probes and scrapers.

use std::sync::Arc;

use datastream_service::probes::Probes;
use datastream_service::tls::SharedTls;
use datastream_service_kube::review::Reviewer;
use hyper::StatusCode;
use kube::Client;
use rustls::ServerConfig;

use crate::metrics::Metrics;
use crate::routing::own_identity;

/// State and metrics of the operator.
pub(crate) struct OperatorProbes {
    metrics: Arc<Metrics>,
    /// Decides who may read the metrics; without it, whoever reaches the port may.
    door: Option<Door>,
}

struct Door {
    /// Asks the API server about the tokens of those who want to.
    reviewer: Reviewer,
    /// TLS, with a certificate of this process alone, so that tokens need not cross the network in the clear.
    tls: SharedTls,
}

impl OperatorProbes {
    /// These metrics, for whoever reaches the port or, with `authorization`, whom this API server lets get `/metrics`.
    ///
    /// # Errors
    /// No certificate can be made.
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        client: &Client,
        authorization: bool,
    ) -> anyhow::Result<Self> {
        let door = || -> anyhow::Result<Door> {
            Ok(Door {
                reviewer: Reviewer::new(client.clone()),
                tls: SharedTls::new(&own_identity()?)?,
            })
        };
        let door = authorization.then(door).transpose()?;
        Ok(Self { metrics, door })
    }
}

/// A replica that does not lead stands by, which is ready. One that leads is ready when it has listed everything.
impl Probes for OperatorProbes {
    fn ready(&self) -> Result<String, String> {
        if self.metrics.leads.get() == 1 && self.metrics.listed.get() == 0 {
            return Err("this replica leads, and has not listed everything yet: the metric datastream_operator_watch_failing says what cannot be listed, and the log why\n".to_owned());
        }
        Ok("ok\n".to_owned())
    }

    fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.door.as_ref().map(|door| door.tls.server.clone())
    }

    async fn admit(&self, bearer: Option<&str>) -> Result<(), (StatusCode, String)> {
        let Some(door) = &self.door else {
            return Ok(());
        };
        let verdict = door.reviewer.may_get(bearer, "/metrics").await;
        verdict.refusal().map_or(Ok(()), Err)
    }

    fn metrics(&self) -> prometheus::Result<String> {
        self.metrics.render()
    }
}
