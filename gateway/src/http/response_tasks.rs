//! The tasks in which the responses of HTTP/2 are made and sent, which can be cut off.
//!
//! A response whose client gives it no room is held by its task, and asked for nothing: a body cannot end it.

use std::future::Future;

use hyper::rt::Executor;
use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static CUT: ResponseCut;
}

/// The end of one response: its stream is reset, and what is held of it dropped (RFC 9113, section 8.1.1).
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseCut(CancellationToken);

/// Spawns the tasks of responses.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseTasks;

impl ResponseCut {
    /// That of the response in whose task this is called.
    pub(super) fn current() -> Option<Self> {
        CUT.try_with(Self::clone).ok()
    }

    /// Cuts the response off.
    pub(super) fn cut(&self) {
        self.0.cancel();
    }
}

impl<F> Executor<F> for ResponseTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, response: F) {
        let cut = ResponseCut::default();
        let is_cut = cut.0.clone();
        let response = async move {
            tokio::select! {
                biased;
                // One that is cut off has an end, too, which would wait behind what the client does not take.
                () = is_cut.cancelled() => (),
                () = response => (),
            }
        };
        tokio::spawn(CUT.scope(cut, response));
    }
}
