//! The opening of a stream, whatever it is carried by: who may have it, where it starts, and that nobody else has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_protocol::position::Seq;
use datastream_routing::{Resume, Route};
use tokio::time::{Instant, sleep};

use super::range::{Range, after, resolve};
use super::stream::StreamServer;
use crate::access::{Access, Admission, Purpose, Refusal, StreamRequest};
use crate::audit::AuditedStream;
use crate::cursor::{Acks, CursorKey, CursorsUnavailable};
use crate::fanout::{CatchUpContext, SendQueue};
use crate::limits::Paces;
use crate::metrics::Metrics;
use crate::ownership::ClaimError;
use crate::session::{Batch, Meter, Probed, Registration, Session, SharedTransport, Transport};
use crate::settings::LagLimit;

/// Time that closing a stream may take if its client did not answer.
const CLOSING: Duration = Duration::from_secs(1);

/// A stream that is this client's, and has no transport yet.
pub(super) struct Opening {
    registration: Registration,
    audited: Option<Box<AuditedStream>>,
    range: Range,
    /// The client is first to be sent a marker that events before the start have expired.
    gap_marker: bool,
    /// For a subscription with committed resume.
    acks: Option<Acks>,
    paces: Option<Arc<Paces>>,
    batch: Option<Batch>,
    /// The cause for which it is opened only to say why it cannot go on.
    refused: Option<CloseCause>,
    access: Arc<Access>,
    context: Arc<CatchUpContext>,
    metrics: Arc<Metrics>,
    max_lag: LagLimit,
}

impl Opening {
    /// The range of the stream.
    pub(super) const fn range(&self) -> &Range {
        &self.range
    }

    /// The stream on its transport.
    pub(super) fn session<T: Transport>(self, transport: T) -> Session<T> {
        let transport = SharedTransport::new(
            transport,
            self.range.start,
            Meter::new(self.metrics.clone(), self.paces.clone()),
            self.registration.is_reported(),
            self.acks.is_some(),
        );
        Session {
            transport: Arc::new(transport),
            registration: self.registration,
            audited: self.audited,
            access: self.access,
            context: self.context,
            metrics: self.metrics,
            end: self.range.end,
            gap_marker: self.gap_marker,
            replays: self.range.chosen,
            max_lag: self.max_lag,
            paces: self.paces,
            acks: self.acks.map(Box::new),
            batch: self.batch,
            refused: self.refused,
        }
    }
}

impl StreamServer {
    /// Opens the stream that a client asks for and may have.
    pub(super) async fn open(
        &self,
        wanted: StreamRequest,
        admission: &Admission,
        remote: Option<SocketAddr>,
    ) -> Result<Opening, Refusal> {
        let route = &admission.route;
        let is_committed = route.resume == Resume::Committed;
        if wanted.ack.is_some() && !is_committed {
            return Err(Refusal::wrong(
                "ack is for subscriptions with resume: Committed; elsewhere, start with seq_start",
            ));
        }
        let _permit = self.throttle.acquire(route, Purpose::Stream)?;
        let mut range = resolve(&self.context, &wanted).await?;
        let registration = self.claim(admission, wanted.markers, remote).await?;
        registration.check(&self.config.table());
        // After the claim: no other stream of the subscription moves its cursor any more.
        let acks = if is_committed {
            let mut acks = self.resume(route, &mut range).await?;
            if wanted.ack.is_some() {
                acks.acknowledge(&range.start);
            }
            Some(acks)
        } else {
            None
        };
        // Another gateway asked for it while it was being opened, had no answer in time, and has it now.
        if registration.queue().aborted().is_some() {
            return Err(Refusal::InUse { pod: None });
        }
        let seq_start = Seq::starting_at(&range.start);
        if let Some(held_back) = registration.log_admits() {
            let by = &admission.principal;
            tracing::info!(stream = %registration.id(), %by, from = %seq_start, held_back, "stream opened");
        }
        let principal = &admission.principal;
        let audited = self
            .audit
            .opened(&route.id, principal, remote, seq_start.as_str());
        // A client that gets no marker for the gap, and has not asked for whatever is left, gets a close frame.
        let knows_of_gap = wanted.markers || range.chosen || wanted.on_gap.is_some();
        let refused = (range.gap && !knows_of_gap).then(|| CloseCause::CommittedGap {
            seq_start: seq_start.as_str().into(),
        });
        let address = remote.map(|remote| remote.ip());
        Ok(Opening {
            registration,
            audited,
            gap_marker: range.gap && wanted.markers,
            range,
            acks,
            paces: self.rates.of(&route.id, address),
            batch: Batch::new(wanted.limit, wanted.wait),
            refused,
            access: self.access.clone(),
            context: self.context.clone(),
            metrics: self.metrics.clone(),
            max_lag: self.max_lag,
        })
    }

