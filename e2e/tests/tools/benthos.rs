//! Benthos, the core of Redpanda Connect, whose `http_client` acknowledges a batch with the request for the next one.

use crate::committed;
use crate::programs::{example, installed};
use crate::reader::{Reader, events_at, key, resumes_over_restarts};

#[tokio::test]
async fn benthos_reads_a_stream_over_restarts() {
    let mut server = committed::start().await;
    let url = format!("STREAM_URL={}", events_at(server.port));
    let benthos = installed("benthos").await;
    let words = ["env", &url, &benthos, "run", &example("benthos.yaml")];
    let reader = Reader::start(&key(&server), &words);
    // The position of a subscription that has none yet is that of the next event.
    server.is_connected().await;
    resumes_over_restarts(&mut server, &reader).await;
}
