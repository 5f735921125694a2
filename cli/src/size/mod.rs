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
mod room;
mod table;
mod text;
mod values;

use clap::{Args, ValueEnum};
use datastream_gateway::TlsMemory;
use datastream_protocol::position::MAX_PARTITIONS;
use datastream_service::stdout;
use serde::Serialize;

use load::Load;
use number::count;
use plan::{Frame, MOST_CORES, MOST_PODS, Plan};

const EXAMPLES: &str = "Examples:
  datastream size --streams 20000 --rate 5000 --fanout 40
  datastream size --streams 2000 --rate 50 --fanout 2000 --tls --cores-per-pod 4
  datastream size --streams 20000 --rate 5000 --fanout 40 --output json";

/// The most of anything that is counted.
const MOST: u64 = 1_000_000_000_000;

/// Options of `datastream size`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SizeArgs {
    /// Streams that are open at once.
    #[arg(long, allow_negative_numbers = true, value_parser = |text: &str| whole(text, 1, MOST))]
    pub streams: u64,
    /// Events a second in the topic of a group of gateways, wanted or not; 0.1 where one comes each ten seconds.
    #[arg(long, allow_negative_numbers = true, value_parser = |text: &str| number(text, 0.0, MOST as f64))]
    pub rate: f64,
    /// Streams that want an event, in the mean: 0.1 where one event in ten has one stream that wants it.
    #[arg(long, allow_negative_numbers = true, value_parser = |text: &str| number(text, 0.0, MOST as f64))]
    pub fanout: f64,
    /// Bytes of an event.
    #[arg(long, default_value_t = 450, allow_negative_numbers = true, value_parser = |text: &str| whole(text, 1, 1 << 20))]
    pub event_bytes: u64,
    /// Partitions of the topic (unset: as few as suffice).
    #[arg(long, allow_negative_numbers = true, value_parser = |text: &str| short(text, 1, MAX_PARTITIONS))]
    pub partitions: Option<u32>,
    /// Subscriptions, with a stream or without [default: as many as streams].
    #[arg(long, allow_negative_numbers = true, value_parser = |text: &str| whole(text, 0, MOST))]
    pub subscriptions: Option<u64>,
    /// Gateways speak TLS with clients.
    #[arg(long)]
    pub tls: bool,
    /// They ask clients for certificates, too.
    #[arg(long, requires = "tls")]
    pub client_certificates: bool,
    /// Cores that a pod may use: it has a thread for each. With 2, 14,400 streams get 10 events a second each.
    #[arg(long, default_value_t = 2, allow_negative_numbers = true, value_parser = |text: &str| short(text, 1, MOST_CORES))]
    pub cores_per_pod: u32,
    /// Pods that may be away, in a rollout or with their node, while the others carry the load.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true, value_parser = |text: &str| whole(text, 0, MOST_PODS))]
    pub spare: u64,
    /// Network of a pod in each direction, in Gbit/s.
    #[arg(long, default_value_t = 10.0, value_name = "GBITS", allow_negative_numbers = true, value_parser = positive)]
    pub gbits_per_pod: f64,
    /// Speed of a core, where that of the machine of docs/performance.md is 1.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", allow_negative_numbers = true, value_parser = positive)]
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

fn whole(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let most = count(most as f64);
            format!("a whole number from {least} to {most} is wanted, without separators")
        })
}

fn short(text: &str, least: u32, most: u32) -> Result<u32, String> {
    whole(text, least.into(), most.into()).map(|number| number as u32)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let most = count(most);
            format!("a number from {least} to {most} is wanted, without separators")
        })
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, 0.01, 1000.0)
}