    /// Registers the stream here, and claims it among all gateways. A client that has it and is gone without a word loses it.
    async fn claim(
        &self,
        admission: &Admission,
        markers: bool,
        remote: Option<SocketAddr>,
    ) -> Result<Registration, Refusal> {
        let route = &admission.route;
        let register = || {
            let dispatcher = &self.context.dispatcher;
            let memory = self.context.memory.clone();
            let queue = || SendQueue::new(admission.clone(), markers, memory);
            let address = remote.map(|remote| remote.ip());
            self.registry
                .register(admission, dispatcher, queue, self.stream_limits, address)
        };
        let mut registered = register();
        if matches!(registered, Err(Refusal::InUse { .. }))
            && self.registry.probe(&route.id).await != Probed::Answers
        {
            // It closes at once, but in a task of its own.
            let since = Instant::now();
            registered = register();
            while matches!(registered, Err(Refusal::InUse { .. })) && since.elapsed() < CLOSING {
                sleep(CLOSING / 100).await;
                registered = register();
            }
        }
        let mut registration = registered?;
        if let Some(claims) = &self.claims {
            let held = claims.claim(&route.id, &route.uid).await;
            registration.keep(held.map_err(taken)?);
        }
        Ok(registration)
    }

    /// Lets a stream that does not say where it starts go on from its committed position. Until something is acknowledged, that is where
    /// the earliest stream started, so that a crash before the first acknowledgement loses nothing.
    async fn resume(&self, route: &Route, range: &mut Range) -> Result<Acks, Refusal> {
        let key = CursorKey::of(route);
        let unavailable = |_: CursorsUnavailable| {
            Refusal::Unavailable("the committed position cannot be read: try again shortly")
        };
        let committed = self.cursors.resume(&key).await.map_err(unavailable)?;
        let acks = Acks::new(self.cursors.clone(), key.clone());
        match committed {
            Some(cursor) if range.chosen && cursor.is_acknowledged => (),
            Some(cursor) if !range.chosen => {
                *range = after(&self.context, cursor.position).await?;
                if range.gap {
                    self.metrics.committed_gaps.inc();
                    // The position moves only when the client has confirmed the gap: a handshake may be lost.
                    return Ok(acks.behind_gap());
                }
            }
            _ => {
                let started = self.cursors.start(&key, &range.start).await;
                started.map_err(unavailable)?;
            }
        }
        Ok(acks)
    }
}

fn taken(taken: ClaimError) -> Refusal {
    match taken {
        ClaimError::Elsewhere { pod } => Refusal::InUse { pod: Some(pod) },
        ClaimError::Unreachable { pod, seconds } => Refusal::HolderUnreachable { pod, seconds },
        ClaimError::Contended => Refusal::busy(
            "streams/subscription",
            "several clients want this stream at once",
        ),
        ClaimError::Unknown => Refusal::Unavailable(
            "this gateway can neither claim the stream nor ask the others, which it does not know yet: try again shortly",
        ),
    }
}
