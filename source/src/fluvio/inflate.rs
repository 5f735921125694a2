//! Decompression that stops at a bound, by the libraries that producers compress with. The client's own has none.

use std::io::{self, Read};

/// Compression of a batch's records, as the batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Codec(pub i16);

/// Codec of batches without compression.
pub(super) const NONE: Codec = Codec(0);
const GZIP: Codec = Codec(1);
const SNAPPY: Codec = Codec(2);
const LZ4: Codec = Codec(3);
const ZSTD: Codec = Codec(4);

/// The window that the fastest levels ask for, however little there is to compress, as a power of two.
const ZSTD_WINDOW: u32 = 20;
/// Part of the error for a frame whose window is longer than allowed.
const ZSTD_MEMORY: &str = "too much memory";

/// The most that one step adds to what is there.
const STEP: usize = 64 << 10;

/// Reason why data was not decompressed.
#[derive(Debug)]
pub(super) enum InflateError {
    /// The data exceeds the limit.
    TooLarge,
    /// The codec is not known.
    UnknownCodec,
    /// The data is not valid for the codec.
    Broken(io::Error),
}

/// Decompresses up to `limit` bytes, and holds no more than that.
pub(super) fn inflate(codec: Codec, data: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    match codec {
        GZIP => read(flate2::read::GzDecoder::new(data), data.len(), limit),
        SNAPPY => read(snap::read::FrameDecoder::new(data), data.len(), limit),
        LZ4 => read(lz4_flex::frame::FrameDecoder::new(data), data.len(), limit),
        ZSTD => {
            // What fits into the limit needs no longer window; the library's own bound is 128 MiB.
            let window = limit.next_power_of_two().ilog2().max(ZSTD_WINDOW);
            let decoder = zstd::stream::read::Decoder::new(data).and_then(|mut decoder| {
                decoder.window_log_max(window)?;
                Ok(decoder)
            });
            read(decoder.map_err(InflateError::Broken)?, data.len(), limit).map_err(|error| {
                match error {
                    // The library has no other way to say it.
                    InflateError::Broken(error) if error.to_string().contains(ZSTD_MEMORY) => {
                        InflateError::TooLarge
                    }
                    error => error,
                }
            })
        }
        _ => Err(InflateError::UnknownCodec),
    }
}

fn read(mut source: impl Read, compressed: usize, limit: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::with_capacity((4 * compressed).clamp(STEP, limit.max(STEP)));
    let mut step = vec![0; STEP];
    loop {
        let read = match source.read(&mut step) {
            Ok(0) => return Ok(out),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(InflateError::Broken(error)),
        };
        let needed = out.len() + read;
        if needed > limit {
            return Err(InflateError::TooLarge);
        }
        if needed > out.capacity() {
            out.reserve_exact((2 * out.len()).clamp(needed, limit) - out.len());
        }
        out.extend_from_slice(&step[..read]);
    }
}

#[cfg(test)]
mod tests {
    use fluvio::Compression;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const CODECS: [(Codec, Compression); 4] = [
        (GZIP, Compression::Gzip),
        (SNAPPY, Compression::Snappy),
        (LZ4, Compression::Lz4),
        (ZSTD, Compression::Zstd),
    ];

    proptest! {
        #[test]
        fn compressed_data_is_decompressed_unchanged(
            word in vec(any::<u8>(), 1..50), times in 1..4000_usize,
        ) {
            let data = word.repeat(times);
            for (codec, compression) in CODECS {
                let small = compression.compress(&data).unwrap();
                prop_assert_eq!(&inflate(codec, &small, data.len()).unwrap(), &data);
                let refused = inflate(codec, &small, data.len() - 1);
                prop_assert!(matches!(refused, Err(InflateError::TooLarge)), "{compression}");
            }
        }

        #[test]
        fn garbage_is_an_error_or_decompresses_within_the_limit(data in vec(any::<u8>(), 0..500), codec in 0..8_i16) {
            let out = inflate(Codec(codec), &data, 10_000);
            prop_assert!(out.map_or(true, |out| out.len() <= 10_000));
        }
    }

    #[test]
    fn a_decompression_bomb_stops_at_the_limit_with_every_codec() {
        let zeros = vec![0; 8 << 20];
        for (codec, compression) in CODECS {
            let small = compression.compress(&zeros).unwrap();
            let refused = inflate(codec, &small, 1 << 20);
            assert!(
                matches!(refused, Err(InflateError::TooLarge)),
                "{compression}"
            );
        }
    }

    /// Uses one of the slowest levels, which ask for a window of 8 MiB when they do not know how much is to come.
    #[test]
    fn a_window_longer_than_the_limit_is_reported_as_too_large() {
        use std::io::Write;
        let mut out = zstd::Encoder::new(vec![], 19).unwrap();
        out.write_all(b"little").unwrap();
        let small = out.finish().unwrap();
        let refused = inflate(ZSTD, &small, 4 << 20);
        assert!(
            matches!(refused, Err(InflateError::TooLarge)),
            "{refused:?}"
        );
        assert_eq!(inflate(ZSTD, &small, 32 << 20).unwrap(), b"little");
    }

    #[test]
    fn truncated_data_and_wrong_codecs_are_errors() {
        let data =
            b"some text that is long enough to be compressed, compressed, compressed".repeat(9);
        for (codec, compression) in CODECS {
            let small = compression.compress(&data).unwrap();
            let cut = inflate(codec, &small[..small.len() / 2], 1 << 20);
            assert!(
                matches!(cut, Err(InflateError::Broken(_))) || cut.unwrap().len() < data.len(),
                "{compression}"
            );
            assert!(
                inflate(codec, b"this is not it", 1 << 20).is_err(),
                "{compression}"
            );
        }
        let unknown = inflate(Codec(7), &data, 1 << 20);
        assert!(matches!(unknown, Err(InflateError::UnknownCodec)));
    }
}
