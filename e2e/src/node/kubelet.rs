//! The kubelet.

use std::path::Path;

use serde_json::json;

use super::{ADDRESS, NAME};
use crate::process::{Launch, Server};

pub(super) fn start(
    programs: &Path,
    dir: &Path,
    kubeconfig: &Path,
    runtime: &Path,
) -> anyhow::Result<Server> {
    let config = dir.join("kubelet.yaml");
    let settings = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": dir.join("ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/",
        // Machines with the older control groups are still about.
        "failCgroupV1": false,
        "failSwapOn": false,
        "containerRuntimeEndpoint": format!("unix://{}", runtime.display()),
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "healthzBindAddress": "127.0.0.1",
        // The disk is the machine's, and other things fill it.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "syncFrequency": "5s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "enforceNodeAllocatable": [],
        "podLogsDir": dir.join("pod-logs"),
        "makeIPTablesUtilChains": false,
    });
    std::fs::write(&config, settings.to_string())?;
    let args = [
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--root-dir={}", dir.join("kubelet").display()),
        format!("--cert-dir={}", dir.join("kubelet-certificates").display()),
        format!("--hostname-override={NAME}"),
        format!("--node-ip={ADDRESS}"),
    ];
    Launch::new(programs.join("kubelet"), args).start(&dir.join("kubelet.log"))
}
