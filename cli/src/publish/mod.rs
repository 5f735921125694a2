//! `datastream publish`: events from files or standard input, into any Fluvio.

mod input;
mod lines;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use datastream_service::stdout;
use datastream_source::fluvio::FluvioTarget;
use datastream_source::fluvio::producer::{Producer, Record};
use input::Chunk;
use lines::{Line, Lines};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::FluvioArgs;
use crate::event_line::{self, Check, MAX_LINE};

/// Bytes that a line may have beside an event of the largest size: white space around it.
const MARGIN: usize = 4 << 10;
/// Most chunks of what was read that become one batch.
const BATCH: usize = 16;

const EXAMPLES: &str = "An event is one line:
  {\"metadata\":{\"event_type\":\"datapoint\",\"dsn\":\"AC1\",\"property_name\":\"p\"},\"datapoint\":{\"value\":1}}

Examples:
  datastream publish --fluvio 127.0.0.1:9003 events.jsonl
  my-producer | datastream publish --fluvio 127.0.0.1:9003 --topic device-events";

/// Options of `datastream publish`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PublishArgs {
    /// The topic that the events go to.
    #[command(flatten)]
    pub fluvio: FluvioArgs,
    /// Files of JSON lines, an event each; - or none: standard input.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Send every line as it is, also what gateways skip: no JSON, an unknown event type, nesting deeper than 32 levels.
    #[arg(long)]
    pub force: bool,
}

/// Publishes every event until the inputs end or `stop` is cancelled: what has been read by then is sent. Fails at the
/// end if a line was no event, if an input could not be read to its end, or if there was no event at all.
///
/// # Errors
/// A file that cannot be opened, or a Fluvio that does not take the events, with how many are stored for certain.
pub async fn run(args: PublishArgs, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let target = args.fluvio.target()?;
    let (names, chunks) = input::read(input::open(&args.files)?);
    let publisher = Publisher {
        producer: Producer::new(target.clone()),
        names: names.into(),
        lines: Lines::new(MAX_LINE + MARGIN),
        check: if args.force {
            Check::Off
        } else {
            Check::AsGateways
        },
        unreadable: false,
        sent: 0,
        refused: 0,
    };
    publisher.run(&target, chunks, stop).await
}

struct Publisher {
    producer: Producer,
    /// The inputs that have not ended; the first is the one that is read.
    names: VecDeque<String>,
    lines: Lines,
    check: Check,
    /// The rest of the input that is read is not in UTF-8, which was said.
    unreadable: bool,
    sent: usize,
    /// Lines that are no events, and inputs that broke off.
    refused: usize,
}

impl Publisher {
    async fn run(
        mut self,
        target: &FluvioTarget,
        mut chunks: mpsc::Receiver<Chunk>,
        stop: CancellationToken,
    ) -> anyhow::Result<ExitCode> {
        let mut batch = Vec::with_capacity(BATCH);
        // What comes slowly is sent at once; what piles up while Fluvio stores the last batch becomes the next.
        while let Some(1..) = stop
            .run_until_cancelled(chunks.recv_many(&mut batch, BATCH))
            .await
        {
            let mut records = Vec::new();
            for chunk in batch.drain(..) {
                self.take(chunk, &mut records);
            }
            self.send(&records).await?;
        }
        let stopped = !self.names.is_empty();
        if self.sent + self.refused == 0 && !stopped {
            anyhow::bail!("there was no event to publish: give one JSON object per line");
        }
        self.report(target, stopped)?;
        Ok(if self.refused == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn take(&mut self, chunk: Chunk, records: &mut Vec<Record>) {
        match chunk {
            Chunk::Bytes(bytes) => {
                for line in self.lines.read(&bytes) {
                    records.extend(self.check(&line));
                }
            }
            Chunk::End(result) => {
                let lines = std::mem::replace(&mut self.lines, Lines::new(MAX_LINE + MARGIN));
                if let Err(error) = result {
                    // What has come of the last line is not known to be all of it.
                    self.refused += 1;
                    tracing::error!("{}: cannot read on: {error}", self.name());
                } else if let Some(line) = lines.end() {
                    records.extend(self.check(&line));
                }
                self.unreadable = false;
                self.names.pop_front();
            }
        }
    }

    /// The record of a line; a line that is none is reported.
    fn check(&mut self, line: &Line) -> Option<Record> {
        if self.unreadable {
            return None;
        }
        let checked = match &line.text {
            Ok(text) => {
                self.unreadable =
                    self.check != Check::Off && line.number == 1 && event_line::is_utf16(text);
                event_line::record(text, self.check)
            }
            Err(bytes) => Err(event_line::too_large(*bytes)),
        };
        checked.unwrap_or_else(|reason| {
            self.refused += 1;
            tracing::error!("{}, line {}: {reason}", self.name(), line.number);
            None
        })
    }

    fn name(&self) -> &str {
        self.names.front().map_or("", String::as_str)
    }

    async fn send(&mut self, records: &[Record]) -> anyhow::Result<()> {
        if let Err(error) = self.producer.send_twice(records).await {
            let stored = self.sent + error.confirmed;
            anyhow::bail!("{error}; {stored} events are stored for certain");
        }
        self.sent += records.len();
        Ok(())
    }

    /// Writes one line to standard output.
    fn report(&self, target: &FluvioTarget, stopped: bool) -> anyhow::Result<()> {
        let FluvioTarget { cluster, topic } = target;
        let address = cluster.address();
        let stopped = if stopped { ", stopped" } else { "" };
        let events = if self.sent == 1 { "event" } else { "events" };
        let refused = match self.refused {
            0 => String::new(),
            refused => format!(", {refused} refused"),
        };
        let sent = self.sent;
        stdout::write(
            format!(
                "{sent} {events} sent to topic {topic} of Fluvio at {address}{refused}{stopped}\n"
            )
            .as_bytes(),
        )
    }
}
