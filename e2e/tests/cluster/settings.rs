//! Images, and times to wait.

use std::time::Duration;

/// Time that anything may take that a user waits for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// The namespace of the release.
pub(crate) const SYSTEM: &str = "datastream-system";
/// The host that clients connect to.
pub(crate) const HOST: &str = "streams.test";
pub(crate) const TOPIC: &str = "device-events";

/// The registry of the images, `IMAGE_REGISTRY`.
pub(crate) fn registry() -> String {
    std::env::var("IMAGE_REGISTRY").unwrap_or_else(|_| "localhost".to_owned())
}

/// The tag of the images, `IMAGE_TAG`, and one that stands for the release after it, `IMAGE_TAG_NEXT`.
pub(crate) fn tags() -> [String; 2] {
    let version = env!("CARGO_PKG_VERSION");
    let tag = std::env::var("IMAGE_TAG").unwrap_or_else(|_| version.to_owned());
    let next = std::env::var("IMAGE_TAG_NEXT").unwrap_or_else(|_| format!("{version}-next"));
    [tag, next]
}

/// The image of a part.
pub(crate) fn image(part: &str) -> String {
    let [tag, _] = tags();
    format!("{}/datastream-{part}:{tag}", registry())
}
