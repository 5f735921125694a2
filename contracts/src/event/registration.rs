//! The body of `registration`.

open_object! {
    /// Body of a `registration` event, under `registration_event`: a device was registered to a user, or unregistered.
    Registration guarantees [] {
        /// The serial number of the device.
        ["AC000W000340000"] dsn: String,
        /// The user whose device it is now, if anybody's.
        ["0f2c9a4e-8f6b-4a3b-9f5e-2d6c1b7a8e90"] user_uuid: String,
        /// The device is registered now.
        [true] registered: bool,
        /// The way in which the device was paired.
        ["Same-LAN"] registration_type: String,
        /// Time at which it was registered, if it was: RFC 3339, UTC.
        ["2018-09-24T10:26:37Z", "format" = "date-time"] registered_at: String,
        /// Time at which it was unregistered, if it was: RFC 3339, UTC.
        ["2018-10-02T08:00:00Z", "format" = "date-time"] unregistered_at: String,
    }
}
