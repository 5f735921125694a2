//! As much of Centrifuge's protocol in protobuf as a client needs that only listens. Messages stand one after the other, each behind
//! its length.

/// Bytes in the answer to [`connect`]: its `id`, and the tag of its `connect`.
pub(crate) const CONNECTED: &[u8] = &[0x08, 1, 0x2a];
/// The answer to a ping: a message without anything, as the ping is.
pub(crate) const PONG: &[u8] = &[0];

/// A command to connect that asks for these channels: `Command { id: 1, connect: { subs: { CHANNEL: {}, … } } }`.
pub(crate) fn connect(channels: &[&str]) -> Vec<u8> {
    let subs = channels.iter().flat_map(|channel| {
        let entry = [field(1, channel.as_bytes()), field(2, &[])].concat();
        field(3, &entry)
    });
    let connect = field(4, &subs.collect::<Vec<_>>());
    let mut command = vec![2 + connect.len() as u8, 0x08, 1];
    command.extend(connect);
    command
}

/// A field of bytes, fewer than 128.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, bytes.len() as u8];
    field.extend_from_slice(bytes);
    field
}

/// Returns whether one of these messages is a ping.
pub(crate) fn has_ping(mut messages: &[u8]) -> bool {
    while let Some(length) = take_length(&mut messages) {
        if length == 0 {
            return true;
        }
        messages = &messages[length..];
    }
    false
}

/// Takes a variable-length number off the front.
fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte;
        (byte, *bytes) = bytes.split_first()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if *byte < 0x80 {
            return Some(length);
        }
    }
}
