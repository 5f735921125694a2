//! A plan for people.

use std::fmt::Write as _;

use super::load::Load;
use super::number::{bytes, cores, count, whole_cores};
use super::plan::{BUSY, Limit, Plan};
use super::values::values;

const COLUMNS: usize = 100;
const INDENT: &str = "  ";

impl Limit {
    const fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing: one pod carries the load",
            Self::Deliveries => "CPU, most of it for deliveries",
            Self::Reading => "CPU, most of it for reading the topic",
            Self::Streams => "streams of a pod",
            Self::Network => "network of a pod",
        }
    }
}

/// The lines of a plan, with what to know of it.
pub(super) fn text(load: &Load, plan: &Plan, notes: &[String]) -> String {
    let mut text = format!(
        "{} streams, {} events/s of {} bytes, each for {} streams: {} deliveries/s{}\n\n",
        count(load.streams as f64),
        count(load.rate),
        count(load.event_bytes as f64),
        count(load.fanout),
        count(plan.deliveries_per_second),
        if load.has_tls() { ", with TLS" } else { "" }
    );
    let spare = plan.pods - plan.carrying;
    let (away, all_there) = if spare == 0 {
        ("", "")
    } else {
        (" with the spare away", " with none away")
    };
    let (pod, usual) = (&plan.pod, &plan.usual);
    let kept = f64::from(plan.cores_per_pod) * BUSY;
    let rows = [
        (
            "pods",
            format!(
                "{}, of which {} may be away; {} each",
                count(plan.pods as f64),
                if spare == 0 {
                    "none".to_owned()
                } else {
                    count(spare as f64)
                },
                whole_cores(plan.cores_per_pod)
            ),
        ),
        ("limited by", plan.limit.words().to_owned()),
        (
            "partitions",
            if plan.partitions == plan.fewest_partitions {
                format!("{} at least", plan.partitions)
            } else {
                format!("{}; {} suffice", plan.partitions, plan.fewest_partitions)
            },
        ),
        (
            "streams a pod",
            with_away(count(usual.streams as f64), count(pod.streams as f64), away),
        ),
        (
            "CPU a pod",
            format!(
                "{}, of {} at most",
                with_away(
                    format!("{} cores", cores(usual.cores())),
                    cores(pod.cores()),
                    away
                ),
                cores(kept)
            ),
        ),
        (
            "  reading",
            format!(
                "{} cores for {} events/s; {} on all pods",
                cores(pod.reading),
                count(load.rate),
                cores(pod.reading * plan.pods as f64)
            ),
        ),
        (
            "  deliveries",
            format!(
                "{} cores for {}/s{away}; {} on all pods{all_there}",
                cores(pod.delivering),
                count(pod.deliveries_per_second),
                cores(usual.delivering * plan.pods as f64)
            ),
        ),
        (
            "memory a pod",
            format!(
                "{} MiB requested, {} MiB limit; streams at rest hold {} MiB{away}",
                count(plan.memory_request_mib as f64),
                count(plan.memory_limit_mib as f64),
                count(pod.idle_mib.ceil())
            ),
        ),
        (
            "network a pod",
            format!(
                "{}/s in, {}/s out{away}, of {}/s at most",
                bytes(plan.read_bytes_per_second),
                bytes(pod.sent_bytes_per_second),
                bytes(plan.most_sent_bytes_per_second)
            ),
        ),
        (
            "network of Fluvio",
            format!(
                "{}/s out, to all pods",
                bytes(plan.read_bytes_per_second * plan.pods as f64)
            ),
        ),
        (
            "open files a pod",
            format!("{} (ulimit -Hn)", count(plan.open_files as f64)),
        ),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<18}{value}");
    }
    text += "\nvalues.yaml of charts/datastream:\n\n";
    for line in values(load, plan).lines() {
        let _ = writeln!(text, "    {line}");
    }
    for note in notes {
        let _ = write!(text, "\n- {}", wrapped(note));
    }
    text + "\n"
}

/// An amount while all pods are there, and while the spare ones are away, if there are any.
fn with_away(usual: String, then: String, away: &str) -> String {
    if away.is_empty() {
        usual
    } else {
        format!("{usual}; {then}{away}")
    }
}

/// A note in lines of [`COLUMNS`], all but the first indented.
fn wrapped(note: &str) -> String {
    let (mut text, mut column) = (String::new(), INDENT.len());
    for word in note.split(' ') {
        if column + 1 + word.len() > COLUMNS && !text.is_empty() {
            text += "\n";
            text += INDENT;
            column = INDENT.len();
        } else if !text.is_empty() {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += word.len();
    }
    text
}
