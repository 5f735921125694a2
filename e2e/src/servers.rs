//! Arguments of the servers of a control plane.

use std::path::Path;

/// The place of a control plane, and whom it is for.
#[derive(Clone, Debug)]
pub(crate) enum Site {
    /// Servers on loopback, without a node: pods are never run.
    Alone,
    /// Servers at this address of a node that runs pods.
    OnNode(String),
}

impl Site {
    /// The address of the API server.
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::Alone => "127.0.0.1",
            Self::OnNode(address) => address,
        }
    }
}

/// Every request of the programs under test, for those who ask what they really did.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ['system:serviceaccounts']
  - level: None
";

/// The file with the requests of service accounts, in the folder of a control plane that runs pods.
pub(crate) const AUDIT_LOG: &str = "audit.log";

pub(crate) fn etcd(dir: &Path, client: u16, peer: u16) -> Vec<String> {
    let (client, peer) = (
        format!("http://127.0.0.1:{client}"),
        format!("http://127.0.0.1:{peer}"),
    );
    vec![
        "--name=default".to_owned(),
        format!("--data-dir={}", dir.join("etcd").display()),
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--log-level=warn".to_owned(),
    ]
}

pub(crate) fn apiserver(dir: &Path, site: &Site, etcd: u16, port: u16) -> Vec<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    let mut args = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--bind-address={}", site.address()),
        format!("--advertise-address={}", site.address()),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", dir.display()),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--shutdown-delay-duration=0s".to_owned(),
        "--profiling=false".to_owned(),
    ];
    match site {
        // An address of loopback is refused as an endpoint, and nobody asks for it.
        Site::Alone => args.push("--endpoint-reconciler-type=none".to_owned()),
        Site::OnNode(_) => {
            let policy = dir.join("audit-policy.yaml");
            // A folder that can be written when the keys were can be written now.
            if std::fs::write(&policy, AUDIT_POLICY).is_ok() {
                args.push(format!("--audit-policy-file={}", policy.display()));
                args.push(format!("--audit-log-path={}", file(AUDIT_LOG)));
            }
            args.extend([
                format!("--kubelet-client-certificate={}", file("admin.crt")),
                format!("--kubelet-client-key={}", file("admin.key")),
                // Without it, exec and logs look up the name of the node.
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
                "--allow-privileged=true".to_owned(),
            ]);
        }
    }
    args
}

/// Returns the arguments that the controllers and the scheduler have in common.
pub(crate) fn client(kubeconfig: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        "--secure-port=0".to_owned(),
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ]
}

/// Returns the arguments that the controllers need in a cluster that runs pods.
pub(crate) fn all_controllers(dir: &Path) -> Vec<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    vec![
        "--use-service-account-credentials=true".to_owned(),
        format!("--service-account-private-key-file={}", file("sa.key")),
        format!("--root-ca-file={}", file("ca.crt")),
        format!("--cluster-signing-cert-file={}", file("ca.crt")),
        format!("--cluster-signing-key-file={}", file("ca.key")),
        // A node that is gone for a moment keeps its pods.
        "--node-monitor-grace-period=40s".to_owned(),
    ]
}

/// A kubeconfig for the administrator.
pub(crate) fn admin(dir: &Path, site: &Site, port: u16) -> String {
    let dir = dir.display();
    let address = site.address();
    format!(
        "apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]
clusters: [{{name: test, cluster: {{server: 'https://{address}:{port}', certificate-authority: {dir}/ca.crt}}}}]
users: [{{name: admin, user: {{client-certificate: {dir}/admin.crt, client-key: {dir}/admin.key}}}}]
"
    )
}
