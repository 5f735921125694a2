//! One stream, from its registration to the goodbye.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use datastream_protocol::close::CloseCause;
use datastream_protocol::position::Position;
use tokio::time::timeout;

use super::batch::Batch;
use super::registry::Registration;
use super::serving::Serving;
use super::shared_transport::SharedTransport;
use super::transport::{FLOOD_WINDOW, Transport};
use crate::access::Access;
use crate::audit::AuditedStream;
use crate::cursor::Acks;
use crate::fanout::CatchUpContext;
use crate::limits::Paces;
use crate::metrics::Metrics;
use crate::settings::LagLimit;

/// Time within which a client must answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One stream.
pub(crate) struct Session<T> {
    pub transport: Arc<SharedTransport<T>>,
    pub registration: Registration,
    /// Notes in the audit log how it ends.
    pub audited: Option<Box<AuditedStream>>,
    /// Decides on what the client shows anew.
    pub access: Arc<Access>,
    pub context: Arc<CatchUpContext>,
    pub metrics: Arc<Metrics>,
    pub end: Option<Position>,
    /// The client is first to be sent a marker that events before the start have expired.
    pub gap_marker: bool,
    /// The client said where to start: until it is live it replays, and does not catch up.
    pub replays: bool,
    pub max_lag: LagLimit,
    /// Rates that hold for the stream, if any do.
    pub paces: Option<Arc<Paces>>,
    /// For a subscription with committed resume, of which there are few.
    pub acks: Option<Box<Acks>>,
    /// The bounds of a stream that is a batch.
    pub batch: Option<Batch>,
    /// The stream is opened only to say why it cannot go on.
    pub refused: Option<CloseCause>,
}

impl<T: Transport + 'static> Session<T> {
    /// Serves the stream to its end.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send {
        // A block that captures the session has it once, an `async fn` as its argument and as its variable, for as long as the
        // stream lives.
        let mut session = self;
        async move {
            let metrics = session.metrics.clone();
            let dialect = session.transport.dialect();
            metrics.opened.with_label_values(&[dialect]).inc();
            let cause = match session.refused.take() {
                Some(cause) => cause,
                None => Serving::new(&mut session, &metrics).run().await,
            };
            if let Some(held_back) = session.registration.log_admits() {
                tracing::info!(stream = %session.registration.id(), cause = cause.name(), held_back, "stream closed");
            }
            if let Some(audited) = session.audited.take() {
                audited.closed(&cause, session.registration.queue().principal());
            }
            metrics.closed.with_label_values(&[cause.name()]).inc();
            if cause == CloseCause::Flooded {
                session.registration.hold_back(FLOOD_WINDOW);
            }
            // The next client need not wait for this one's goodbye.
            drop(session.registration);
            // Only now is there memory for that, and not for as long as the stream lives.
            Box::pin(say_goodbye(session.transport, session.acks, cause)).await;
        }
    }
}

/// Says to the client why its stream ends, if it is there.
async fn say_goodbye<T: Transport>(
    transport: Arc<SharedTransport<T>>,
    acks: Option<Box<Acks>>,
    cause: CloseCause,
) {
    let (Some(mut connection), position) = (transport.take(), transport.position()) else {
        return;
    };
    if cause == CloseCause::ConnectionLost {
        return;
    }
    let goodbye = connection.close(cause.frame(), &position);
    let confirmed = timeout(CLOSE_TIMEOUT, goodbye).await;
    if let (CloseCause::CommittedGap { .. }, Some(mut acks), Ok(true)) = (&cause, acks, confirmed) {
        acks.acknowledge(&position);
    }
}
