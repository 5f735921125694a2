//! Test of the memory that a batch of the topic may take in the gateway. One test: it looks at the memory of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Write;

use common::batch::{batch, with_payload};
use datastream_broker::{Broker, BrokerOptions};
use datastream_source::fluvio::FluvioSource;
use datastream_source::{Damage, EventSource as _, SourceError};
use fluvio::Compression;
use futures_util::StreamExt as _;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// 100 MiB of zeros in a few bytes, never held at once.
fn bomb(compression: Compression) -> Vec<u8> {
    let zeros = vec![0; MIB];
    let fill = |out: &mut dyn Write| (0..100).for_each(|_| out.write_all(&zeros).unwrap());
    let payload = match compression {
        Compression::Gzip => {
            let mut out = flate2::write::GzEncoder::new(vec![], flate2::Compression::new(1));
            fill(&mut out);
            out.finish().unwrap()
        }
        Compression::Snappy => {
            let mut out = snap::write::FrameEncoder::new(vec![]);
            fill(&mut out);
            out.into_inner().unwrap()
        }
        Compression::Lz4 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(vec![]);
            fill(&mut out);
            out.finish().unwrap()
        }
        Compression::Zstd => {
            let mut out = zstd::Encoder::new(vec![], 1).unwrap();
            fill(&mut out);
            out.finish().unwrap()
        }
        Compression::None => panic!("no bomb"),
    };
    with_payload(&payload, compression)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_decompresses_to_100_mib_is_skipped_and_not_held() {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let source = FluvioSource::new(broker.address().to_string(), "t");
    for compression in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let first = broker.append_raw("t", 0, &bomb(compression)).unwrap();
        let good = batch(&["behind".to_owned()], compression, 1);
        broker.append_raw("t", 0, &good).unwrap();
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let mut stream = source.tail(0, first, 1 << 20).await.unwrap();
        match stream.next().await.unwrap() {
            Err(SourceError::Unreadable(place)) => {
                assert_eq!((place.first, place.next), (first, first + 1));
                assert_eq!(place.damage, Damage::TooLarge, "{compression}: {place}");
            }
            other => panic!("{compression}: {other:?}"),
        }
        let records = stream.next().await.unwrap().unwrap();
        assert_eq!(&records[0].value[..], b"behind", "{compression}");
        let held = (MEMORY.peak_usage() - before) / MIB;
        // As it came (at most 5 MiB, with snappy), up to the limit of 32 MiB and half as much again while room is made, and
        // what the codec itself needs (at most 16 MiB, with lz4).
        assert!(held < 80, "{compression}: {held} MiB held");
    }
}
