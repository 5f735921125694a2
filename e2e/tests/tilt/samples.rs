//! The sample events are events.

use datastream_gateway::event::Event;

use crate::root;

#[test]
fn every_event_type_has_samples_that_the_gateway_accepts() {
    let mut types = Vec::new();
    for entry in std::fs::read_dir(root().join("tilt/samples")).unwrap() {
        let path = entry.unwrap().path();
        let event_type = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let lines = std::fs::read_to_string(&path).unwrap();
        assert!(!lines.is_empty(), "{event_type}");
        for line in lines.lines() {
            let event = Event::decode(0, 0, line.to_owned().into(), usize::MAX);
            assert!(event.is_ok(), "{event_type}: {line}: {:?}", event.err());
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                json["metadata"]["event_type"],
                event_type.as_str(),
                "{line}"
            );
        }
        types.push(event_type);
    }
    types.sort_unstable();
    assert_eq!(
        types,
        [
            "connectivity",
            "datapoint",
            "datapointack",
            "location",
            "registration"
        ]
    );
}
