//! The certificate of a server, which is replaced while the server runs.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::{MissedTickBehavior, interval};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::file::read_regular;

/// Interval at which the files are read again.
const RELOAD: Duration = Duration::from_secs(2);

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// The files of a server's certificate, as cert-manager writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// The certificate and those between it and the authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// TLS of a server. Connections that are open keep the certificate that they began with.
#[derive(Debug)]
pub struct ServerTls {
    files: ServerFiles,
    protocols: Vec<Vec<u8>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Content of the files when they were last read, good or bad.
    read: Content,
    config: Arc<ServerConfig>,
    ends: i64,
}

#[derive(Debug, PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl ServerTls {
    /// Reads the files. With ALPN (RFC 7301), these protocols are spoken.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub fn load(files: ServerFiles, protocols: &[&[u8]]) -> anyhow::Result<Self> {
        let protocols: Vec<_> = protocols.iter().map(|p| p.to_vec()).collect();
        let read = Content::read(&files)?;
        let (config, ends) = read.config(&files, &protocols)?;
        Ok(Self {
            files,
            protocols,
            state: Mutex::new(State { read, config, ends }),
        })
    }

    /// The configuration for the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.lock().config.clone()
    }

    /// The end of the certificate's validity, in seconds since 1970.
    pub fn ends(&self) -> i64 {
        self.lock().ends
    }

    /// Reads the files again and again, and takes over what is new and can be used.
    pub async fn follow(&self) -> Infallible {
        let mut ticks = interval(RELOAD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.reload() {
                Ok(false) => (),
                Ok(true) => tracing::info!(
                    file = %self.files.certificate.display(),
                    "the certificate was replaced"
                ),
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "a new certificate cannot be used; the old one stays"
                ),
            }
        }
    }

    /// Takes over files that have changed since they were last read. Returns whether they have.
    ///
    /// # Errors
    /// They have changed, and cannot be used. Said once for each content.
    fn reload(&self) -> anyhow::Result<bool> {
        // A folder that is being swapped may have one of the two: the next time it has both.
        let Ok(read) = Content::read(&self.files) else {
            return Ok(false);
        };
        if read == self.lock().read {
            return Ok(false);
        }
        let built = read.config(&self.files, &self.protocols);
        let mut state = self.lock();
        state.read = read;
        (state.config, state.ends) = built?;
        Ok(true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn read(files: &ServerFiles) -> anyhow::Result<Self> {
        let read =
            |path: &Path| read_regular(path, MAX_FILE).with_context(|| path.display().to_string());
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
        })
    }

    fn config(
        &self,
        files: &ServerFiles,
        protocols: &[Vec<u8>],
    ) -> anyhow::Result<(Arc<ServerConfig>, i64)> {
        let (chain, ends) = self
            .chain()
            .with_context(|| files.certificate.display().to_string())?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .with_context(|| format!("{}: no private key in PEM", files.key.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .with_context(|| format!("{}: not the key of that certificate", files.key.display()))?;
        config.alpn_protocols = protocols.to_vec();
        Ok((Arc::new(config), ends))
    }

    fn chain(&self) -> anyhow::Result<(Vec<CertificateDer<'static>>, i64)> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate);
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        let first = chain.first().map(|first| Certificate::from_der(first));
        ensure!(first.is_some(), "no certificate in PEM");
        let validity = first
            .transpose()?
            .map(|first| first.tbs_certificate.validity.not_after.to_unix_duration());
        let ends = validity.unwrap_or_default().as_secs();
        Ok((chain, i64::try_from(ends).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tokio::time::sleep;

    use super::*;

    /// The end of 2099, in seconds since 1970.
    const END_OF_2099: i64 = 4_102_358_400;

    struct Files {
        _dir: tempfile::TempDir,
        files: ServerFiles,
    }

    impl Files {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let files = ServerFiles {
                certificate: dir.path().join("tls.crt"),
                key: dir.path().join("tls.key"),
            };
            let this = Self { _dir: dir, files };
            this.renew();
            this
        }

        /// Writes another certificate and its key.
        fn renew(&self) {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = date_time_ymd(2099, 12, 31);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            std::fs::write(&self.files.certificate, certificate.pem()).unwrap();
            std::fs::write(&self.files.key, key.serialize_pem()).unwrap();
        }

        fn load(&self) -> anyhow::Result<ServerTls> {
            ServerTls::load(self.files.clone(), &[b"http/1.1"])
        }

        fn fault(&self) -> String {
            format!("{:#}", self.load().unwrap_err())
        }
    }

    #[test]
    fn a_certificate_is_loaded_with_its_end() {
        let tls = Files::new().load().unwrap();
        assert_eq!(tls.ends(), END_OF_2099);
        assert_eq!(tls.config().alpn_protocols, [b"http/1.1"]);
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_their_fault() {
        let files = Files::new();
        let key = std::fs::read(&files.files.key).unwrap();
        files.renew();
        std::fs::write(&files.files.key, key).unwrap();
        let fault = files.fault();
        assert!(fault.contains("tls.key: not the key of that"), "{fault}");
        std::fs::write(&files.files.key, "no key").unwrap();
        let fault = files.fault();
        assert!(fault.contains("tls.key: no private key"), "{fault}");
        std::fs::write(&files.files.certificate, "no certificate").unwrap();
        let fault = files.fault();
        assert!(fault.contains("tls.crt: no certificate"), "{fault}");
        std::fs::remove_file(&files.files.certificate).unwrap();
        let fault = files.fault();
        assert!(fault.contains("tls.crt: No such file"), "{fault}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_certificate_is_taken_over_and_one_that_cannot_be_used_is_not() {
        let files = Files::new();
        let tls = Arc::new(files.load().unwrap());
        let first = tls.config();
        let following = tokio::spawn({
            let tls = tls.clone();
            async move { tls.follow().await }
        });
        sleep(3 * RELOAD).await;
        assert!(Arc::ptr_eq(&first, &tls.config()));

        files.renew();
        sleep(2 * RELOAD).await;
        let second = tls.config();
        assert!(!Arc::ptr_eq(&first, &second));

        std::fs::write(&files.files.key, "no key").unwrap();
        sleep(2 * RELOAD).await;
        std::fs::remove_file(&files.files.certificate).unwrap();
        sleep(2 * RELOAD).await;
        assert!(Arc::ptr_eq(&second, &tls.config()));

        files.renew();
        sleep(2 * RELOAD).await;
        assert!(!Arc::ptr_eq(&second, &tls.config()));
        following.abort();
    }
}
