//! `datastream check`: asks gateways once whether they serve, and whether a stream key is good. For probes, scripts and `helm test`:
//! the answer is one line and the exit code.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use datastream_client::{Credentials, Failure, inquire};
use datastream_protocol::StreamUrl;
use datastream_service::stdout;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::connect::ConnectArgs;
use crate::secret::secret;

/// The status for a key that no subscription has.
const UNAUTHORIZED: u16 = 401;
/// Pause between two requests.
const PAUSE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "Examples:
  datastream check wss://streams.example.com
  datastream check --wait 30 'ws://127.0.0.1:8080/stream?stream_key=KEY'";

/// Options of `datastream check`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// URL of the stream. With a stream key in it, the key must be good, too; the stream is not opened.
    // Kept secret until it is parsed: the argument parser would show a wrong one, key and all.
    #[arg(value_name = "URL", value_parser = secret)]
    pub url: SecretString,
    /// Place of the key, other credentials, and the authorities that are trusted.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Ask again for so long while nobody answers, or the gateway says that it does not serve yet.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub wait: u64,
}

/// A gateway's answer to the question whether it serves.
enum Answer {
    Good(String),
    /// A later question may be answered otherwise.
    NotNow(String),
    Bad(String),
}

/// Asks, and prints what the answer means. Fails if the gateway does not serve or the key is not good.
///
/// # Errors
/// A URL that is none, or a file of authorities that cannot be used.
pub async fn run(args: CheckArgs, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let mut url = StreamUrl::locate(args.url.expose_secret()).context("the command line")?;
    args.connect.place_key(&mut url);
    let credentials = args.connect.credentials()?;
    let deadline = Instant::now() + Duration::from_secs(args.wait);
    loop {
        let asked = stop.run_until_cancelled(ask(&url, &credentials)).await;
        let (line, code) = match asked {
            Some(Answer::Good(line)) => (line, ExitCode::SUCCESS),
            Some(Answer::NotNow(_)) if Instant::now() < deadline => {
                stop.run_until_cancelled(sleep(PAUSE)).await;
                continue;
            }
            Some(Answer::NotNow(line) | Answer::Bad(line)) => (line, ExitCode::FAILURE),
            None => (
                "stopped before an answer came".to_owned(),
                ExitCode::FAILURE,
            ),
        };
        stdout::write(format!("{url}: {line}\n").as_bytes())?;
        return Ok(code);
    }
}

async fn ask(url: &StreamUrl, credentials: &Credentials) -> Answer {
    match (inquire(url, credentials).await, url.key()) {
        (Ok(()), Some(_)) => Answer::Good("the gateway serves, and the key is good".to_owned()),
        (Ok(()), None) => {
            Answer::Good("the gateway serves, and the token or certificate is good".to_owned())
        }
        // A gateway says so only when it knows every route.
        (Err(Failure::Refused(refusal)), None)
            if refusal.status == UNAUTHORIZED
                && url.subscription().is_none()
                && !credentials.has_token() =>
        {
            Answer::Good("the gateway serves, and wants a key".to_owned())
        }
        (Err(Failure::Refused(refusal)), _) if refusal.passes() => {
            Answer::NotNow(refusal.to_string())
        }
        (Err(Failure::Lost(reason)), _) => Answer::NotNow(reason),
        (Err(failure), _) => Answer::Bad(failure.to_string()),
    }
}
