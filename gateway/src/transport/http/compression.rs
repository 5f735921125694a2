//! Compression of a response's body, for clients that ask for it (RFC 9110, section 12.5.3). What is sent can be read at once: every chunk
//! ends where a decoder has all of it.

use std::io::{self, Write as _};
use std::sync::Arc;

use flate2::write::GzEncoder;
use hyper::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zstd::stream::write::Encoder as ZstdEncoder;

use crate::header_list::{items, weighed};

/// The bits of zstd's window: 128 KiB, which bounds what an encoder and a decoder hold.
const WINDOW_BITS: u32 = 17;

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Compresses one body.
pub(crate) struct Compressor {
    encoder: Encoder,
    _permit: OwnedSemaphorePermit,
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

impl Coding {
    /// The coding that a request asks for: the one with the greater weight, zstd if they have the same.
    pub(crate) fn wanted(headers: &HeaderMap) -> Option<Self> {
        let weight = |name: &str| {
            let weighed = items(headers, &ACCEPT_ENCODING).map(weighed);
            let named = weighed.filter(|(coding, _)| coding.eq_ignore_ascii_case(name));
            named.fold(0.0, |most, (_, weight)| f32::max(most, weight))
        };
        let (gzip, zstd) = (weight("gzip"), weight("zstd"));
        let wanted = if zstd >= gzip {
            (zstd, Self::Zstd)
        } else {
            (gzip, Self::Gzip)
        };
        (wanted.0 > 0.0).then_some(wanted.1)
    }

    /// The value of `Content-Encoding`.
    pub(crate) const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl Compressor {
    /// A compressor, unless there are as many as there may be.
    pub(crate) fn new(coding: Coding, permits: &Arc<Semaphore>) -> Option<Self> {
        let permit = permits.clone().try_acquire_owned().ok()?;
        let encoder = match coding {
            Coding::Gzip => Encoder::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::fast())),
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), 1).ok()?;
                encoder.window_log(WINDOW_BITS).ok()?;
                Encoder::Zstd(encoder)
            }
        };
        Some(Self {
            encoder,
            _permit: permit,
        })
    }

    /// Compresses bytes. What comes back holds all of them.
    pub(super) fn compress(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match &mut self.encoder {
            Encoder::Gzip(encoder) => {
                encoder.write_all(bytes)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Encoder::Zstd(encoder) => {
                encoder.write_all(bytes)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// The end of the body.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self.encoder {
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}
