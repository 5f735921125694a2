//! Gateway processes and what is done to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datastream_e2e::{Launch, Program, own_program};
use datastream_gateway::Settings;
use datastream_source::fluvio::FluvioTarget;

use crate::certificates::Certificates;
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::network::{Network, Node, Side};
use crate::process::Process;
use crate::records::LARGEST_FRAME_KIB;

const MAX_STREAMS: usize = 150;
const SEND_MEMORY_MIB: usize = 4;
const OPEN_FILES: usize = 512;

/// A gateway, and its endpoint for clients.
pub(crate) struct Gateway {
    pub process: Process,
    pub endpoint: Arc<Endpoint>,
    pub node: Node,
    clock: Option<Clock>,
}

/// A fault of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GatewayFault {
    /// SIGKILL, and a new one at the end.
    Kill,
    /// SIGTERM, and a new one at the end.
    Terminate,
    /// SIGSTOP, and SIGCONT at the end.
    Pause,
    /// Its clock is set ahead (or back) by this many seconds, and right at the end.
    Clock(i64),
}

/// The arguments that every gateway of a run has. `listen` is HOST:0.
fn args(listen: &str, fluvio: &str, topic: &str) -> Vec<String> {
    vec![
        format!("--listen={listen}"),
        format!("--admin={listen}"),
        format!("--fluvio={fluvio}"),
        format!("--topic={topic}"),
        "--drain-seconds=2".to_owned(),
        // So small that whoever is behind for some seconds has to read the topic.
        "--ring-mib=1".to_owned(),
        // So few that attacks reach the limits.
        format!("--max-streams={MAX_STREAMS}"),
        format!("--send-memory-mib={SEND_MEMORY_MIB}"),
        format!("--max-frame-kib={LARGEST_FRAME_KIB}"),
    ]
}

impl Gateway {
    /// A gateway on a node that does not run yet. `more` are arguments and environment of its own.
    pub(crate) fn new(
        name: &str,
        (network, node): (Network, Node),
        FluvioTarget { cluster, topic }: &FluvioTarget,
        (more, env): (&[String], &[(&str, PathBuf)]),
        tls: Option<&Certificates>,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let fluvio = cluster.address();
        let mut args = args(&network.any_port(node, Side::Main), fluvio, topic);
        args.extend_from_slice(more);
        args.extend(tls.iter().flat_map(|certificates| certificates.of_server()));
        let connector = tls.map(Certificates::connector).transpose()?;
        let mut launch = Launch::new(own_program("datastream-gateway")?, args);
        for (name, value) in env {
            launch = launch.env(*name, value);
        }
        let limited = [
            "prlimit".to_owned(),
            format!("--nofile={OPEN_FILES}:{OPEN_FILES}"),
        ];
        let launch = launch.within(network.within(node).into_iter().chain(limited).collect());
        let (clock, launch) = Clock::new(dir.join(format!("{name}.clock")), launch)?;
        Ok(Self {
            process: Process::new(name, launch, dir),
            endpoint: Arc::new(Endpoint::new(connector)),
            node,
            clock,
        })
    }

    pub(crate) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        self.kill();
        let address = self.process.start()?.address("stream")?;
        self.endpoint.open(address);
        Ok(())
    }

    fn kill(&mut self) {
        // Whoever comes before it has ended would be cut off without a disturbance.
        let address = self.endpoint.close();
        self.endpoint.disturb();
        self.process.kill();
        if let Some(address) = address {
            self.endpoint.open(&address);
        }
    }

    pub(crate) fn apply(&mut self, fault: GatewayFault, begins: bool) -> anyhow::Result<()> {
        self.endpoint.disturb();
        match (fault, begins) {
            (GatewayFault::Kill, true) => self.kill(),
            (GatewayFault::Terminate, true) => self.process.terminate(),
            (GatewayFault::Kill | GatewayFault::Terminate, false) => self.start()?,
            (GatewayFault::Pause, on) => self.process.pause(on),
            (GatewayFault::Clock(seconds), on) => {
                if let Some(clock) = &self.clock {
                    clock.step(if on { seconds } else { 0 })?;
                }
            }
        }
        Ok(())
    }

    /// Its memory, if it has ever had more than it should.
    pub(crate) fn excess(&self) -> Option<String> {
        let settings = Settings {
            ring_bytes: 1 << 20,
            max_streams: MAX_STREAMS,
            largest_frame: LARGEST_FRAME_KIB << 10,
            send_memory: SEND_MEMORY_MIB << 20,
            ..Settings::default()
        };
        let (bound, peak) = (settings.memory().bound(), self.process.peak_memory()?);
        let name = &self.process.name;
        (peak > bound)
            .then(|| format!("{name} had {peak} bytes of memory, more than its bound of {bound}"))
    }

    /// Returns the number of streams that it says it has.
    pub(crate) fn streams(&self) -> anyhow::Result<f64> {
        let streams = |program: &Program| program.metric("admin", "datastream_gateway_streams{");
        self.process.program().map_or(Ok(0.0), streams)
    }
}
