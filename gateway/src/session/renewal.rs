//! The renewal of a token while its stream is open.

use std::sync::Arc;

use datastream_protocol::close::CloseCause;
use tokio_util::task::AbortOnDropHandle;

use crate::access::{Access, Jwt, Refusal};
use crate::fanout::SendQueue;

/// Checks a token beside the stream, which may take as long as its issuer needs to answer. A good one takes the place of the one
/// before it; a bad one closes the stream, for the client believes that it goes on.
pub(super) fn renew(access: Arc<Access>, queue: Arc<SendQueue>, jwt: Jwt) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let (principal, route) = (queue.principal(), queue.route());
        match access.renew(&principal, &route, &jwt).await {
            Ok(renewed) => {
                queue.set_principal(renewed);
                // The route may have changed meanwhile, and been decided on with the token before.
                match access.reauthorize(&queue.route(), &queue.principal()) {
                    Ok(None) => (),
                    Ok(Some(route)) => queue.set_route(route),
                    Err(cause) => queue.close(cause),
                }
            }
            // The token before it is still good for as long as it is.
            Err(Refusal::Unavailable(reason)) => {
                tracing::warn!(stream = %route.id, reason, "cannot check a new token");
            }
            Err(refusal) => {
                tracing::debug!(stream = %route.id, %refusal, "a new token is refused");
                queue.close(CloseCause::RenewalRefused);
            }
        }
    }))
}
