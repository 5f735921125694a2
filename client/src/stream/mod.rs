//! A stream of events that goes on over lost connections.

mod acknowledgement;
mod builder;
mod error;
mod event;
mod follow;
mod handover;
mod seen;
mod update;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;

pub use acknowledgement::Acknowledge;
pub use builder::{EventStreamBuilder, OnGap};
pub use error::Error;
pub use event::{Event, NoEvent};
pub use update::Update;

use follow::Follow;
use handover::Handover;

/// A stream of events. It connects when the first event is asked for, connects again by itself, and resumes after the last event that
/// has been handled: an event counts as handled when the next one is asked for. No event comes twice, and a gap is never silent.
///
/// It does its work while an event is asked for, in the task that asks, and starts none of its own. Several streams are several
/// values; as a [`Stream`], they can be merged, for example by `futures_util::stream::select_all`.
///
/// # Cancel safety
///
/// Nothing is lost when the future of [`next`](Self::next) or [`next_update`](Self::next_update) is dropped, as `tokio::select!` does.
/// Dropping the stream drops its connection; [`close`](Self::close) takes leave of the server.
///
/// ```no_run
/// use datastream_client::EventStream;
///
/// # async fn run() -> Result<(), datastream_client::Error> {
/// let mut stream = EventStream::builder("wss://streams.example.com/stream?stream_key=KEY").open()?;
/// while let Some(event) = stream.next().await {
///     println!("{}", event?.json());
/// }
/// # Ok(())
/// # }
/// ```
pub struct EventStream {
    /// The loop that fills the hand-over; `None` when the stream is over.
    run: Option<Run>,
    handover: Handover,
}

type Run = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl EventStream {
    /// Begins to describe the stream at this URL, `wss://HOST/stream?stream_key=KEY`; `https` is the same, and the key may be given
    /// separately.
    pub fn builder(url: &str) -> EventStreamBuilder {
        EventStreamBuilder::new(url)
    }

    fn new(follow: Follow) -> Self {
        let handover = follow.handover.clone();
        Self {
            run: Some(Box::pin(follow.run())),
            handover,
        }
    }

    /// The next event. The one before it counts as handled from now on. `None` at the end that was asked for, and after an error.
    ///
    /// # Errors
    /// The stream has failed for good, or events have expired ([`Error::Gap`]), after which it goes on if it is asked again.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The next thing that happens: also markers, heartbeats and reconnects. What came before it counts as handled from now on.
    /// `None` at the end that was asked for, and after an error.
    ///
    /// ```no_run
    /// use datastream_client::{EventStream, OnGap, Update};
    ///
    /// # async fn run() -> Result<(), datastream_client::Error> {
    /// let stream = EventStream::builder("wss://streams.example.com/stream?stream_key=KEY");
    /// let mut stream = stream.seq_start("2").on_gap(OnGap::Earliest).open()?;
    /// while let Some(update) = stream.next_update().await {
    ///     match update? {
    ///         Update::Event(event) => println!("{}", event.json()),
    ///         Update::Gap { seq_start } => eprintln!("events before {seq_start} have expired"),
    ///         Update::Live { .. } => eprintln!("everything stored has come"),
    ///         Update::Reconnecting { failure, delay } => eprintln!("{failure}; again in {delay:.1?}"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The stream has failed for good.
    pub async fn next_update(&mut self) -> Option<Result<Update, Error>> {
        poll_fn(|cx| self.poll_update(cx)).await
    }

    /// The number to start with, as [`seq_start`](EventStreamBuilder::seq_start), to get everything that has not been handled. `None`
    /// until it is known, which it is after the first event or marker, or from the start if the stream was given a number.
    pub fn position(&self) -> Option<String> {
        self.handover.position()
    }

    /// Acknowledges this event of this stream and all before it, with [`Acknowledge::Explicitly`]. The server is told by the answer to
    /// the next heartbeat behind it, when the next event is asked for.
    pub fn acknowledge(&self, event: &Event) {
        self.handover.acknowledge(event);
    }

    /// Closes the stream and takes leave of the server, which takes at most half a second. The last event counts as not handled.
    pub async fn close(mut self) {
        self.handover.close();
        if let Some(run) = &mut self.run {
            // It fails no more.
            let _ = run.await;
        }
    }

    fn poll_update(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Update, Error>>> {
        let Some(run) = &mut self.run else {
            return Poll::Ready(None);
        };
        match run.as_mut().poll(cx) {
            Poll::Pending => match self.handover.take() {
                Some(update) => Poll::Ready(Some(Ok(update))),
                None => Poll::Pending,
            },
            Poll::Ready(result) => {
                self.run = None;
                Poll::Ready(result.err().map(Err))
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        loop {
            return Poll::Ready(match ready!(self.poll_update(cx)) {
                None => None,
                Some(Err(error)) => Some(Err(error)),
                Some(Ok(Update::Event(event))) => Some(Ok(event)),
                Some(Ok(Update::Gap { seq_start })) => Some(Err(Error::Gap { seq_start })),
                Some(Ok(_)) => continue,
            });
        }
    }
}

impl Stream for EventStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("position", &self.position())
            .field("is_over", &self.run.is_none())
            .finish_non_exhaustive()
    }
}
