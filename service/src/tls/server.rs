//! TLS of servers.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::pem::{Identity, IdentityFiles, Pem};
use super::watched::{Source, Watched};

/// The socket of a client, as it is or with TLS; the latter on the heap, so that connections without TLS do not have its size.
pub type MaybeTls = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The files of a server with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// The server's certificate.
    pub identity: IdentityFiles,
    /// Certificates that clients have.
    pub clients: ClientCertificates,
}

/// The treatment of certificates of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    Unasked,
    /// One is asked for. A client may do without; one that it shows must be of the authorities in this file (PEM).
    Asked(PathBuf),
    /// A client must have one of the authorities in this file (PEM).
    Required(PathBuf),
}

impl ClientCertificates {
    /// The file with their authorities, if they are asked for.
    pub const fn authorities(&self) -> Option<&PathBuf> {
        match self {
            Self::Unasked => None,
            Self::Asked(file) | Self::Required(file) => Some(file),
        }
    }
}

/// The first byte of a connection that speaks TLS: a record of the handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// Waits for the first byte of a client. Returns whether it speaks TLS, or has left.
///
/// # Errors
/// The connection's own.
pub async fn speaks_tls(socket: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(socket.peek(&mut first).await? == 0 || first[0] == HANDSHAKE)
}

/// TLS of a server. Connections that are open keep the certificate that they began with.
#[derive(Debug)]
pub struct ServerTls(Watched<Files>);

#[derive(Debug)]
struct Files {
    files: ServerFiles,
    /// Protocols for ALPN (RFC 7301).
    protocols: Vec<Vec<u8>>,
}

#[derive(PartialEq)]
struct Material {
    identity: Identity,
    client_authority: Option<Pem>,
}

struct Server {
    config: Arc<ServerConfig>,
    /// The end of the certificate's validity, in seconds since 1970.
    end: i64,
}

/// TLS of a server with this certificate, whose clients are verified like this, and the end of the certificate.
///
/// # Errors
/// The certificate, or its key, cannot be used.
pub(super) fn server_config(
    identity: &Identity,
    verifier: Arc<dyn ClientCertVerifier>,
) -> anyhow::Result<(ServerConfig, i64)> {
    let (chain, key, end) = identity.parse()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key);
    Ok((config.map_err(|error| identity.unusable(error))?, end))
}

impl ServerTls {
    /// Reads the files. With ALPN, these protocols are spoken.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub fn load(files: ServerFiles, protocols: &[&[u8]]) -> anyhow::Result<Self> {
        let protocols = protocols.iter().map(|p| p.to_vec()).collect();
        Watched::load(Files { files, protocols }).map(Self)
    }

    /// The end of the certificate's validity, in seconds since 1970.
    pub fn end(&self) -> i64 {
        self.0.current().end
    }

    /// The configuration for the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.current().config.clone()
    }

    /// Does the handshake.
    ///
    /// # Errors
    /// The client leaves, does not speak TLS, does not want the certificate, or has none that is asked for.
    pub async fn accept<S>(&self, socket: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.config()).accept(socket).await
    }
}

impl Source for Files {
    type Material = Material;
    type Value = Server;

    fn read(&self) -> anyhow::Result<Material> {
        let authorities = self.files.clients.authorities();
        Ok(Material {
            identity: Identity::read(&self.files.identity)?,
            client_authority: authorities.map(|file| Pem::read(file)).transpose()?,
        })
    }

    fn build(&self, material: &Material) -> anyhow::Result<Server> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = match &material.client_authority {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(authority.authorities()?);
                let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
                match self.files.clients {
                    ClientCertificates::Required(_) => builder,
                    _ => builder.allow_unauthenticated(),
                }
                .build()?
            }
        };
        let (mut config, end) = server_config(&material.identity, verifier)?;
        config.alpn_protocols.clone_from(&self.protocols);
        if self.files.clients != ClientCertificates::Unasked {
            // A session that is resumed brings the certificate that it began with, which may have expired since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let config = Arc::new(config);
        Ok(Server { config, end })
    }

    fn describe(&self) -> String {
        self.files.identity.certificate.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tokio::time::advance;

    use super::super::{Authority, DISTANT_YEAR};
    use super::*;

    /// Longer than files go unread.
    const A_WHILE: Duration = Duration::from_secs(3);

    /// The last day of [`DISTANT_YEAR`], in seconds since 1970.
    const END: i64 = 4_133_894_400;

    struct Folder {
        dir: tempfile::TempDir,
        files: IdentityFiles,
    }

    impl Folder {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let files = Self::issue(dir.path());
            Self { dir, files }
        }

        fn issue(dir: &Path) -> IdentityFiles {
            Authority::new().issue(dir, &["localhost"], DISTANT_YEAR)
        }

        /// Writes another certificate and its key.
        fn renew(&self) {
            Self::issue(self.dir.path());
        }

        fn load(&self) -> anyhow::Result<ServerTls> {
            let files = ServerFiles {
                identity: self.files.clone(),
                clients: ClientCertificates::Unasked,
            };
            ServerTls::load(files, &[b"http/1.1"])
        }

        fn fault(&self) -> String {
            format!("{:#}", self.load().unwrap_err())
        }
    }

    #[test]
    fn a_certificate_is_loaded_with_its_end() {
        let tls = Folder::new().load().unwrap();
        assert_eq!(tls.end(), END);
        assert_eq!(tls.0.current().config.alpn_protocols, [b"http/1.1"]);
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_their_fault() {
        let files = Folder::new();
        let key = std::fs::read(&files.files.key).unwrap();
        files.renew();
        std::fs::write(&files.files.key, key).unwrap();
        let fault = files.fault();
        assert!(fault.contains("tls.key: not the key of"), "{fault}");
        std::fs::write(&files.files.key, "no key").unwrap();
        let fault = files.fault();
        assert!(fault.contains("tls.key: has no private key"), "{fault}");
        std::fs::write(&files.files.certificate, "no certificate").unwrap();
        let fault = files.fault();
        assert!(fault.contains("tls.crt: has no certificate"), "{fault}");
        std::fs::remove_file(&files.files.certificate).unwrap();
        let fault = files.fault();
        assert!(fault.contains("tls.crt: No such file"), "{fault}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_certificate_is_taken_over_and_one_that_cannot_be_used_is_not() {
        let files = Folder::new();
        let tls = files.load().unwrap();
        let now = async || {
            advance(A_WHILE).await;
            tls.0.current()
        };
        let first = now().await;
        assert!(Arc::ptr_eq(&first, &now().await));

        files.renew();
        let second = now().await;
        assert!(!Arc::ptr_eq(&first, &second));

        std::fs::write(&files.files.key, "no key").unwrap();
        assert!(Arc::ptr_eq(&second, &now().await));
        std::fs::remove_file(&files.files.certificate).unwrap();
        assert!(Arc::ptr_eq(&second, &now().await));

        files.renew();
        assert!(!Arc::ptr_eq(&second, &now().await));
    }
}
