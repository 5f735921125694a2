//! The bodies of `datapoint` and of `datapointack`, which has all that a datapoint has.

use crate::json::{Members, RawJson};

macro_rules! datapoint {
    ($(#[$about:meta])* $name:ident { $($more:tt)* }) => {
        open_object! {
            $(#[$about])*
            $name guarantees [] {
                /// Identity of the datapoint. An acknowledgement carries the one that it acknowledges.
                ["6f8f6c1e-3c1b-4f0e-8a51-0d5d6c3b2a19"] id: String,
                /// Time at which the device measured it, if the device has a clock: RFC 3339, UTC.
                ["2018-09-24T10:25:13Z", "format" = "date-time"] created_at_from_device: String,
                /// Time at which the cloud last touched it: RFC 3339, UTC.
                ["2018-09-24T10:25:15Z", "format" = "date-time"] updated_at: String,
                /// Time at which the cloud received it: RFC 3339, UTC.
                ["2018-09-24T10:25:14Z", "format" = "date-time"] created_at: String,
                /// The user whose device it is.
                ["0f2c9a4e-8f6b-4a3b-9f5e-2d6c1b7a8e90"] user_uuid: String,
                /// The device sent back a value that had been sent to it.
                [false] echo: bool,
                /// The datapoint is a file that is complete.
                [false] closed: bool,
                /// The value of the property: any JSON. `null` is a value here, and numbers may have any number of digits.
                [1] value: RawJson,
                /// Metadata of the datapoint itself: an object of the producer's own.
                [(serde_json::json!({"source": "app"}))] metadata: Members,
                $($more)*
            }
        }
    };
}

datapoint! {
    /// Body of a `datapoint` event, under `datapoint`: a property of a device got a new value.
    Datapoint {}
}

datapoint! {
    /// Body of a `datapointack` event, under `datapoint` and `datapointack` alike: a device acknowledged a value that was sent to it.
    Datapointack {
        /// Code that the device chose: 0 for success.
        [0] ack_message: i64,
        /// Status, as those of HTTP: 200 for success.
        [200] ack_status: i64,
        /// Identity of the acknowledgement.
        ["b5a1f6d2-7d0e-4c3a-9a6b-8e2f4d1c0b37"] ack_id: String,
        /// Time of the acknowledgement: RFC 3339, UTC.
        ["2018-09-24T10:25:16Z", "format" = "date-time"] acked_at: String,
    }
}
