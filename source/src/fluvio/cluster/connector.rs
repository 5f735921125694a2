//! The way in which Fluvio's client gets its connections with TLS: its own brings a second provider (decision 3).

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use async_trait::async_trait;
use fluvio_future::net::{
    BoxReadConnection, BoxWriteConnection, ConnectionFd, DomainConnector, TcpDomainConnector,
};
use tokio::runtime::Handle;
use tokio_util::compat::{TokioAsyncReadCompatExt as _, TokioAsyncWriteCompatExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::tls::ClusterTls;

/// Makes connections to a cluster, and to its units under names of their own.
#[derive(Clone)]
pub(super) struct Connector {
    tls: Arc<ClusterTls>,
    /// The name in the certificate of what is connected to; empty for that of the address.
    domain: String,
    /// Fluvio's client connects on threads of its own, where there is no runtime.
    runtime: Handle,
}

impl Connector {
    /// Connections of the runtime that this is called on.
    pub(super) fn new(tls: Arc<ClusterTls>) -> Self {
        Self {
            domain: tls.server_name().unwrap_or_default().to_owned(),
            runtime: Handle::current(),
            tls,
        }
    }
}

#[async_trait]
impl TcpDomainConnector for Connector {
    async fn connect(
        &self,
        address: &str,
    ) -> io::Result<(BoxWriteConnection, BoxReadConnection, ConnectionFd)> {
        let (tls, address, domain) = (self.tls.clone(), address.to_owned(), self.domain.clone());
        // Whoever gives up waiting closes the socket.
        let connecting = AbortOnDropHandle::new(self.runtime.spawn(async move {
            let name = (!domain.is_empty()).then_some(domain.as_str());
            tls.connect(&address, name).await
        }));
        let stream = connecting.await.map_err(io::Error::other)??;
        let descriptor = stream.get_ref().0.as_raw_fd();
        let (read, write) = tokio::io::split(stream);
        Ok((
            Box::new(write.compat_write()),
            Box::new(read.compat()),
            descriptor,
        ))
    }

    /// Fluvio's client asks for `UNIT.DOMAIN` before it connects to a unit.
    fn new_domain(&self, domain: String) -> DomainConnector {
        let named = self.tls.server_name().is_some();
        Box::new(Self {
            domain: if named { domain } else { String::new() },
            ..self.clone()
        })
    }

    fn domain(&self) -> &str {
        &self.domain
    }

    fn clone_box(&self) -> DomainConnector {
        Box::new(self.clone())
    }
}
