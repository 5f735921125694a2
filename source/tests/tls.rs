//! Fluvio over TLS: what is read and written, which certificates are taken, and what becomes of renewed ones.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use datastream_broker::{Broker, BrokerOptions, Role};
use datastream_service::tls::{
    Authority, ClientCertificates, DISTANT_YEAR, IdentityFiles, ServerFiles,
};
use datastream_source::fluvio::producer::{Producer, Record};
use datastream_source::fluvio::{
    ClusterFiles, FluvioCluster, FluvioCursorLog, FluvioSource, FluvioTarget, topic,
};
use datastream_source::{CursorLog as _, EventSource as _};
use fluvio::config::{ConfigFile, TlsCerts, TlsPaths, TlsPolicy};
use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const TOPIC: &str = "t";
const PATIENCE: Duration = Duration::from_secs(30);
/// The name of a cluster, and those of its units, as certificates made for Fluvio have them.
const NAMES: [&str; 2] = ["fluvio.test", "*.fluvio.test"];

/// A broker with TLS that takes only clients of its authority, and the files of such a client.
struct Cluster {
    broker: Broker,
    authority: Authority,
    client: IdentityFiles,
    dir: TempDir,
}

impl Cluster {
    async fn start(names: &[&str], year: i32) -> Self {
        let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
        let folder = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let clients = ClientCertificates::Required(authority.write(dir.path()));
        let identity = authority.issue(&folder("server"), names, year);
        let client = authority.issue(&folder("client"), &["gateway"], DISTANT_YEAR);
        let options = BrokerOptions {
            tls: Some(ServerFiles { identity, clients }),
            ..BrokerOptions::default()
        };
        let broker = Broker::start(options).await.unwrap();
        broker.create_topic(TOPIC, 1).unwrap();
        Self {
            broker,
            authority,
            client,
            dir,
        }
    }

    fn address(&self) -> String {
        self.broker.address().to_string()
    }

    /// Files of a client that is right but for these two.
    fn files(&self, identity: Option<IdentityFiles>, server_name: Option<&str>) -> ClusterFiles {
        ClusterFiles {
            authority: self.dir.path().join("ca.crt"),
            identity,
            server_name: server_name.map(str::to_owned),
        }
    }

    fn connection(&self, files: ClusterFiles) -> FluvioCluster {
        FluvioCluster::with_tls(self.address(), files).unwrap()
    }

    /// A client that is right, where certificates are for the addresses.
    fn client(&self) -> FluvioCluster {
        self.connection(self.files(Some(self.client.clone()), None))
    }
}

/// Produces a record, and reads all from the beginning.
async fn write_and_read(cluster: &FluvioCluster, value: &str) -> Vec<String> {
    let mut producer = Producer::new(FluvioTarget::new(cluster.clone(), TOPIC));
    let record = Record {
        key: "k".to_owned(),
        value: value.as_bytes().to_vec(),
    };
    producer.send_twice(&[record]).await.unwrap();
    let source = FluvioSource::new(cluster.clone(), TOPIC);
    let reading = async {
        loop {
            let end = source.bounds().await.unwrap()[0].end;
            let mut values = vec![];
            let mut stream = source.tail(0, 0, 1 << 20).await.unwrap();
            while (values.len() as u64) < end {
                let records = stream.next().await.unwrap().unwrap();
                let value = |record: &datastream_source::Record| {
                    String::from_utf8(record.value.to_vec()).unwrap()
                };
                values.extend(records.iter().map(value));
            }
            if values.iter().any(|v| v == value) {
                return values;
            }
        }
    };
    timeout(PATIENCE, reading).await.unwrap()
}

