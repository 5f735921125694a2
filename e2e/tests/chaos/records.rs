//! Numbered records: plain events, events of every odd form that is legal, at the limits of size and depth, and what is no event.
//! The same for the same number, so that what arrives can be compared to the byte.

use std::fmt::Write as _;

use crate::checker::Record;

/// The number of devices.
pub(crate) const DEVICES: u8 = 8;
/// The largest frame that the gateways of a run send, in KiB.
pub(crate) const LARGEST_FRAME_KIB: usize = 64;
/// Every so many records are no events: gateways must skip them, and their offsets.
const JUNK_EVERY: u64 = 97;
const MAX_PADDING: u64 = 1200;
/// The deepest nesting that is served, the event's own braces included.
const MAX_DEPTH: usize = 32;
/// The largest record that is served.
const MAX_RECORD_BYTES: usize = 1 << 20;
/// Bytes of a frame beside its members and the digits of its number, as `docs/protocol.md` counts them.
const AROUND: usize = "12345678|".len() + r#"{"seq":"",}"#.len();
/// The most digits of a number: of a topic with one partition, and with three.
const DIGITS: [usize; 2] = [20, 1 + 3 * 15 + 3];

/// The form of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    /// White space and line breaks wherever they may be.
    Spaced,
    /// Keys and values with escapes that need not be.
    Escaped,
    /// Strings that no string of many languages can hold.
    Strange,
    /// Numbers that no number of many languages can hold.
    Numbers,
    /// An acknowledgement, whose body comes under both names.
    Acknowledgement,
    /// The same, with `null` under the other name.
    NullAcknowledgement,
    /// It brings a `seq` of its own, which counts for nothing.
    Numbered,
    /// Nested as deeply as allowed.
    Deep,
    /// Keys that are there twice.
    Doubled,
    /// `null` where a text is expected.
    Nulls,
    /// Bodies of other types beside its own.
    Bodies,
    /// Its escapes make the frame six times as large.
    Bars,
    /// Its frame has the largest size.
    Largest,
    /// Its frame would be larger by one byte.
    TooLarge,
    Junk(u64),
}

const ODD: [Form; 14] = [
    Form::Spaced,
    Form::Escaped,
    Form::Strange,
    Form::Numbers,
    Form::Acknowledgement,
    Form::NullAcknowledgement,
    Form::Numbered,
    Form::Deep,
    Form::Doubled,
    Form::Nulls,
    Form::Bodies,
    Form::Bars,
    Form::Largest,
    Form::TooLarge,
];

fn form(number: u64) -> Form {
    if number % JUNK_EVERY == JUNK_EVERY - 1 {
        return Form::Junk(number / JUNK_EVERY);
    }
    // The large ones are rare.
    match mixed(number) / 64 % 128 {
        kind @ 0..3 => ODD[11 + kind as usize],
        kind @ 3..47 => ODD[(kind % 11) as usize],
        _ => Form::Plain,
    }
}

/// The device of an event.
pub(crate) fn device(number: u64) -> Option<u8> {
    let is_event = !matches!(form(number), Form::TooLarge | Form::Junk(_));
    is_event.then(|| some_device(number))
}

/// The device that a record names, event or not.
pub(crate) fn some_device(number: u64) -> u8 {
    (mixed(number) % u64::from(DEVICES)) as u8
}

