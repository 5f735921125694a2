//! Benthos, the core of Redpanda Connect, whose `http_client` acknowledges a batch with the request for the next one.

use crate::committed::CommittedServer;
use crate::programs::{example, installed};
use crate::reader::{Reader, events_at};

#[tokio::test]
async fn benthos_reads_a_stream_over_restarts() {
    let mut server = CommittedServer::start().await;
    let url = format!("STREAM_URL={}", events_at(server.port));
    let benthos = installed("benthos").await;
    let words = ["env", &url, &benthos, "run", &example("benthos.yaml")];
    let reader = Reader::start(&server.key, &words);
    server.is_followed_over_restarts(&reader).await;
}
