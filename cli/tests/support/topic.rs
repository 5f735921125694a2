//! Content of the topic of a test's broker.

use fluvio::consumer::{ConsumerConfigExtBuilder, Record};
use fluvio::{Fluvio, FluvioClusterConfig, Offset};
use futures_util::{Stream, StreamExt as _};

/// The topic of the tests.
pub(crate) const TOPIC: &str = "device-events";

/// The records in the topic's one partition, from its start on.
pub(crate) async fn stored(address: &str) -> impl Stream<Item = Record> + Unpin + use<> {
    let config = FluvioClusterConfig::new(address.to_owned());
    let client = Fluvio::connect_with_config(&config).await.unwrap();
    let config = ConsumerConfigExtBuilder::default()
        .topic(TOPIC)
        .partition(0)
        .offset_start(Offset::beginning())
        .max_bytes(64 << 20)
        .build()
        .unwrap();
    let stream = client.consumer_with_config(config).await.unwrap();
    Box::pin(stream.map(move |record| {
        let _alive = &client;
        record.unwrap()
    }))
}
