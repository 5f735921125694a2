//! A real Kubernetes control plane for tests: etcd and kube-apiserver on loopback, with RBAC, built by
//! `e2e/cluster/build.sh`; or the cluster that `KUBECONFIG` names.

mod control_plane;
mod pki;
mod process;

pub use control_plane::{ControlPlane, Output};
pub use process::{Server, own_program};
