//! The contracts of streams, compiled in: JSON Schemas, the AsyncAPI and the OpenAPI document, as `docs/schemas` has them.

use hyper::StatusCode;

use super::events::for_everybody;
use super::respond::{Answer, not_found, respond};

macro_rules! files {
    ($($file:literal)*) => {
        &[$(($file, include_str!(concat!("../../../docs/schemas/", $file)))),*]
    };
}

/// Documents below `/schemas/`. A test compares them with those that there are.
const SCHEMAS: &[(&str, &str)] = files! {
    "ack.json"
    "close.json"
    "cloud-control.json"
    "cloud-event.json"
    "connectivity-event.json"
    "connectivity.json"
    "control.json"
    "datapoint-event.json"
    "datapoint.json"
    "datapointack-event.json"
    "datapointack.json"
    "error.json"
    "event.json"
    "gap.json"
    "key-report.json"
    "live.json"
    "location-event.json"
    "location.json"
    "metadata.json"
    "refused.json"
    "registration-event.json"
    "registration.json"
    "token.json"
};

/// Documents below `/`.
const INTERFACES: &[(&str, &str)] = files! {
    "asyncapi.json"
    "openapi.json"
};

/// The document at `path`, if there is one; below `/schemas/`, those that there are. Pages from everywhere may read it.
pub(crate) fn document(path: &str) -> Option<Answer> {
    let name = path.strip_prefix('/')?;
    let schema = name.strip_prefix("schemas/");
    let (files, name, media_type) = match schema {
        Some(name) => (SCHEMAS, name, "application/schema+json"),
        None => (INTERFACES, name, "application/json"),
    };
    let file = files.iter().find(|(file, _)| *file == name);
    let document = file.map(|(_, text)| for_everybody(respond(StatusCode::OK, media_type, *text)));
    document.or_else(|| {
        let names = schema.map(|_| SCHEMAS.iter().map(|(file, _)| *file).collect::<Vec<_>>());
        names.map(|names| not_found(path, &names.join(", ")))
    })
}
