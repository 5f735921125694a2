//! The audit log: who opened which stream, by what and from where, how it ended, and who was refused. One JSON object a line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use datastream_protocol::close::CloseCause;
use datastream_routing::SubscriptionId;
use datastream_service::log_limit::LogLimit;
use jiff::Timestamp;
use prometheus::IntCounter;
use serde::Serialize;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::access::{Principal, Refusal, Who};

/// Lines that may wait to be written. Streams do not wait for them: what is more is counted, and said in the next line.
const QUEUE: usize = 8192;
/// Refusals a second that are written, so that whoever has no key cannot fill the disk. The next one has the number of the others.
const REFUSALS: u32 = 50;
/// Time that the last lines may take when the gateway ends.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Target of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// Standard output.
    Stdout,
    /// The end of this file, which is made if it is missing.
    File(PathBuf),
}

/// Event of the audit log.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// A client has a stream.
    StreamOpened {
        stream: String,
        #[serde(flatten)]
        who: Who<'a>,
        address: Option<SocketAddr>,
        /// The `seq_start` that it begins with.
        from: &'a str,
    },
    /// A stream has ended.
    StreamClosed {
        stream: String,
        #[serde(flatten)]
        who: Who<'a>,
        address: Option<SocketAddr>,
        /// The name of its cause, as in metrics.
        cause: &'a str,
        /// Seconds for which it was open.
        seconds: u64,
    },
    /// A client got no stream.
    StreamRefused {
        /// The subscription, where the client has shown that it may know of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<String>,
        #[serde(flatten)]
        who: Option<Who<'a>>,
        address: Option<SocketAddr>,
        status: u16,
        error: &'a str,
        message: String,
        /// Refusals before this one that were not written.
        held_back: u64,
    },
    /// Lines before this one were lost, because they could not be written as fast as they came.
    LinesLost { lines: u64 },
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    event: Event<'a>,
}

enum Message {
    Line(String),
    /// Everything before is to be written.
    Flush(oneshot::Sender<()>),
}

/// The audit log of a gateway; one without a target writes nothing.
#[derive(Debug, Default)]
pub(crate) struct Audit(Option<Log>);

#[derive(Debug)]
struct Log {
    lines: mpsc::Sender<Message>,
    refusals: Mutex<LogLimit>,
    lost: Arc<AtomicU64>,
    counted: IntCounter,
}

/// A stream whose end is noted when this is dropped: that its connection was lost, unless another cause is said before.
pub(crate) struct AuditedStream {
    audit: Arc<Audit>,
    stream: SubscriptionId,
    by: Arc<Principal>,
    at: Option<SocketAddr>,
    since: Instant,
    cause: &'static str,
}

/// Writes the lines.
pub(crate) struct AuditWriter {
    lines: mpsc::Receiver<Message>,
    target: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Audit {
    /// The log to this target, which counts the lines that it loses.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) async fn open(
        target: &AuditTarget,
        lost: IntCounter,
    ) -> anyhow::Result<(Self, AuditWriter)> {
        let target: Box<dyn AsyncWrite + Send + Unpin> = match target {
            AuditTarget::Stdout => Box::new(tokio::io::stdout()),
            AuditTarget::File(path) => {
                let mut options = OpenOptions::new();
                let file = options.create(true).append(true).mode(0o600).open(path);
                Box::new(
                    file.await
                        .with_context(|| format!("--audit-log: {}", path.display()))?,
                )
            }
        };
        let (sender, lines) = mpsc::channel(QUEUE);
        let log = Log {
            lines: sender,
            refusals: Mutex::new(LogLimit::new(REFUSALS, Duration::from_secs(1))),
            lost: Arc::default(),
            counted: lost,
        };
        Ok((Self(Some(log)), AuditWriter { lines, target }))
    }

    /// Notes that a client has a stream. What comes back notes how that ends; nothing does without a log.
    pub(crate) fn opened(
        self: &Arc<Self>,
        stream: &SubscriptionId,
        by: &Arc<Principal>,
        at: Option<SocketAddr>,
        from: &str,
    ) -> Option<Box<AuditedStream>> {
        let log = self.0.as_ref()?;
        log.write(Event::StreamOpened {
            stream: stream.to_string(),
            who: by.who(),
            address: at,
            from,
        });
        Some(Box::new(AuditedStream {
            audit: self.clone(),
            stream: stream.clone(),
            by: by.clone(),
            at,
            since: Instant::now(),
            cause: CloseCause::ConnectionLost.name(),
        }))
    }

    /// Notes that a client got no stream: that of this subscription, if it has shown that it may have it.
    pub(crate) fn refused(
        &self,
        stream: Option<(&SubscriptionId, &Principal)>,
        at: Option<SocketAddr>,
        refusal: &Refusal,
    ) {
        let Some(log) = &self.0 else { return };
        let admitted = {
            let mut limit = log.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            limit.admit(Instant::now())
        };
        let Some(held_back) = admitted else { return };
        log.write(Event::StreamRefused {
            stream: stream.map(|(stream, _)| stream.to_string()),
            who: stream.map(|(_, by)| by.who()),
            address: at,
            status: refusal.status(),
            error: refusal.name(),
            message: refusal.to_string(),
            held_back,
        });
    }

    /// Waits until everything is written, for a while.
    pub(crate) async fn finish(&self) {
        let Some(log) = &self.0 else { return };
        let (done, written) = oneshot::channel();
        let flushed = async {
            if log.lines.send(Message::Flush(done)).await.is_ok() {
                let _ = written.await;
            }
        };
        if timeout(FINISH_TIMEOUT, flushed).await.is_err() {
            tracing::warn!("the last lines of the audit log could not be written");
        }
    }
}

