//! Records of about 480 bytes, as devices send them, by number.

/// A datapoint of a property that is a number.
pub(crate) fn datapoint(number: usize) -> String {
    format!(
        concat!(
            r#"{{"metadata":{{"oem_id":"0dfc7900","oem_model":"ledevb","dsn":"AC000W{:09}","property_name":"Blue_LED","#,
            r#""display_name":"Blue LED of the kitchen","base_type":"integer","resource_tags":["kitchen","ground floor"],"#,
            r#""event_type":"datapoint"}},"datapoint":{{"id":"5b1c2d9e-8f4a-11ee-b9d1-0242ac120002","#,
            r#""created_at_from_device":"2026-11-24T06:14:44Z","updated_at":"2026-11-24T06:14:44Z","#,
            r#""created_at":"2026-11-24T06:14:44Z","echo":false,"closed":false,"value":{},"metadata":{{"key1":"value1"}}}}}}"#
        ),
        number,
        1_000 + number
    )
}

/// A datapoint of a property that is a text, with escapes, bars and characters that are not ASCII.
pub(crate) fn escapes(number: usize) -> String {
    format!(
        concat!(
            r#"{{"metadata":{{"oem_id":"0dfc7900","oem_model":"ledevb","dsn":"AC000W{:09}","property_name":"Status\u005fText","#,
            r#""display_name":"Küchenlicht \"links\" (größer)","base_type":"string","resource_tags":["Küche","1. Etage"],"#,
            r#""event_type":"datapoint"}},"datapoint":{{"id":"5b1c2d9e-8f4a-11ee-b9d1-0242ac120002","#,
            r#""created_at_from_device":"2026-11-24T06:14:44Z","updated_at":"2026-11-24T06:14:44Z","#,
            r#""created_at":"2026-11-24T06:14:44Z","echo":false,"value":"{} | 21,5 °C | 温度 | 😀\n","metadata":{{"key1":"C:\\a"}}}}}}"#
        ),
        number,
        1_000 + number
    )
}

/// The acknowledgement of a datapoint, with its body under one of the two names only.
pub(crate) fn datapointack(number: usize) -> String {
    format!(
        concat!(
            r#"{{"metadata":{{"oem_id":"0dfc7900","oem_model":"ledevb","dsn":"AC000W{:09}","property_name":"Blue_LED","#,
            r#""display_name":"Blue LED of the kitchen","base_type":"integer","event_type":"datapointack"}},"#,
            r#""datapoint":{{"id":"5b1c2d9e-8f4a-11ee-b9d1-0242ac120002","created_at_from_device":"2026-11-24T06:14:44Z","#,
            r#""updated_at":"2026-11-24T06:14:44Z","created_at":"2026-11-24T06:14:44Z","value":{},"metadata":{{"key1":"value1"}},"#,
            r#""acked_at":"2026-11-24T06:14:45Z","ack_status":200,"ack_message":0}}}}"#
        ),
        number,
        1_000 + number
    )
}
