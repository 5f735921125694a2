//! containerd with runc and the bridge plugin, all from Debian.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::run;
use crate::process::{Launch, Server};

const READY_WITHIN: Duration = Duration::from_secs(30);
/// The image of the process that holds a pod's namespaces: see `e2e/cluster/images`.
const PAUSE: &str = "localhost/pause:1";
const PODS: &str = "10.244.0.0/24";

/// A running containerd.
pub(super) struct ContainerRuntime {
    _server: Server,
    socket: PathBuf,
}

impl ContainerRuntime {
    /// Starts it, with everything that it keeps in `dir`.
    pub(super) fn start(dir: &Path) -> anyhow::Result<Self> {
        let socket = dir.join("containerd.sock");
        let networks = dir.join("cni");
        std::fs::create_dir_all(&networks)?;
        std::fs::write(networks.join("10-bridge.conflist"), network(dir))?;
        let config = dir.join("containerd.toml");
        std::fs::write(&config, settings(dir, &socket))?;
        let args = ["--config".to_owned(), config.display().to_string()];
        let server = Launch::new("containerd", args).start(&dir.join("containerd.log"))?;
        let this = Self {
            _server: server,
            socket,
        };
        let deadline = Instant::now() + READY_WITHIN;
        while let Err(error) = this.ctr(&["version"]) {
            anyhow::ensure!(Instant::now() < deadline, "containerd is not up: {error:#}");
        }
        Ok(this)
    }

    /// Returns the socket at which the kubelet finds it.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Takes an image from an OCI archive.
    pub(super) fn import(&self, archive: &Path) -> anyhow::Result<()> {
        let archive = archive.display().to_string();
        self.ctr(&["-n", "k8s.io", "images", "import", &archive])
    }

    fn ctr(&self, args: &[&str]) -> anyhow::Result<()> {
        let socket = self.socket.display().to_string();
        run("ctr", &[&["--address", &socket], args].concat())
    }
}

fn settings(dir: &Path, socket: &Path) -> String {
    let (dir, socket) = (dir.display(), socket.display());
    format!(
        r#"version = 2
root = "{dir}/containerd"
state = "{dir}/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{dir}/cni"
"#
    )
}

fn network(dir: &Path) -> String {
    serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
                "ipam": {
                    "type": "host-local", "dataDir": dir.join("addresses"),
                    "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
    .to_string()
}
