//! `datastream tail`: follows streams on a terminal.

mod line;
mod render;
mod stream;

use std::io::{self, BufWriter, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use render::Output;
use render::{Renderer, Style};
use stream::{Follow, Report};

use crate::args::secret;
use crate::client::{self, Target};

/// What `datastream tail` can be told.
#[derive(Clone, Debug, Args)]
pub struct TailArgs {
    /// The streams, each perhaps with a label in front.
    // Kept secret until they are parsed: the argument parser would show a wrong one, key and all.
    #[arg(required = true, value_name = "[LABEL=]URL", value_parser = secret)]
    pub streams: Vec<SecretString>,
    /// How events look on stdout.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// End after this many events of all streams together.
    #[arg(long)]
    pub count: Option<u64>,
    /// Replay stored events from this sequence number on (unset: only new events).
    #[arg(long, value_parser = decimal, value_name = "SEQ")]
    pub seq_start: Option<String>,
    /// Silence after which a connection counts as dead (unset: three times the interval of its heartbeats).
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub silence: Option<u64>,
}

fn decimal(text: &str) -> Result<String, String> {
    client::after(text).map_or_else(
        || Err("a sequence number has decimal digits only".to_owned()),
        |_| Ok(text.to_owned()),
    )
}

/// How many reports wait for the terminal before the sockets wait.
const QUEUE: usize = 1024;

/// Follows the streams until they have ended, `count` events have come, or `stop` is cancelled. Fails if every
/// stream was refused.
///
/// # Errors
/// A URL that is none; stdout or stderr that cannot be written.
pub async fn run(args: TailArgs, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let targets = (1..)
        .zip(&args.streams)
        .map(|(number, text)| {
            let target = text.expose_secret().parse::<Target>();
            target.with_context(|| format!("stream {number} of the command line"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (sender, mut reports) = mpsc::channel(QUEUE);
    let follow = Follow {
        silence: args.silence.map(Duration::from_secs),
        first_delay: Duration::from_millis(500),
        longest_delay: Duration::from_secs(30),
    };
    let mut streams = JoinSet::new();
    let style = Style {
        output: args.output,
        colours: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        status_line: io::stdout().is_terminal() && io::stderr().is_terminal(),
        labels: targets.iter().map(Target::label).collect(),
    };
    for (number, mut target) in targets.into_iter().enumerate() {
        if let Some(seq) = &args.seq_start {
            target.set("seq_start", seq);
        }
        streams.spawn(follow.run(number, target, sender.clone()));
    }
    drop(sender);

    let mut renderer = Renderer::new(BufWriter::new(io::stdout()), io::stderr(), style);
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(Some((stream, report))) = stop.run_until_cancelled(reports.recv()).await else {
            break;
        };
        if matches!(report, Report::Event(_)) {
            left -= 1;
        }
        match renderer.show(stream, &report) {
            // The reader of a pipe has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(ExitCode::SUCCESS);
            }
            shown => shown?,
        }
        if reports.is_empty() {
            renderer.flush()?;
        }
    }
    drop(reports);
    while streams.join_next().await.is_some() {}
    renderer.summary()?;
    let refused = renderer.counters.iter().all(|c| c.refused);
    Ok(if refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
