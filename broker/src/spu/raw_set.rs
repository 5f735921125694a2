//! A record set as bytes, so that it can end in the middle of a batch (the protocol crate's own encodes whole ones).

use std::io;

use bytes::{Buf, BufMut, Bytes};
use fluvio_protocol::{Decoder, Encoder, Version};

/// An `i32` length and that many bytes.
#[derive(Debug, Default, Clone)]
pub(super) struct RawSet(pub Bytes);

impl Encoder for RawSet {
    fn write_size(&self, _: Version) -> usize {
        4 + self.0.len()
    }

    fn encode<T: BufMut>(&self, out: &mut T, _: Version) -> io::Result<()> {
        out.put_i32(self.0.len() as i32);
        out.put_slice(&self.0);
        Ok(())
    }
}

impl Decoder for RawSet {
    fn decode<T: Buf>(&mut self, input: &mut T, version: Version) -> io::Result<()> {
        let mut length = 0_i32;
        length.decode(input, version)?;
        let length = usize::try_from(length).map_err(crate::invalid::invalid)?;
        if input.remaining() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0 = input.copy_to_bytes(length);
        Ok(())
    }
}
