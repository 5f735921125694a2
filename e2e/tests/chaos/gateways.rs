//! Gateway processes and what is done to them.

use std::path::Path;
use std::sync::Arc;

use datastream_e2e::{Launch, Program, own_program};

use crate::clock::Clock;
use crate::door::Door;
use crate::process::Process;

/// A gateway, and its door for clients.
pub(crate) struct Gateway {
    pub process: Process,
    pub door: Arc<Door>,
    clock: Option<Clock>,
}

/// What can be done to a gateway.
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

/// The arguments that every gateway of a run has.
pub(crate) fn args(fluvio: &str, topic: &str, more: &[String]) -> Vec<String> {
    let mut args = vec![
        "--listen=127.0.0.1:0".to_owned(),
        "--admin=127.0.0.1:0".to_owned(),
        format!("--fluvio={fluvio}"),
        format!("--topic={topic}"),
        "--drain-seconds=2".to_owned(),
        // So small that whoever is behind for some seconds has to read the topic.
        "--ring-mib=1".to_owned(),
    ];
    args.extend_from_slice(more);
    args
}

impl Gateway {
    /// A gateway that does not run yet.
    pub(crate) fn new(name: &str, args: Vec<String>, dir: &Path) -> anyhow::Result<Self> {
        let launch = Launch::new(own_program("datastream-gateway")?, args);
        Self::of(name, launch, dir)
    }

    /// The same, started in a way of the caller's own.
    pub(crate) fn of(name: &str, launch: Launch, dir: &Path) -> anyhow::Result<Self> {
        let (clock, launch) = Clock::new(dir.join(format!("{name}.clock")), launch)?;
        Ok(Self {
            process: Process::new(name, launch, dir),
            door: Arc::default(),
            clock,
        })
    }

    pub(crate) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        self.door.disturb();
        let address = self.process.start()?.address("stream")?;
        self.door.open(address);
        Ok(())
    }

    pub(crate) fn apply(&mut self, fault: GatewayFault, begins: bool) -> anyhow::Result<()> {
        self.door.disturb();
        match (fault, begins) {
            (GatewayFault::Kill, true) => self.process.kill(),
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

    /// How many streams it says it has.
    pub(crate) fn streams(&self) -> anyhow::Result<f64> {
        let streams = |program: &Program| program.metric("admin", "datastream_gateway_streams{");
        self.process.program().map_or(Ok(0.0), streams)
    }
}
