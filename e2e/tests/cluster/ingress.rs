//! An ingress: nginx, configured as the chart's Ingress configures ingress-nginx, with TLS.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::settings::{HOST, SYSTEM};

pub(crate) const NAMESPACE: &str = "ingress";
const PORT: u16 = 8443;

/// A certificate authority, and what it signed, as PEM.
pub(crate) struct Certificate {
    pub(crate) authority: Vec<u8>,
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// A certificate for this host, made with the openssl command.
    pub(crate) fn new(dir: &Path, host: &str) -> anyhow::Result<Self> {
        let openssl = |args: &str| {
            let output = Command::new("openssl")
                .args(args.split(' '))
                .current_dir(dir)
                .output()
                .context("openssl")?;
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            anyhow::ensure!(output.status.success(), "openssl {args}: {error}");
            Ok(())
        };
        std::fs::write(dir.join("names"), format!("subjectAltName=DNS:{host}"))?;
        for name in ["ca", "tls"] {
            openssl(&format!(
                "ecparam -name prime256v1 -genkey -noout -out {name}.key"
            ))?;
        }
        openssl("req -x509 -new -key ca.key -subj /CN=test-ca -days 2 -out ca.crt")?;
        openssl("req -new -key tls.key -subj /CN=streams -out tls.csr")?;
        openssl(
            "x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out tls.crt",
        )?;
        let read = |name: &str| std::fs::read(dir.join(name));
        Ok(Self {
            authority: read("ca.crt")?,
            chain: read("tls.crt")?,
            key: read("tls.key")?,
        })
    }

    /// The certificate as a Secret, as cert-manager makes it.
    pub(crate) fn secret(&self, name: &str, namespace: &str) -> Value {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "type": "kubernetes.io/tls",
            "stringData": {
                "ca.crt": text(&self.authority), "tls.crt": text(&self.chain), "tls.key": text(&self.key),
            },
        })
    }
}

/// Starts it for the Ingress of the chart, and waits until it is up.
pub(crate) fn start(kubectl: &Kubectl, certificate: &Certificate) -> anyhow::Result<()> {
    let ingress = kubectl.get(&["ingress", "-n", SYSTEM, "datastream-gateway"])?;
    let service = kubectl.get(&["service", "-n", SYSTEM, "datastream-gateway"])?;
    let labels = json!({"app": "ingress"});
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
        certificate.secret("tls", NAMESPACE),
        {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nginx", "namespace": NAMESPACE},
            "data": {"nginx.conf": configuration(&ingress, &service)?},
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "ingress", "namespace": NAMESPACE},
            "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": PORT}]},
        },
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ingress", "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "containers": [{
                            "name": "nginx", "image": "localhost/ingress:1", "imagePullPolicy": "IfNotPresent",
                            "ports": [{"containerPort": PORT}],
                            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                            "volumeMounts": [
                                {"name": "nginx", "mountPath": "/etc/nginx/conf"},
                                {"name": "tls", "mountPath": "/tls"},
                                {"name": "tmp", "mountPath": "/tmp"},
                            ],
                        }],
                        "volumes": [
                            {"name": "nginx", "configMap": {"name": "nginx"}},
                            {"name": "tls", "secret": {"secretName": "tls"}},
                            {"name": "tmp", "emptyDir": {}},
                        ],
                    },
                },
            },
        },
    ]}))?;
    kubectl.rolled_out(NAMESPACE, "ingress")
}

/// Returns the configuration that ingress-nginx makes of these annotations. One that this does not know is an error: it would be
/// a setting that is not tested.
fn configuration(ingress: &Value, service: &Value) -> anyhow::Result<String> {
    let annotations = ingress["metadata"]["annotations"].as_object();
    let mut location = String::new();
    for (name, value) in annotations.context("the Ingress has annotations")? {
        let Some(setting) = name.strip_prefix("nginx.ingress.kubernetes.io/") else {
            continue;
        };
        let value = value.as_str().unwrap_or_default();
        let directive = match setting {
            "enable-access-log" if value == "false" => "access_log off".to_owned(),
            "proxy-http-version" => format!("proxy_http_version {value}"),
            "proxy-read-timeout" => format!("proxy_read_timeout {value}s"),
            "proxy-send-timeout" => format!("proxy_send_timeout {value}s"),
            "proxy-buffering" => format!("proxy_buffering {value}"),
            "proxy-request-buffering" => format!("proxy_request_buffering {value}"),
            "proxy-next-upstream" => format!("proxy_next_upstream {value}"),
            "proxy-next-upstream-tries" => format!("proxy_next_upstream_tries {value}"),
            other => {
                anyhow::bail!("the Ingress asks for {other}, which this ingress does not know")
            }
        };
        writeln!(location, "      {directive};")?;
    }
    let rule = &ingress["spec"]["rules"][0];
    anyhow::ensure!(rule["host"] == HOST, "the host of the Ingress: {rule}");
    let path = &rule["http"]["paths"][0];
    let path = path["path"].as_str().context("a path")?;
    let address = service["spec"]["clusterIP"]
        .as_str()
        .context("an address")?;
    let port = &service["spec"]["ports"][0]["port"];
    Ok(format!(
        "worker_processes 1;
error_log /dev/stderr warn;
pid /tmp/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log /dev/stdout;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  map $http_upgrade $connection_upgrade {{
    default upgrade;
    '' close;
  }}
  server {{
    listen {PORT} ssl;
    server_name {HOST};
    ssl_certificate /tls/tls.crt;
    ssl_certificate_key /tls/tls.key;
    location {path} {{
      proxy_pass http://{address}:{port};
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
{location}    }}
  }}
}}
"
    ))
}