impl AuditedStream {
    /// Notes the cause for which the stream has ended, and who had it then.
    pub(crate) fn closed(mut self, cause: &CloseCause, by: Arc<Principal>) {
        (self.cause, self.by) = (cause.name(), by);
    }
}

impl Drop for AuditedStream {
    fn drop(&mut self) {
        let Some(log) = &self.audit.0 else { return };
        log.write(Event::StreamClosed {
            stream: self.stream.to_string(),
            who: self.by.who(),
            address: self.at,
            cause: self.cause,
            seconds: self.since.elapsed().as_secs(),
        });
    }
}

impl Log {
    fn write(&self, event: Event<'_>) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 && !self.send(Event::LinesLost { lines: lost }) {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        if !self.send(event) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.counted.inc();
        }
    }

    /// Returns whether there is room for it.
    fn send(&self, event: Event<'_>) -> bool {
        let time = Timestamp::now().to_string();
        // Only maps with keys that are no strings cannot be written, and there are none.
        let line = serde_json::to_string(&Line { time, event }).unwrap_or_default();
        self.lines.try_send(Message::Line(line)).is_ok()
    }
}

impl AuditWriter {
    /// Writes until the log is dropped.
    ///
    /// # Errors
    /// The target cannot be written: a gateway that is to keep an audit log serves nobody without.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        while let Some(message) = self.lines.recv().await {
            match message {
                Message::Line(mut line) => {
                    line.push('\n');
                    self.target.write_all(line.as_bytes()).await?;
                    if self.lines.is_empty() {
                        self.target.flush().await?;
                    }
                }
                Message::Flush(done) => {
                    self.target.flush().await?;
                    let _ = done.send(());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use datastream_routing::KeyHash;
    use serde_json::Value;

    use super::*;

    async fn written(note: impl FnOnce(&Arc<Audit>)) -> Vec<Value> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let lost = IntCounter::new("lost", "x").unwrap();
        let target = AuditTarget::File(path.clone());
        let (audit, writer) = Audit::open(&target, lost).await.unwrap();
        let audit = Arc::new(audit);
        note(&audit);
        let writer = tokio::spawn(writer.run());
        audit.finish().await;
        drop(audit);
        writer.await.unwrap().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    fn holder() -> (SubscriptionId, Arc<Principal>) {
        let by = Principal::of_key(KeyHash::of("k"));
        (SubscriptionId::new("team", "leds"), Arc::new(by))
    }

    const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)), 4711);

    #[tokio::test]
    async fn a_stream_is_noted_with_who_and_where_and_how_it_ended() {
        let (id, by) = holder();
        let lines = written(|audit| {
            let stream = audit.opened(&id, &by, Some(ADDRESS), "7").unwrap();
            stream.closed(&CloseCause::Revoked, by.clone());
            drop(audit.opened(&id, &by, Some(ADDRESS), "7"));
        })
        .await;
        let hash = &KeyHash::of("k").to_hex()[..8];
        let events = [
            "stream_opened",
            "stream_closed",
            "stream_opened",
            "stream_closed",
        ];
        assert_eq!(lines.len(), events.len());
        for (line, event) in lines.iter().zip(events) {
            assert_eq!(line["event"], event);
            assert_eq!(line["stream"], "team/leds");
            assert_eq!(
                (&line["credential"], &line["key_sha256"]),
                (&"key".into(), &hash.into())
            );
            assert_eq!(line["address"], "10.0.0.7:4711");
            assert!(line["time"].as_str().unwrap().parse::<Timestamp>().is_ok());
        }
        assert_eq!(lines[0]["from"], "7");
        assert_eq!(
            (&lines[1]["cause"], &lines[1]["seconds"]),
            (&"revoked".into(), &0.into())
        );
        assert_eq!(lines[3]["cause"], "connection_lost");
    }

    #[tokio::test]
    async fn refusals_without_end_are_counted_and_not_all_written() {
        let lines = written(|audit| {
            for _ in 0..=2 * REFUSALS {
                audit.refused(None, Some(ADDRESS), &Refusal::Unauthorized);
            }
        })
        .await;
        assert!((REFUSALS as usize..2 * REFUSALS as usize).contains(&lines.len()));
        assert_eq!(
            (&lines[0]["status"], &lines[0]["error"]),
            (&401.into(), &"unauthorized".into())
        );
    }

    #[tokio::test]
    async fn lines_that_cannot_wait_are_counted_and_said() {
        let lost = IntCounter::new("lost", "x").unwrap();
        let target = AuditTarget::Stdout;
        let (audit, mut writer) = Audit::open(&target, lost.clone()).await.unwrap();
        let (id, by) = holder();
        let audit = Arc::new(audit);
        let open = |from: &str| std::mem::forget(audit.opened(&id, &by, Some(ADDRESS), from));
        for _ in 0..QUEUE + 3 {
            open("7");
        }
        assert_eq!(lost.get(), 3);
        for _ in 0..2 {
            writer.lines.recv().await.unwrap();
        }
        open("8");
        let mut last = vec![];
        while let Ok(Message::Line(line)) = writer.lines.try_recv() {
            last.push(line);
        }
        let said: Value = serde_json::from_str(&last[last.len() - 2]).unwrap();
        assert_eq!(
            (&said["event"], &said["lines"]),
            (&"lines_lost".into(), &3.into())
        );
    }
}
