//! Requests for streams. The parameters are described in `docs/protocol.md`.

use std::time::Duration;

use datastream_routing::SubscriptionId;
use datastream_routing::names::decode_subscription;

use super::{Credential, Refusal};

/// The most events that a batch may be asked to have, and the longest time for which one may be waited for.
const MOST_EVENTS: u64 = 1_000_000;
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// A request for a stream, as far as the query says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRequest {
    /// `stream_key`, if it is not blank.
    pub key: Option<Credential>,
    /// `subscription`, if it is not blank.
    pub subscription: Option<SubscriptionId>,
    /// `seq_start`, if it is not blank.
    pub start: Option<String>,
    /// `seq_end`, if it is not blank.
    pub end: Option<String>,
    /// `time_start`, if it is not blank.
    pub time: Option<String>,
    /// `ack`, if it is not blank: the last event that was handled.
    pub ack: Option<String>,
    /// `on_gap`, if it is not blank.
    pub on_gap: Option<String>,
    /// `markers=1`: control frames are wanted.
    pub markers: bool,
    /// `format`, if it is not blank.
    pub format: Option<String>,
    /// `limit`: the most events that are wanted.
    pub limit: Option<u64>,
    /// `wait`: time for which the first event is waited for.
    pub wait: Option<Duration>,
    /// The last event that a client has had, from the header `Last-Event-ID`.
    pub last_event_id: Option<String>,
}

impl StreamRequest {
    /// Names of the parameters that are read.
    pub const PARAMETERS: [&str; 11] = [
        "stream_key",
        "subscription",
        "seq_start",
        "seq_end",
        "time_start",
        "ack",
        "on_gap",
        "markers",
        "format",
        "limit",
        "wait",
    ];

    /// Reads the query of the request's URL. Blank parameters do not count.
    ///
    /// # Errors
    /// A parameter that is given twice: a proxy on the way may have looked at the other one; or one that is malformed.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        let mut request = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            let given = (!value.is_empty()).then(|| value.to_owned());
            if !Self::PARAMETERS.contains(&&*name) {
                match meant(&name) {
                    Some(meant) => return Err(misspelt(&name, meant)),
                    None => continue,
                }
            }
            match name.as_ref() {
                "stream_key" => request.key = given.as_deref().map(Credential::key),
                "subscription" => {
                    request.subscription = given.map(|text| subscription(&text)).transpose()?;
                }
                "seq_start" => request.start = given,
                "seq_end" => request.end = given,
                "time_start" => request.time = given,
                "ack" => request.ack = given,
                "on_gap" => request.on_gap = given,
                "markers" => {
                    request.markers = given
                        .map(|text| markers(&text))
                        .transpose()?
                        .unwrap_or_default();
                }
                "format" => request.format = given,
                "limit" => request.limit = given.map(|text| limit(&text)).transpose()?,
                "wait" => request.wait = given.map(|text| wait(&text)).transpose()?,
                _ => continue,
            }
            if seen.contains(&name) {
                let reason = format!("{name} is there twice in the query: give it once");
                return Err(Refusal::BadRequest(reason.into()));
            }
            seen.push(name);
        }
        Ok(request)
    }
}

fn subscription(text: &str) -> Result<SubscriptionId, Refusal> {
    decode_subscription(text).ok_or(Refusal::wrong(
        "subscription names no subscription: write subscription=NAMESPACE/NAME",
    ))
}

/// The parameter that a name means but for its case, `_` and `-`. Other names are nobody's here, and are passed over.
fn meant(name: &str) -> Option<&'static str> {
    let letters = |name: &str| {
        let letters = name.chars().filter(|c| !matches!(c, '_' | '-'));
        letters.collect::<String>().to_ascii_lowercase()
    };
    let name = letters(name);
    let mut parameters = StreamRequest::PARAMETERS.into_iter();
    parameters.find(|known| letters(known) == name)
}

fn misspelt(name: &str, meant: &str) -> Refusal {
    Refusal::BadRequest(format!("there is no parameter {name}: {meant} is meant").into())
}

fn markers(text: &str) -> Result<bool, Refusal> {
    match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(Refusal::wrong("markers must be 1, or 0 for none")),
    }
}

fn limit(text: &str) -> Result<u64, Refusal> {
    let limit = text.parse().ok();
    limit
        .filter(|limit| (1..=MOST_EVENTS).contains(limit))
        .ok_or(Refusal::wrong(
            "limit must be a number of events, from 1 to 1000000",
        ))
}

fn wait(text: &str) -> Result<Duration, Refusal> {
    let wait = text.parse().ok().map(Duration::from_secs);
    wait.filter(|wait| *wait <= LONGEST_WAIT)
        .ok_or(Refusal::wrong(
            "wait must be a number of seconds, from 0 to 300",
        ))
}

#[cfg(test)]
mod tests {
    use datastream_routing::KeyHash;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn blank_positions_are_as_good_as_none() {
        let request =
            StreamRequest::parse(&format!("stream_key={KEY}&seq_start=&seq_end=%20")).unwrap();
        assert_eq!(request.key, Some(Credential::Key(KeyHash::of(KEY))));
        assert_eq!((request.start, request.end), (None, None));
    }

    #[test]
    fn positions_are_taken_as_written() {
        let request =
            StreamRequest::parse(&format!("seq_start=7&stream_key={KEY}&seq_end=9&other=1"))
                .unwrap();
        assert_eq!(
            (request.start.as_deref(), request.end.as_deref()),
            (Some("7"), Some("9"))
        );
    }

    #[test]
    fn names_that_are_almost_right_are_refused_and_others_passed_over() {
        for (query, meant) in [
            ("seqstart=1", "seq_start"),
            ("Stream-Key=1", "stream_key"),
            ("onGap=earliest", "on_gap"),
            ("markers=true", "markers"),
        ] {
            let refusal = StreamRequest::parse(query).unwrap_err();
            assert_eq!(refusal.status(), 400);
            assert!(refusal.to_string().contains(meant), "{refusal}");
        }
        assert_eq!(
            StreamRequest::parse("utm_source=x&start=1"),
            Ok(StreamRequest::default())
        );
    }

    #[test]
    fn the_bounds_of_a_batch_are_checked() {
        let request = StreamRequest::parse("limit=5&wait=0").unwrap();
        assert_eq!(
            (request.limit, request.wait),
            (Some(5), Some(Duration::ZERO))
        );
        for query in [
            "limit=0",
            "limit=x",
            "limit=1000001",
            "wait=-1",
            "wait=301",
            "wait=1.5",
        ] {
            assert_eq!(
                StreamRequest::parse(query).unwrap_err().status(),
                400,
                "{query}"
            );
        }
    }

    #[test]
    fn a_parameter_that_is_there_twice_is_refused() {
        for query in [
            format!("stream_key={KEY}&stream_key=x"),
            format!("stream_key={KEY}&seq_start=&seq_start=2"),
        ] {
            let refused = StreamRequest::parse(&query).err().unwrap();
            assert_eq!(refused.status(), 400, "{query}");
        }
    }
}
