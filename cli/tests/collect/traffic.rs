//! A gateway with a stream of everything, and numbered events.

use super::support::dev::Dev;

/// A gateway whose topic has this many partitions, and the URL of its stream of everything.
pub(crate) async fn gateway(partitions: u32) -> (Dev, String) {
    gateway_that_resumes(partitions, "Latest").await
}

/// The same, with this `resume`.
pub(crate) async fn gateway_that_resumes(partitions: u32, resume: &str) -> (Dev, String) {
    let folder = tempfile::tempdir().unwrap();
    let manifest = format!(
        "apiVersion: datastream.dev/v1alpha1\nkind: DatastreamSubscription\nmetadata:\n  name: all\n\
         spec:\n  eventTypes: [datapoint]\n  heartbeat: {{intervalSeconds: 5}}\n  resume: {resume}\n"
    );
    std::fs::write(folder.path().join("all.yaml"), manifest).unwrap();
    let partitions = partitions.to_string();
    let mut dev = Dev::start_in(folder, &["--partitions", &partitions]).await;
    let url = dev.stream("all").await;
    (dev, url)
}

/// Posts the events with these numbers, of as many devices as there are digits.
pub(crate) async fn post(dev: &Dev, numbers: std::ops::Range<u64>) {
    let count = numbers.end - numbers.start;
    let lines: Vec<_> = numbers
        .map(|n| {
            let dsn = n % 10;
            format!(
                r#"{{"metadata":{{"dsn":"AC{dsn}","event_type":"datapoint"}}, "datapoint":{{"value":{n}, "x":1.10}}}}"#
            )
        })
        .collect();
    let (status, body) = dev.post(&lines.join("\n")).await;
    assert_eq!((status, &body["accepted"]), (200, &count.into()), "{body}");
}
