//! The credentials of a client, and whom it trusts: files that are read again when they change, and a token from wherever the program
//! has it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use datastream_service::file::read_token;
use datastream_service::tls::{Client, Identity, IdentityFiles, Pem, Source, Watched, client_of};
use tokio_tungstenite::Connector;

/// The files of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFiles {
    /// The authorities whose certificates are taken from servers, in PEM; without a file, those of the web.
    pub authorities: Option<PathBuf>,
    /// The certificate that servers are shown which ask for one.
    pub identity: Option<IdentityFiles>,
    /// A token that opens the stream, instead of a stream key.
    pub token: Option<PathBuf>,
}

/// The credentials of a client. Cheap to clone; each connection is made with what is in the files then.
#[derive(Clone, Debug)]
pub struct Credentials {
    tls: Arc<Watched<TlsFiles>>,
    token: Option<TokenSource>,
}

/// The place from which a token comes.
#[derive(Clone)]
enum TokenSource {
    File(PathBuf),
    Program(Arc<TokenFunction>),
}

type TokenFunction = dyn Fn() -> Result<String, String> + Send + Sync;

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Program(_) => f.write_str("a function"),
        }
    }
}

#[derive(Debug)]
struct TlsFiles {
    authorities: Option<PathBuf>,
    identity: Option<IdentityFiles>,
}

#[derive(PartialEq)]
struct Material {
    authorities: Option<Pem>,
    identity: Option<Identity>,
}

impl Credentials {
    /// Reads the files.
    ///
    /// # Errors
    /// A file, and why it cannot be used.
    pub fn new(files: CredentialFiles) -> Result<Self, String> {
        let CredentialFiles {
            authorities,
            identity,
            token,
        } = files;
        let tls = Watched::load(TlsFiles {
            authorities,
            identity,
        });
        let tls = tls.map_err(|error| format!("{error:#}"))?;
        let this = Self {
            tls: Arc::new(tls),
            token: token.map(TokenSource::File),
        };
        this.token()?;
        Ok(this)
    }

    /// The same credentials with the token that `token` returns, which is asked before each connection, and before the answer to each
    /// heartbeat: a token that has been renewed is sent to the server then. It must not block.
    #[must_use]
    pub fn with_token(
        mut self,
        token: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        self.token = Some(TokenSource::Program(Arc::new(token)));
        self
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::Rustls(self.tls.current().config.clone())
    }

    /// Returns whether there is to be a token.
    pub const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The token as it is now, if there is to be one.
    ///
    /// # Errors
    /// Its file has none, or its function failed.
    pub(crate) fn token(&self) -> Result<Option<String>, String> {
        let token = match &self.token {
            None => return Ok(None),
            Some(TokenSource::File(path)) => {
                read_token(path).map_err(|error| format!("{}: {error}", path.display()))
            }
            Some(TokenSource::Program(token)) => token(),
        };
        token.map(Some)
    }
}

impl Source for TlsFiles {
    type Material = Material;
    type Value = Client;

    fn read(&self) -> anyhow::Result<Material> {
        let authorities = self.authorities.as_deref().map(Pem::read);
        let identity = self.identity.as_ref().map(Identity::read);
        Ok(Material {
            authorities: authorities.transpose()?,
            identity: identity.transpose()?,
        })
    }

    fn build(&self, material: &Material) -> anyhow::Result<Client> {
        client_of(material.authorities.as_ref(), material.identity.as_ref())
    }

    fn describe(&self) -> String {
        let certificate = self.identity.as_ref().map(|files| &files.certificate);
        let file = certificate.or(self.authorities.as_ref());
        file.map_or_else(String::new, |file| file.display().to_string())
    }
}
