//! The command line.

use clap::{Args, Parser, Subcommand};
use datastream_collector::CollectArgs;
use datastream_source::fluvio::{ClusterArgs, FluvioTarget};

use crate::access::AccessArgs;
use crate::check::CheckArgs;
use crate::completions::CompletionsArgs;
use crate::dev::DevArgs;
use crate::logging::LogFormat;
use crate::man::ManArgs;
use crate::publish::PublishArgs;
use crate::simulate::SimulateArgs;
use crate::size::SizeArgs;
use crate::tail::TailArgs;

/// Filtered event streams of a device fleet, over `WebSockets` and HTTP.
#[derive(Debug, Parser)]
#[command(
    name = "datastream",
    version,
    about = "Filtered event streams of a device fleet, over WebSockets and HTTP"
)]
pub struct Cli {
    /// The format of log lines on stderr [default: text].
    #[arg(long, global = true, value_enum, env = "DATASTREAM_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `datastream`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in one process, on a folder of manifests and an embedded broker.
    Dev(DevArgs),
    /// Produce the events of a plausible fleet of devices into a Fluvio topic.
    Simulate(SimulateArgs),
    /// Send the events of files or of standard input to a Fluvio topic as they come.
    Publish(PublishArgs),
    /// Follow one or more streams and print their events.
    Tail(TailArgs),
    /// Ask once whether a gateway serves, and whether a stream key is good: one line, and the exit code.
    Check(CheckArgs),
    /// Store the events of many streams, each exactly once: as JSON lines, in SQLite or in PostgreSQL.
    Collect(CollectArgs),
    /// Access rules: which events the subscriptions of which namespaces may ask for.
    Access(AccessArgs),
    /// Say how many gateway pods a load needs, and what each of them needs: an estimate from what was measured.
    Size(SizeArgs),
    /// Print what a shell needs to complete this command line.
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands into a folder.
    Man(ManArgs),
}

impl Command {
    /// The log filter of this command unless `RUST_LOG` says otherwise. The Fluvio client reports every lost
    /// connection as an error, even those that are closed on purpose; the commands say themselves what failed.
    pub const fn default_log_filter(&self) -> &'static str {
        match self {
            Self::Dev(_) => "warn,h2=error,fluvio=off",
            Self::Simulate(_) | Self::Publish(_) => "info,fluvio=off",
            Self::Tail(_)
            | Self::Check(_)
            | Self::Access(_)
            | Self::Size(_)
            | Self::Completions(_)
            | Self::Man(_) => "warn",
            Self::Collect(_) => datastream_collector::LOG_FILTER,
        }
    }
}

/// A topic of a Fluvio cluster.
#[derive(Clone, Debug, Args)]
pub struct FluvioArgs {
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The topic that carries the device events.
    #[arg(long, env = "DATASTREAM_TOPIC", default_value = "device-events")]
    pub topic: String,
}

impl FluvioArgs {
    /// The topic that these arguments mean.
    ///
    /// # Errors
    /// No cluster is named, or a file of it cannot be used.
    pub fn target(&self) -> anyhow::Result<FluvioTarget> {
        Ok(FluvioTarget::new(self.cluster.required()?, &self.topic))
    }
}
