//! The choice of events that `tail` shows.

use clap::Args;
use clap::builder::PossibleValuesParser;
use datastream_protocol::event::{EventType, View};
use datastream_routing::Pattern;

/// Shows only the events that match every option given; of several values of one option any may match.
#[derive(Clone, Debug, Default, Args)]
pub struct Only {
    /// Show only events of this type; may be repeated.
    #[arg(long = "type", value_name = "TYPE", value_parser = PossibleValuesParser::new(EventType::ALL.map(EventType::as_str)))]
    pub event_types: Vec<String>,
    /// Show only events of this device; * stands for any text; may be repeated.
    #[arg(long = "dsn", value_name = "PATTERN")]
    pub dsns: Vec<String>,
    /// Show only events of this property; * stands for any text; may be repeated.
    #[arg(long = "property", value_name = "PATTERN")]
    pub properties: Vec<String>,
}

impl Only {
    /// Returns whether the event is to be shown.
    pub(super) fn admits(&self, view: &View<'_>) -> bool {
        let any = |patterns: &[String], field: &str| {
            patterns.is_empty()
                || view.metadata(field).is_some_and(|value| {
                    patterns
                        .iter()
                        .any(|p| Pattern::new(p.as_str()).matches(&value))
                })
        };
        any(&self.event_types, "event_type")
            && any(&self.dsns, "dsn")
            && any(&self.properties, "property_name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_must_match_every_option_with_any_of_its_values() {
        let json = r#"{"metadata":{"event_type":"datapoint","dsn":"AC12","property_name":null}}"#;
        let view = View::parse(json).unwrap();
        let list = |items: &[&str]| {
            items
                .iter()
                .map(|item| (*item).to_owned())
                .collect::<Vec<_>>()
        };
        for (expected, types, dsns, properties) in [
            (true, &[][..], &[][..], &[][..]),
            (true, &["location", "datapoint"], &["X", "AC*"], &[]),
            (false, &["location"], &["AC*"], &[]),
            (false, &[], &["AC1"], &[]),
            (false, &[], &[], &["*"]),
        ] {
            let only = Only {
                event_types: list(types),
                dsns: list(dsns),
                properties: list(properties),
            };
            assert_eq!(only.admits(&view), expected, "{only:?}");
        }
    }
}