impl SizeArgs {
    fn load(&self) -> Load {
        Load {
            streams: self.streams,
            rate: self.rate,
            fanout: self.fanout,
            event_bytes: self.event_bytes,
            tls: match (self.tls, self.client_certificates) {
                (false, _) => TlsMemory::Plain,
                (true, false) => TlsMemory::Tls,
                (true, true) => TlsMemory::ClientCertificates,
            },
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
                values: values::values(&load, &plan),
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
                "--streams 10 --rate 100000000 --fanout 0 --cores-per-pod 256",
                "Keep out of the topic what no subscription wants",
            ),
            (
                "--streams 10 --rate 610000 --fanout 0.1",
                "a pod of 2 uses 1.40 at the most (70 %)",
            ),
            (
                "--streams 10 --rate 1000000000 --fanout 0 --partitions 4",
                "a topic has 499 at the most",
            ),
            (
                "--streams 20000 --rate 10 --fanout 1 --subscriptions 10",
                "--subscriptions 10: each of the 20,000 streams is of a subscription of its own",
            ),
            (
                "--streams 10 --rate 10 --fanout 1 --subscriptions 1000000",
                "Divide them among 2 groups",
            ),
            (
                "--streams 10 --rate 10 --fanout 1 --spare 10000",
                "this takes 10,001 pods, and the chart lets a group have 10,000",
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
    fn a_number_that_is_none_is_answered_with_what_is_wanted() {
        for (given, wanted) in [
            (
                "--streams=20,000",
                "a whole number from 1 to 1,000,000,000,000 is wanted",
            ),
            ("--streams -5", "a whole number from 1 to"),
            ("--streams 0", "a whole number from 1 to"),
            (
                "--rate=-1",
                "a number from 0 to 1,000,000,000,000 is wanted",
            ),
            ("--rate NaN", "a number from 0 to"),
            ("--fanout inf", "a number from 0 to"),
            ("--partitions 500", "a whole number from 1 to 499 is wanted"),
            (
                "--cores-per-pod 0",
                "a whole number from 1 to 256 is wanted",
            ),
            ("--spare 20000", "a whole number from 0 to 10,000 is wanted"),
            ("--core-speed 0", "a number from 0.01 to 1,000 is wanted"),
        ] {
            let error = answered(given).unwrap_err().to_string();
            assert!(error.contains(wanted), "{given}: {error}");
        }
    }

    #[test]
    fn a_pod_of_two_cores_has_as_many_streams_as_the_help_says() {
        let plan = answered("--streams 14400 --rate 10 --fanout 14400 --spare 0").unwrap();
        assert!(plan.contains("\npods              1,"), "{plan}");
    }

    #[test]
    fn values_with_tls_say_where_it_is() {
        let tls = "--streams 8000 --rate 10 --fanout 5 --tls";
        let of_tls = answered(tls).unwrap();
        assert!(of_tls.contains("  tls: {secretName: NAME}\n"), "{of_tls}");
        assert!(
            of_tls.contains("# 1130Mi, and a limit of 2132Mi"),
            "{of_tls}"
        );
        let with = answered(&format!("{tls} --client-certificates")).unwrap();
        assert!(
            with.contains("clientAuthority: {secretName: NAME}"),
            "{with}"
        );
    }

    #[test]
    fn what_is_said_of_a_pod_that_is_gone_is_of_the_pods_that_there_are() {
        let one = answered("--streams 10000 --rate 5 --fanout 10 --spare 0").unwrap();
        assert!(one.contains("nobody is served"), "{one}");
        assert!(
            !one.contains("each of them") && !one.contains("the others"),
            "{one}"
        );
        let few = answered("--streams 3 --rate 5 --fanout 1").unwrap();
        assert!(few.contains("takes less than 0.01 of a core"), "{few}");
        let slow = answered("--streams 20000 --rate 5 --fanout 10 --core-speed 0.25").unwrap();
        assert!(slow.contains("takes 0.20 of a core"), "{slow}");
    }

    #[test]
    fn what_is_advised_takes_less() {
        // Two groups would take more pods, and pods of one core are the smallest.
        let two =
            answered("--streams 1 --rate 20000 --fanout 1 --event-bytes 3000 --cores-per-pod 1");
        assert!(!two.unwrap().contains("two groups"));
        let small = answered("--streams 50000 --rate 10 --fanout 100 --cores-per-pod 1").unwrap();
        assert!(small.contains("measured on one pod.\n"), "{small}");
        let large = answered("--streams 50000 --rate 10 --fanout 100 --cores-per-pod 8").unwrap();
        assert!(large.contains("Pods of 1 core would do."), "{large}");
    }

    #[test]
    fn partitions_beyond_those_that_suffice_cost_a_little_and_are_told_apart() {
        let of = |partitions: &str| {
            let load = "--streams 1000 --rate 20000 --fanout 20 --output json";
            let plan = answered(&format!("{load}{partitions}")).unwrap();
            serde_json::from_str::<serde_json::Value>(&plan).unwrap()
        };
        let (fewest, many) = (of(""), of(" --partitions 12"));
        assert_eq!(fewest["partitions"], 1);
        assert_eq!(
            (&many["partitions"], &many["fewestPartitions"]),
            (&12.into(), &1.into())
        );
        assert_eq!(fewest["pod"]["reading"], many["pod"]["reading"]);
        assert!(fewest["pod"]["delivering"].as_f64() < many["pod"]["delivering"].as_f64());
        let text = answered("--streams 1000 --rate 20000 --fanout 20 --partitions 12").unwrap();
        assert!(text.contains("12; 1 suffice"), "{text}");
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
