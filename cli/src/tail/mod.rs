//! `datastream tail`: follows streams on a terminal.

mod line;
mod only;
mod render;
mod since;
mod stream;
mod target;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use datastream_client::{EventStreamBuilder, Update};
use datastream_service::log;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use datastream_protocol::position::after;
pub use only::Only;
pub use render::Output;
use render::{Renderer, Style};
use stream::{Report, follow};

use self::target::Target;
use crate::connect::ConnectArgs;
use crate::secret::secret;

const EXAMPLES: &str = "Examples:
  datastream tail 'ws://127.0.0.1:8080/stream?stream_key=KEY'
  datastream tail --since 15m --type datapoint --dsn 'AC000W*' leds='wss://streams.example.com/stream?stream_key=KEY'
  datastream tail --seq-start 1 --output json 'ws://127.0.0.1:8080/stream?stream_key=KEY' | head -3";

/// Options of `datastream tail`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TailArgs {
    /// The streams, each perhaps with a label in front.
    // Kept secret until they are parsed: the argument parser would show a wrong one, key and all.
    #[arg(required = true, value_name = "[LABEL=]URL", value_parser = secret)]
    pub streams: Vec<SecretString>,
    /// Place of the keys, and the authorities that are trusted.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Format of events on stdout.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// End after this many events of all streams together.
    #[arg(long)]
    pub count: Option<u64>,
    /// Replay stored events from this sequence number on (unset: only new events).
    #[arg(long, value_parser = decimal, value_name = "SEQ")]
    pub seq_start: Option<String>,
    /// Replay stored events from this time on: an RFC 3339 time, or how long ago, as in 15m, 2h or 1d.
    #[arg(long, value_parser = since_now, value_name = "TIME", conflicts_with = "seq_start", allow_hyphen_values = true)]
    pub since: Option<Timestamp>,
    /// Action when the first of the events that are asked for have expired.
    #[arg(long, value_enum, default_value_t)]
    pub on_gap: OnGap,
    /// The choice of events that are shown.
    #[command(flatten)]
    pub only: Only,
    /// Silence after which a connection counts as dead (unset: three times the interval of its heartbeats).
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=LONGEST_SILENCE))]
    pub silence: Option<u64>,
}

/// The choice when events have expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnGap {
    /// End, with what is left.
    #[default]
    Fail,
    /// Begin with the earliest that is left.
    Earliest,
}

impl From<OnGap> for datastream_client::OnGap {
    fn from(on_gap: OnGap) -> Self {
        match on_gap {
            OnGap::Fail => Self::Fail,
            OnGap::Earliest => Self::Earliest,
        }
    }
}

/// A day, in seconds.
const LONGEST_SILENCE: u64 = 86_400;

fn decimal(text: &str) -> Result<String, String> {
    after(text).map_or_else(
        || Err("a sequence number has decimal digits only".to_owned()),
        |_| Ok(text.to_owned()),
    )
}

fn since_now(text: &str) -> Result<Timestamp, String> {
    since::since(text, Timestamp::now())
}

/// Reports that wait for the terminal before the sockets wait.
const QUEUE: usize = 1024;

/// Follows the streams until they have ended, `count` events have come, or `stop` is cancelled. Fails if every
/// stream was refused or cannot be read.
///
/// # Errors
/// A URL that is none; a file of authorities that cannot be used; stdout or stderr that cannot be written.
pub async fn run(args: TailArgs, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let targets = (1..)
        .zip(&args.streams)
        .map(|(number, text)| {
            let target = text.expose_secret().parse::<Target>();
            let target = target.map_err(anyhow::Error::from).and_then(|mut target| {
                let begins = ["seq_start", "time_start"]
                    .iter()
                    .any(|p| target.url.get(p).is_some());
                anyhow::ensure!(
                    !begins || (args.seq_start.is_none() && args.since.is_none()),
                    "its URL says where to begin, and so does --seq-start or --since: leave one out"
                );
                args.connect.place_key(&mut target.url);
                Ok(target)
            });
            target.with_context(|| format!("stream {number} of the command line"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let credentials = args.connect.credentials()?;
    let (sender, mut reports) = mpsc::channel(QUEUE);
    let mut streams = JoinSet::new();
    let style = Style {
        output: args.output,
        colours: log::colours(&io::stdout()),
        status_line: io::stdout().is_terminal() && io::stderr().is_terminal(),
        labels: targets.iter().map(Target::label).collect(),
    };
    for (number, Target { url, .. }) in targets.into_iter().enumerate() {
        let mut stream = EventStreamBuilder::from(url)
            .credentials(credentials.clone())
            .on_gap(args.on_gap.into())
            .skip_unreadable();
        if let Some(seq) = &args.seq_start {
            stream = stream.seq_start(seq);
        }
        if let Some(since) = args.since {
            stream = stream.time_start(&since.to_string());
        }
        if let Some(seconds) = args.silence {
            stream = stream.silence(Duration::from_secs(seconds));
        }
        let stream = stream.open();
        let stream =
            stream.with_context(|| format!("stream {} of the command line", number + 1))?;
        streams.spawn(follow(stream, number, sender.clone()));
    }
    drop(sender);

    let mut renderer = Renderer::new(BufWriter::new(io::stdout()), io::stderr(), style);
    let shown = show(&mut renderer, &mut reports, &args, &stop).await;
    drop(reports);
    while streams.join_next().await.is_some() {}
    match shown.and_then(|()| renderer.summary()) {
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        result => result.context("cannot write what is shown")?,
    }
    let failed = renderer.counters.iter().all(|c| c.failed);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Shows reports until the streams have ended, as many events as are wanted have come, or `stop` is cancelled.
async fn show<O: Write, N: Write>(
    renderer: &mut Renderer<O, N>,
    reports: &mut mpsc::Receiver<(usize, Report)>,
    args: &TailArgs,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(Some((stream, report))) = stop.run_until_cancelled(reports.recv()).await else {
            break;
        };
        let wanted = match &report {
            Report::Update(Update::Event(event)) => args.only.admits(&event.view()),
            _ => true,
        };
        if wanted {
            left -= u64::from(matches!(report, Report::Update(Update::Event(_))));
            renderer.show(stream, &report)?;
        }
        if reports.is_empty() {
            renderer.flush()?;
        }
    }
    Ok(())
}
