//! Requests of clients on `/stream`. The parameters are described in `docs/protocol.md`.

use datastream_routing::SubscriptionId;
use datastream_routing::names::decode_subscription;

use super::{Credential, Refusal};

/// A request on `/stream`, as far as the query says.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// `on_gap`, if it is not blank.
    pub on_gap: Option<String>,
    /// `markers=1`: control frames are wanted.
    pub markers: bool,
}

impl StreamRequest {
    /// Reads the query of the request's URL. Blank parameters do not count.
    ///
    /// # Errors
    /// A parameter that is given twice: a proxy on the way may have looked at the other one; or a malformed `subscription`.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        let mut request = Self {
            key: None,
            subscription: None,
            start: None,
            end: None,
            time: None,
            on_gap: None,
            markers: false,
        };
        let mut seen = 0_u8;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            let given = (!value.is_empty()).then(|| value.to_owned());
            let bit = match name.as_ref() {
                "stream_key" => {
                    request.key = given.as_deref().map(Credential::key);
                    1
                }
                "seq_start" => {
                    request.start = given;
                    2
                }
                "seq_end" => {
                    request.end = given;
                    4
                }
                "time_start" => {
                    request.time = given;
                    8
                }
                "on_gap" => {
                    request.on_gap = given;
                    16
                }
                "subscription" => {
                    let malformed = || {
                        Refusal::BadRequest(
                            "subscription names no subscription: write subscription=NAMESPACE/NAME",
                        )
                    };
                    let read = given.map(|text| decode_subscription(&text).ok_or_else(malformed));
                    request.subscription = read.transpose()?;
                    64
                }
                "markers" => {
                    request.markers = given.as_deref() == Some("1");
                    32
                }
                _ => continue,
            };
            if seen & bit != 0 {
                return Err(Refusal::BadRequest(
                    "a parameter is there twice in the query: give each of stream_key, subscription, seq_start, seq_end, time_start, on_gap and markers once",
                ));
            }
            seen |= bit;
        }
        Ok(request)
    }
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