fn mixed(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

/// The name of a device.
pub(crate) fn dsn(device: u8) -> String {
    format!("chaos-{device}")
}

/// The members of an event: as they are sent, and as they must arrive, apart from what is escaped on the wire.
struct Members {
    sent: String,
    arrive: String,
}

impl From<String> for Members {
    fn from(text: String) -> Self {
        Self {
            sent: text.clone(),
            arrive: text,
        }
    }
}

fn metadata(number: u64, event_type: &str) -> String {
    let dsn = dsn(some_device(number));
    format!(
        r#""metadata":{{"number":{number},"event_type":"{event_type}","dsn":"{dsn}","oem_id":"0dfc7900","oem_model":"ledevb","property_name":"n","resource_tags":[]}}"#
    )
}

fn members(number: u64) -> Members {
    let plain = metadata(number, "datapoint");
    let dsn = dsn(some_device(number));
    let with = |body: &str| format!("{plain},\"datapoint\":{body}").into();
    match form(number) {
        Form::Plain => {
            let odd = if number.is_multiple_of(5) { "|é" } else { "" };
            let padding = "x".repeat((mixed(number) / 7 % MAX_PADDING) as usize);
            with(&format!(r#"{{"value":{number},"note":"{odd}{padding}"}}"#))
        }
        Form::Spaced => {
            let text = format!(
                "\"metadata\" : {{ \"number\":{number},\r\n\t\"event_type\" : \"datapoint\" ,\n \"dsn\":\"{dsn}\" }}\n,\n\n \"datapoint\":\t{{\"value\" :[ 1 ,\r\n 2.0 ] }}"
            );
            Members {
                sent: format!("\r\n\t {text} \n"),
                arrive: text,
            }
        }
        Form::Escaped => format!(
            r#""meta\u0064ata":{{"number":{number},"event_type":"data\u0070oint","d\u0073n":"{dsn}","property\u005fname":"a\/b"}},"data\u0070oint":{{"v\u0061lue":"\u00E9\u007c"}}"#
        )
        .into(),
        Form::Strange => with(
            r#"{"value":"Grüße|😀\u0000\u001f\ud83d x \ude00\u2028\"\\|","\ud800":"","|":"é"}"#,
        ),
        Form::Numbers => with(
            r#"{"value":1e400,"more":[-0,1E5,1.10e+2,12345678901234567890123,0.1000000000000000055511151231257827,1e-999]}"#,
        ),
        Form::Acknowledgement => {
            let sent = format!(
                r#"{},"datapointack":{{"value":"|","ack_status":200}}"#,
                metadata(number, "datapointack")
            );
            Members {
                arrive: format!(r#"{sent},"datapoint":{{"value":"|","ack_status":200}}"#),
                sent,
            }
        }
        Form::NullAcknowledgement => {
            let made = |datapoint: &str| {
                format!(
                    r#""datapoint":{datapoint},{},"datapointack":{{"value":0}}"#,
                    metadata(number, "datapointack")
                )
            };
            Members {
                sent: made("null"),
                arrive: made(r#"{"value":0}"#),
            }
        }
        Form::Numbered => {
            let rest = format!(r#"{plain},"datapoint":{{"value":false,"seq":"7"}}"#);
            let sent = match number % 3 {
                0 => format!(r#""seq":"99",{rest}"#),
                1 => format!(r#"{rest},"s\u0065q":4"#),
                _ => format!(r#""seq":[1,"]"],{rest}"#),
            };
            Members { sent, arrive: rest }
        }
        Form::Deep => with(&nested(MAX_DEPTH)),
        Form::Doubled => with(r#"{"value":1,"value":{"a":1,"a":2},"":null,"":[]}"#),
        Form::Nulls => format!(
            r#""metadata":{{"number":{number},"event_type":"datapoint","dsn":"{dsn}","property_name":null,"oem_id":null,"oem_model":null}},"datapoint":{{"value":null}}"#
        )
        .into(),
        Form::Bodies => format!(
            r#""connection":null,"location_event":{{"lat":1}},{plain},"registration_event":[],"datapoint":{{}},"datapointack":"no""#
        )
        .into(),
        Form::Bars => with(&format!(r#"{{"value":"{}"}}"#, "|".repeat(10_000))),
        Form::Largest => with(&filling(&plain, (LARGEST_FRAME_KIB << 10) - DIGITS[1])),
        Form::TooLarge => with(&filling(&plain, (LARGEST_FRAME_KIB << 10) - DIGITS[0] + 1)),
        Form::Junk(_) => String::new().into(),
    }
}

/// A body that makes a frame of this size, apart from the digits of its number.
fn filling(metadata: &str, frame: usize) -> String {
    let around = AROUND + metadata.len() + r#","datapoint":{"value":""}"#.len();
    format!(r#"{{"value":"{}"}}"#, "y".repeat(frame - around))
}

/// A body so deep, counted from the event's own braces.
fn nested(depth: usize) -> String {
    let inner = depth - 2;
    format!(r#"{{"value":{}{}}}"#, "[".repeat(inner), "]".repeat(inner))
}

/// A record that is no event.
fn junk(number: u64, kind: u64) -> Vec<u8> {
    let plain = metadata(number, "datapoint");
    let text = match kind % 12 {
        0 => format!(r#"no event, but "number":{number}"#),
        1 => format!(r#"{{{plain},"datapoint":{{"value":1}}"#),
        2 => {
            let mut bytes = format!(r#"{{{plain},"datapoint":{{"value":""#).into_bytes();
            bytes.extend(b"\xff\xfe\"}}");
            return bytes;
        }
        3 => format!(r#"{{{plain},"datapoint":{}}}"#, nested(MAX_DEPTH + 1)),
        4 => format!(r#"{{"number":{number},"datapoint":{{"value":1}}}}"#),
        5 => format!(r#"{{{},"datapoint":{{}}}}"#, metadata(number, "reboot")),
        6 => format!(r#"{{{plain},"datapoint":{{}},"datapoint":{{}}}}"#),
        7 => format!(r#"{{{plain},"datapointack":{{"value":1}}}}"#),
        8 => format!(r#"[{{{plain},"datapoint":{{}}}}]"#),
        9 => format!(r#"{{{plain},"datapoint":{{"value":NaN}}}}"#),
        10 => format!(r#"{{{plain},"datapoint":[1]}}"#),
        _ => {
            let body = "z".repeat(MAX_RECORD_BYTES);
            format!(r#"{{{plain},"datapoint":{{"value":"{body}"}}}}"#)
        }
    };
    text.into_bytes()
}

/// The record of this number.
pub(crate) fn record(number: u64) -> Vec<u8> {
    match form(number) {
        Form::Junk(kind) => junk(number, kind),
        _ => format!("{{{}}}", members(number).sent).into_bytes(),
    }
}

/// The body that a client gets of an event, with this `seq`.
pub(crate) fn body(number: u64, seq: &str) -> String {
    let mut body = format!("{{\"seq\":\"{seq}\",");
    for c in members(number).arrive.chars() {
        if c != '|' && c.is_ascii() {
            body.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(body, "\\u{unit:04x}");
        }
    }
    body.push('}');
    body
}

/// The number of an event, its device and its `seq`, if it is what was sent, to the byte; of one that is stored on `one_line`, line
/// breaks between members have become spaces. Found by its text: not every JSON reader takes what is legal.
pub(crate) fn read_body(text: &str, one_line: bool) -> Option<(u64, u8, &str)> {
    let (seq, _) = text.strip_prefix(r#"{"seq":""#)?.split_once('"')?;
    let number = number_in(text)?;
    let device = device(number)?;
    let mut sent = body(number, seq);
    if one_line {
        sent = sent.replace(['\n', '\r'], " ");
    }
    (text == sent).then_some((number, device, seq))
}

/// The record that these bytes of the topic are.
pub(crate) fn read_record(bytes: &[u8]) -> Option<Record> {
    let number = number_in(&String::from_utf8_lossy(bytes))?;
    // Of a record that is too large, its reader has the beginning.
    let whole = record(number);
    let is_sent = whole == bytes || (bytes.len() > MAX_RECORD_BYTES && whole.starts_with(bytes));
    is_sent.then(|| Record {
        number,
        device: device(number),
        lost: false,
    })
}

fn number_in(text: &str) -> Option<u64> {
    let (_, behind) = text.split_once(r#""number":"#)?;
    let end = behind.find(|c: char| !c.is_ascii_digit());
    behind[..end.unwrap_or(behind.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datastream_gateway::event::{Event, largest_content};
    use datastream_protocol::position::{EventPosition, Position};

    use super::*;

    #[test]
    fn the_gateway_renders_every_record_as_clients_expect() {
        for partitions in [1, 3] {
            let at = EventPosition {
                after: Position::new(vec![7; partitions]),
                partition: 0,
            };
            let seq = at.seq();
            let largest = largest_content(LARGEST_FRAME_KIB << 10, partitions as u32);
            for number in 0..3000 {
                let event = Event::decode(0, 0, record(number).into(), largest);
                let body = device(number).map(|_| body(number, seq.as_str()));
                let expected = body.map(|body| format!("{}|{body}", body.len()));
                let frame = event.map(|event| event.frame_at(at.clone()).text.into_string());
                assert_eq!(
                    frame.clone().ok(),
                    expected,
                    "{number}: {:?}, {frame:?}",
                    form(number)
                );
            }
        }
    }

    #[test]
    fn records_of_every_form_are_recognized() {
        let mut forms = BTreeSet::new();
        for number in 0..3000 {
            let found = read_record(&record(number)).unwrap();
            assert_eq!((found.number, found.device), (number, device(number)));
            if device(number).is_some() {
                let text = body(number, "12");
                assert_eq!(
                    read_body(&text, false),
                    Some((number, some_device(number), "12")),
                    "{text}"
                );
                assert!(
                    read_body(&text.replace("oem", "OEM").replace("n\"", "m\""), false).is_none()
                );
            }
            forms.insert(
                format!("{:?}", form(number))
                    .split('(')
                    .next()
                    .map(str::to_owned),
            );
        }
        assert_eq!(forms.len(), ODD.len() + 2);
    }
}
