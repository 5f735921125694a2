//! `follow URL [--delay-ms N] [--count N] [--seq-start N]`: prints the JSON of each event on a line of its own, as it came, and then
//! handles it, which takes the delay. Ends after the count, or with the stream. Gaps and reconnects are told on stderr.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use datastream_client::{EventStream, Update};
use tokio::time::sleep;

const USAGE: &str = "usage: follow URL [--delay-ms N] [--count N] [--seq-start N]";

#[derive(Debug, Default)]
struct Arguments {
    url: String,
    delay: Duration,
    count: Option<u64>,
    seq_start: Option<String>,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut found = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} takes a value"));
            match word.as_str() {
                "--delay-ms" => found.delay = Duration::from_millis(value()?.parse()?),
                "--count" => found.count = Some(value()?.parse()?),
                "--seq-start" => found.seq_start = Some(value()?),
                url if found.url.is_empty() && !url.starts_with('-') => {
                    url.clone_into(&mut found.url)
                }
                other => return Err(format!("unexpected {other}").into()),
            }
        }
        if found.url.is_empty() {
            return Err("give one URL".into());
        }
        Ok(found)
    }
}

async fn follow(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut stream = EventStream::builder(&arguments.url);
    if let Some(seq_start) = arguments.seq_start {
        stream = stream.seq_start(seq_start);
    }
    let mut stream = stream.open()?;
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let (mut out, mut notes) = (io::stdout(), io::stderr());
    while left > 0 {
        let Some(update) = stream.next_update().await else {
            return Ok(());
        };
        match update? {
            Update::Event(event) => {
                writeln!(out, "{}", event.json())?;
                out.flush()?;
                sleep(arguments.delay).await;
                left -= 1;
            }
            Update::Gap { seq_start } => {
                writeln!(notes, "gap: events before {seq_start} have expired")?;
            }
            Update::Reconnecting { failure, delay } => {
                writeln!(notes, "reconnecting in {} ms: {failure}", delay.as_millis())?;
            }
            _ => {}
        }
    }
    stream.close().await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let failed = |line: String, code: u8| {
        let _ = writeln!(io::stderr(), "{line}");
        ExitCode::from(code)
    };
    match Arguments::read(std::env::args().skip(1)) {
        Err(error) => failed(format!("{error}\n{USAGE}"), 2),
        Ok(arguments) => match follow(arguments).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(error.to_string(), 1),
        },
    }
}
