//! The values of the chart for a plan.

use datastream_gateway::TlsMemory;

use super::load::Load;
use super::plan::Plan;

/// YAML for `values.yaml`.
pub(super) fn values(load: &Load, plan: &Plan) -> String {
    let (request, limit) = (plan.memory_request_mib, plan.memory_limit_mib);
    let (request, limit, auto) = if plan.memory_is_auto {
        let auto = format!("  # {request}Mi, and a limit of {limit}Mi");
        ("auto".to_owned(), "auto".to_owned(), auto)
    } else {
        (format!("{request}Mi"), format!("{limit}Mi"), String::new())
    };
    let tls = match load.tls {
        TlsMemory::Plain => "",
        TlsMemory::Tls => "  tls: {secretName: NAME}\n",
        TlsMemory::ClientCertificates => {
            "  tls: {secretName: NAME, clientAuthority: {secretName: NAME}}\n"
        }
    };
    format!(
        "\
gateway:
  replicas: {pods}
  maxStreams: {max_streams}
{tls}  shedPerSecond: 20
  resources:
    requests: {{cpu: {cpu}m, memory: {request}}}{auto}
    limits: {{memory: {limit}}}
  pod:
    env: [{{name: TOKIO_WORKER_THREADS, value: \"{cores}\"}}]
",
        pods = plan.pods,
        max_streams = plan.max_streams,
        cpu = plan.cpu_request,
        cores = plan.cores_per_pod,
    )
}
