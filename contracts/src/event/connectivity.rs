//! The body of `connectivity`.

open_object! {
    /// Body of a `connectivity` event, under `connection`: a device went online or offline.
    Connectivity guarantees [] {
        /// Time of the change: RFC 3339, UTC.
        ["2018-09-24T10:26:37Z", "format" = "date-time"] event_time: String,
        /// The user whose device it is.
        ["0f2c9a4e-8f6b-4a3b-9f5e-2d6c1b7a8e90"] user_uuid: String,
        /// `Online` or `Offline`.
        ["Online"] status: String,
    }
}
