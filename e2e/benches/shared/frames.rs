//! WebSocket frames (RFC 6455): as much as servers and clients of this bench need.

/// Kinds of frames.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Marks of a length of 16 and of 64 bits behind it.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// A frame that has come as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Its kind; 0 for what continues the one before.
    pub(crate) kind: u8,
    pub(crate) payload: &'a [u8],
}

/// Takes the first frame of a server off `bytes`. Returns nothing until it is there as a whole.
pub(crate) fn take<'a>(bytes: &mut &'a [u8]) -> Option<Frame<'a>> {
    let [first, second, ..] = **bytes else {
        return None;
    };
    let (head, length): (usize, _) = match second {
        LENGTH_16 => (4, usize::from(u16::from_be_bytes(array(bytes.get(2..4)?)))),
        LENGTH_64 => (10, u64::from_be_bytes(array(bytes.get(2..10)?)) as usize),
        length => (2, usize::from(length)),
    };
    let payload = bytes.get(head..head.checked_add(length)?)?;
    *bytes = &bytes[head + length..];
    Some(Frame {
        kind: first & 0x0f,
        payload,
    })
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap()
}

/// Appends a frame as a server sends it.
pub(crate) fn of_server(kind: u8, payload: &[u8], into: &mut Vec<u8>) {
    head(kind, payload.len(), 0, into);
    into.extend_from_slice(payload);
}

/// Appends a frame as a client sends it. Its mask is zero, which leaves the payload as it is.
pub(crate) fn of_client(kind: u8, payload: &[u8], into: &mut Vec<u8>) {
    head(kind, payload.len(), MASKED, into);
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(payload);
}

fn head(kind: u8, length: usize, mask: u8, into: &mut Vec<u8>) {
    into.push(FINAL | kind);
    if length < usize::from(LENGTH_16) {
        into.push(mask | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        into.push(mask | LENGTH_16);
        into.extend_from_slice(&length.to_be_bytes());
    } else {
        into.push(mask | LENGTH_64);
        into.extend_from_slice(&(length as u64).to_be_bytes());
    }
}
