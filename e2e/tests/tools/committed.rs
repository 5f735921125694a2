//! A subscription that remembers where its stream is, for programs that ask for the same URL each time.

use crate::server::Server;

const MANIFEST: &str = "apiVersion: datastream.dev/v1alpha1
kind: DatastreamSubscription
metadata:
  name: committed
spec:
  eventTypes: [datapoint]
  resume: Committed
  heartbeat:
    intervalSeconds: 5
";

/// Starts a server with that subscription.
pub(crate) async fn start() -> Server {
    Server::of(MANIFEST, &[]).await
}
