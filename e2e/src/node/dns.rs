//! CoreDNS, which answers the names of services.

use std::path::Path;

use super::ADDRESS;
use crate::process::{Launch, Server};

pub(super) fn start(programs: &Path, dir: &Path, kubeconfig: &Path) -> anyhow::Result<Server> {
    let config = dir.join("Corefile");
    let kubeconfig = kubeconfig.display();
    let settings = format!(
        ".:53 {{
  bind {ADDRESS}
  errors
  kubernetes cluster.local {{
    kubeconfig {kubeconfig}
  }}
}}
"
    );
    std::fs::write(&config, settings)?;
    let args = ["-conf".to_owned(), config.display().to_string()];
    Launch::new(programs.join("coredns"), args).start(&dir.join("coredns.log"))
}
