//! `datastream size`: the number of gateway pods for a load and what each needs, from what was measured.

mod advice;
mod costs;
#[cfg(test)]
mod document;
mod impossible;
mod load;
#[cfg(test)]
mod measured;
mod model;
mod number;
mod plan;
#[cfg(test)]
mod properties;
mod table;
mod text;
mod values;

use clap::{Args, ValueEnum};
use datastream_protocol::position::MAX_PARTITIONS;
use datastream_service::stdout;
use serde::Serialize;

use load::Load;
use plan::{Frame, Plan};

const EXAMPLES: &str = "Examples:
  datastream size --streams 20000 --rate 5000 --fanout 40
  datastream size --streams 2000 --rate 50 --fanout 2000 --tls --cores-per-pod 4
  datastream size --streams 20000 --rate 5000 --fanout 40 --output json";

/// Options of `datastream size`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SizeArgs {
    /// Streams that are open at once.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub streams: u64,
    /// Events a second in the topic of a group of gateways, wanted or not.
    #[arg(long)]
    pub rate: u64,
    /// Streams that want an event, in the mean: 0.1 where one event in ten has one stream that wants it.
    #[arg(long, value_parser = fanout)]
    pub fanout: f64,
    /// Bytes of an event.
    #[arg(long, default_value_t = 450, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub event_bytes: u64,
    /// Partitions of the topic (unset: as few as suffice).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PARTITIONS)))]
    pub partitions: Option<u32>,
    /// Subscriptions, with a stream or without [default: as many as streams].
    #[arg(long)]
    pub subscriptions: Option<u64>,
    /// Gateways speak TLS with clients.
    #[arg(long)]
    pub tls: bool,
    /// Cores of a pod. With 2, as many streams as were ever measured on one pod get 10 events a second each.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub cores_per_pod: u32,
    /// Pods that may be away, in a rollout or with their node, while the others carry the load.
    #[arg(long, default_value_t = 1)]
    pub spare: u64,
    /// Network of a pod in each direction, in Gbit/s.
    #[arg(long, default_value_t = 10.0, value_name = "GBITS", value_parser = positive)]
    pub gbits_per_pod: f64,
    /// Speed of a core, where that of the machine of docs/performance.md is 1.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = positive)]
    pub core_speed: f64,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

fn fanout(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
    number
        .filter(|number| *number >= 0.0)
        .ok_or_else(|| "a number of streams from 0 on".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|number| (0.01..=1000.0).contains(number))
        .ok_or_else(|| "a number from 0.01 to 1000".to_owned())
}

impl SizeArgs {
    fn load(&self) -> Load {
        Load {
            streams: self.streams,
            rate: self.rate,
            fanout: self.fanout,
            event_bytes: self.event_bytes,
            tls: self.tls,
            subscriptions: self.subscriptions.unwrap_or(self.streams),
        }
    }

    fn frame(&self) -> Frame {
        Frame {
            partitions: self.partitions,
            cores: self.cores_per_pod,
            spare: self.spare,
            bits: self.gbits_per_pod * 1e9,
            core_speed: self.core_speed,
        }
    }
}

/// A plan with what to know of it.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    values: String,
    notes: &'a [String],
}

/// Prints the pods for a load.
///
/// # Errors
/// No number of pods carries the load.
pub fn run(args: &SizeArgs) -> anyhow::Result<()> {
    stdout::write(answer(args)?.as_bytes())
}

fn answer(args: &SizeArgs) -> anyhow::Result<String> {
    let (load, frame) = (args.load(), args.frame());
    let plan = Plan::of(&load, &frame)?;
    let notes = advice::advice(&load, &frame, &plan);
    Ok(match args.output {
        Output::Text => text::text(&load, &plan, &notes),
        Output::Json => {
            let answer = Answer {
                plan: &plan,
                values: values::values(&plan),
                notes: &notes,
            };
            serde_json::to_string_pretty(&answer)? + "\n"
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{Cli, Command};

    fn answered(arguments: &str) -> anyhow::Result<String> {
        let words = ["datastream", "size"].into_iter();
        let cli = Cli::try_parse_from(words.chain(arguments.split(' ')))?;
        let Command::Size(args) = cli.command else {
            panic!("{arguments}");
        };
        answer(&args)
    }

    #[test]
    fn an_impossible_load_is_answered_with_what_to_do() {
        for (arguments, reason) in [
            (
                "--streams 10 --rate 1 --fanout 11",
                "--fanout 11: an event cannot go to more than the 10 streams that there are",
            ),
            (
                "--streams 10 --rate 1000000 --fanout 0 --partitions 1",
                "1,000,000 events/s are more than one partition can carry",
            ),
            (
                "--streams 10 --rate 100000000 --fanout 0",
                "Take more cores (--cores-per-pod), keep out of the topic what no subscription wants",
            ),
            (
                "--streams 10 --rate 100 --event-bytes 1000000 --fanout 0 --gbits-per-pod 0.5",
                "more than its network takes (--gbits-per-pod)",
            ),
            (
                "--streams 1 --rate 20000 --event-bytes 4000 --fanout 1 --gbits-per-pod 0.937",
                "one stream alone gets 20,000 events/s",
            ),
        ] {
            let error = answered(arguments).unwrap_err().to_string();
            assert!(error.contains(reason), "{arguments}: {error}");
        }
    }

    #[test]
    fn reading_that_takes_much_of_each_pod_is_advised_against() {
        let much = answered("--streams 50000 --rate 500000 --fanout 1").unwrap();
        for part in [
            "Reading the topic",
            "Larger pods",
            "two groups",
            "Producers that",
        ] {
            let much = much.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(much.contains(part), "{part}: {much}");
        }
        let little = answered("--streams 40000 --rate 1000 --fanout 40").unwrap();
        assert!(!little.contains("Reading the topic takes"), "{little}");
    }

    #[test]
    fn json_has_the_plan_the_values_and_the_notes() {
        let text = answered("--streams 200000 --rate 100 --fanout 100 --output json").unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["deliveriesPerSecond"], 10_000.0);
        assert_eq!(json["limit"], "streams");
        assert_eq!(json["pods"], json["carrying"].as_u64().unwrap() + 1);
        assert!(json["values"].as_str().unwrap().starts_with("gateway:\n"));
        let notes = json["notes"].as_array().unwrap();
        let operator = notes.iter().filter_map(|note| note.as_str());
        assert!(
            operator.into_iter().any(|note| note.contains("operator")),
            "{text}"
        );
    }

    #[test]
    fn memory_is_left_to_the_chart_unless_routes_need_more() {
        let few = answered("--streams 1000 --rate 100 --fanout 10").unwrap();
        assert!(few.contains("memory: auto"), "{few}");
        let many =
            answered("--streams 1000 --rate 100 --fanout 10 --subscriptions 100000").unwrap();
        assert!(!many.contains("memory: auto"), "{many}");
    }
}