async fn fault(cluster: &FluvioCluster) -> String {
    let source = FluvioSource::new(cluster.clone(), TOPIC);
    source.bounds().await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_topics_and_cursors_are_read_and_written_over_tls() {
    let fluvio = Cluster::start(&["127.0.0.1"], DISTANT_YEAR).await;
    let cluster = fluvio.client();
    assert_eq!(write_and_read(&cluster, "one").await, ["one"]);
    topic::ensure(&FluvioTarget::new(cluster.clone(), "made"), 2)
        .await
        .unwrap();
    assert_eq!(fluvio.broker.partitions("made"), Some(2));
    let cursors = FluvioCursorLog::new(cluster.clone(), "cursors");
    cursors.ensure().await.unwrap();
    cursors.append("a".into()).await.unwrap();
    let ends = cluster.certificate_ends();
    assert!(
        ends.client.unwrap() > 4e9 as i64 && ends.server == ends.client,
        "{ends:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_for_a_cluster_s_name_are_those_that_fluvio_s_own_clients_take() {
    let fluvio = Cluster::start(&NAMES, DISTANT_YEAR).await;
    let files = fluvio.files(Some(fluvio.client.clone()), Some("fluvio.test"));
    let cluster = fluvio.connection(files);
    assert_eq!(write_and_read(&cluster, "one").await, ["one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_not_taken_are_named_by_their_fault() {
    let fluvio = Cluster::start(&["127.0.0.1"], DISTANT_YEAR).await;
    let client = Some(fluvio.client.clone());

    let other = tempfile::tempdir().unwrap();
    let files = ClusterFiles {
        authority: Authority::new().write(other.path()),
        ..fluvio.files(client.clone(), None)
    };
    let error = fault(&fluvio.connection(files)).await;
    assert!(
        error.contains("of an authority that is not trusted"),
        "{error}"
    );

    let error = fault(&fluvio.connection(fluvio.files(client.clone(), Some("fluvio.test")))).await;
    assert!(
        error.contains("as fluvio.test: its certificate is for another name"),
        "{error}"
    );

    // TLS 1.3 tells a client that it is refused only after the handshake.
    let error = fault(&fluvio.connection(fluvio.files(None, None))).await;
    assert!(error.contains("CertificateRequired"), "{error}");

    let plain = Broker::start(BrokerOptions::default()).await.unwrap();
    let address = plain.address().to_string();
    let files = fluvio.files(client.clone(), None);
    let error = fault(&FluvioCluster::with_tls(address, files).unwrap()).await;
    assert!(error.contains("TLS with 127.0.0.1:"), "{error}");

    let expired = Cluster::start(&["127.0.0.1"], 2020).await;
    let error = fault(&expired.client()).await;
    assert!(error.contains("its certificate has expired"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_certificates_are_taken_for_the_next_connection() {
    let mut fluvio = Cluster::start(&["127.0.0.1"], DISTANT_YEAR).await;
    let cluster = fluvio.client();
    assert_eq!(write_and_read(&cluster, "one").await, ["one"]);
    // Everything is new: the authority, the server's certificate and the client's.
    let (dir, authority) = (fluvio.dir.path(), Authority::new());
    authority.write(dir);
    authority.issue(&dir.join("server"), &["127.0.0.1"], DISTANT_YEAR);
    authority.issue(&dir.join("client"), &["gateway"], DISTANT_YEAR);
    sleep(Duration::from_millis(2_100)).await;
    for role in [Role::Spu, Role::Sc] {
        fluvio.broker.down(role).await;
        fluvio.broker.up(role).await.unwrap();
    }
    assert_eq!(write_and_read(&cluster, "two").await, ["one", "two"]);
    // Of the earlier authority.
    let files = ClusterFiles {
        authority: fluvio.authority.write(tempfile::tempdir().unwrap().path()),
        ..fluvio.files(None, None)
    };
    assert!(FluvioCluster::with_tls(fluvio.address(), files).is_err());
}

/// Writes a profile as Fluvio's own commands do.
fn profile(path: &Path, address: &str, policy: &TlsPolicy) {
    std::fs::write(path, "version = \"2.0\"\n[profile]\n[cluster]\n").unwrap();
    let mut file = ConfigFile::load(Some(path.display().to_string())).unwrap();
    file.add_or_replace_profile("local", address, policy)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_of_fluvio_s_own_commands_are_read() {
    let fluvio = Cluster::start(&NAMES, DISTANT_YEAR).await;
    let path = fluvio.dir.path().join("config");
    let paths = TlsPaths {
        domain: "fluvio.test".to_owned(),
        key: fluvio.client.key.clone(),
        cert: fluvio.client.certificate.clone(),
        ca_cert: fluvio.dir.path().join("ca.crt"),
    };
    profile(&path, &fluvio.address(), &paths.clone().into());
    let cluster = FluvioCluster::of_profile(&path).unwrap();
    assert_eq!(cluster.address(), fluvio.address());
    assert_eq!(write_and_read(&cluster, "one").await, ["one"]);

    let certs = TlsCerts::try_from(paths).unwrap();
    profile(&path, &fluvio.address(), &certs.into());
    let cluster = FluvioCluster::of_profile(&path).unwrap();
    assert_eq!(write_and_read(&cluster, "two").await, ["one", "two"]);

    let plain = Broker::start(BrokerOptions::default()).await.unwrap();
    plain.create_topic(TOPIC, 1).unwrap();
    profile(&path, &plain.address().to_string(), &TlsPolicy::Disabled);
    let cluster = FluvioCluster::of_profile(&path).unwrap();
    assert_eq!(write_and_read(&cluster, "three").await, ["three"]);
}

#[test]
fn profiles_that_cannot_be_used_are_named_with_their_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let fault = || format!("{:#}", FluvioCluster::of_profile(&path).unwrap_err());
    assert!(fault().contains("config"), "{}", fault());
    profile(&path, "localhost:9003", &TlsPolicy::Anonymous);
    assert!(
        fault().contains("its tls_policy is anonymous"),
        "{}",
        fault()
    );
    profile(&path, "localhost", &TlsPolicy::Disabled);
    assert!(
        fault().contains("endpoint: the address of Fluvio's SC is HOST:PORT"),
        "{}",
        fault()
    );
    let certs = TlsCerts {
        domain: "fluvio.test".to_owned(),
        key: String::new(),
        cert: String::new(),
        ca_cert: String::new(),
    };
    profile(&path, "localhost:9003", &certs.into());
    assert!(fault().contains("ca_cert of"), "{}", fault());
}
