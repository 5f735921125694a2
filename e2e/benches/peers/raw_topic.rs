//! The floor of what has a broker before it: a raw loop that reads the topic.

use std::io::{PipeWriter, Write as _, pipe};
use std::thread;

use datastream_source::EventSource as _;
use datastream_source::fluvio::FluvioSource;
use futures_util::StreamExt as _;
use memchr::memmem;

use crate::feed::OWN;
use crate::raw;

/// Bytes that one answer of the broker may hold.
const ANSWER: u32 = 1 << 20;

/// Passes every event of a topic with one partition on to the clients, as [`raw::serve`] does with lines.
pub(crate) fn serve(broker: &str, topic: &str) {
    let (input, way) = pipe().unwrap();
    let source = FluvioSource::new(broker.to_owned(), topic);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(read(source, way));
    });
    raw::serve_from(input.into());
}

async fn read(source: FluvioSource, mut way: PipeWriter) {
    let mut records = source.tail(0, 0, ANSWER).await.unwrap();
    let mut lines = vec![];
    while let Some(read) = records.next().await {
        for record in read.unwrap() {
            if let Some(client) = client(&record.value) {
                lines.extend_from_slice(client);
                lines.push(b' ');
            }
            lines.extend_from_slice(&record.value);
            lines.push(b'\n');
        }
        way.write_all(&lines).unwrap();
        lines.clear();
    }
}

/// The name of the only client that an event is for.
fn client(event: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = br#""dsn":""#;
    let dsn = &event[memmem::find(event, KEY)? + KEY.len()..];
    let dsn = &dsn[..memchr::memchr(b'"', dsn)?];
    dsn.starts_with(OWN.as_bytes()).then_some(dsn)
}
