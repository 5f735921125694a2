//! The body of `location`.

use super::Coordinate;

open_object! {
    /// Body of a `location` event, under `location_event`: a device reported where it is.
    Location guarantees [] {
        /// The serial number of the device.
        ["AC000W000340000"] dsn: String,
        /// Public IP address of the device.
        ["198.51.100.7"] ip: String,
        /// Latitude, in degrees north.
        [" 44.769500"] lat: Coordinate,
        /// Longitude, in degrees east.
        ["-69.428300"] long: Coordinate,
        /// The way in which it was located.
        ["ip-based"] provider: String,
        /// The user whose device it is.
        ["0f2c9a4e-8f6b-4a3b-9f5e-2d6c1b7a8e90"] user_uuid: String,
        /// Time of the location: RFC 3339, UTC.
        ["2018-09-24T10:26:37Z", "format" = "date-time"] created_at: String,
    }
}
