//! The body of every answer with an error.

message! {
    /// Body of an answer with an error.
    Error {
        /// Name of the error, for programs.
        #[cfg_attr(feature = "schema", schemars(schema_with = "crate::describe::error_name"))]
        ["bad_position"] error: String,
        /// Explanation, for people.
        ["seq_start: \"x\" is not a sequence number: only the digits 0 to 9, as in the \"seq\" of an event; a stream can start from 1 to 12"] message: String,
    }
}
