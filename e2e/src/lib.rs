//! A real Kubernetes control plane for tests: etcd and kube-apiserver on loopback, with RBAC, built by
//! `e2e/cluster/build.sh`; or the cluster that `KUBECONFIG` names. A [`node`] beside it that runs pods. A [`Database`]. And the
//! project's programs as processes.

mod built;
mod checkout;
mod control_plane;
mod database;
mod helm;
mod memory_cgroup;
pub mod node;
mod pki;
pub mod ports;
mod process;
mod program;
mod servers;

pub use built::built;
pub use checkout::{chart, checkout};
pub use control_plane::{ControlPlane, Output};
pub use database::Database;
pub use helm::Helm;
pub use memory_cgroup::MemoryCgroup;
pub use process::{Launch, Server, own_program};
pub use program::{Program, get, request};
