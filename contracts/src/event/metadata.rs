//! The metadata of an event, which filters read.

open_object! {
    #[cfg_attr(feature = "schema", schemars(extend("required" = ["event_type"])))]
    /// Metadata of an event: its type, its device and, for `datapoint` and `datapointack`, its property.
    Metadata guarantees ["event_type", "oem_id", "oem_model", "dsn", "property_name"] {
        /// One of the five event types.
        ["datapoint", "type" = "string", "enum" = (crate::describe::event_types())] event_type: String,
        /// Identity of the manufacturer.
        ["0dfc7900"] oem_id: String,
        /// The model of the device.
        ["ledevb"] oem_model: String,
        /// The serial number of the device.
        ["AC000W000340000"] dsn: String,
        /// Name of the property, for datapoints and their acknowledgements.
        ["Blue_LED"] property_name: String,
        /// The property's name for people.
        ["Blue LED"] display_name: String,
        /// Type of the property's values: `boolean`, `integer`, `decimal` or `string`.
        ["boolean"] base_type: String,
        /// Tags of the device.
        [(vec!["kitchen"])] resource_tags: Vec<String>,
    }
}
