//! kube-proxy, by nftables.

use std::path::Path;

use serde_json::json;

use super::{ADDRESS, NAME};
use crate::process::{Launch, Server};

pub(super) fn start(programs: &Path, dir: &Path, kubeconfig: &Path) -> anyhow::Result<Server> {
    let config = dir.join("kube-proxy.yaml");
    let settings = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": ADDRESS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": "10.244.0.0/16",
        "clientConnection": {"kubeconfig": kubeconfig},
        // The machine's own settings are left alone.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "hostnameOverride": NAME,
    });
    std::fs::write(&config, settings.to_string())?;
    let args = [format!("--config={}", config.display())];
    Launch::new(programs.join("kube-proxy"), args).start(&dir.join("kube-proxy.log"))
}
