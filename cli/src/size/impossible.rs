//! Loads that no number of pods carries.

use std::fmt;

use super::number::{bytes, cores, count};

/// The reason why no number of pods carries a load, and what to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Impossible {
    /// More streams want an event than there are.
    Fanout { fanout: f64, streams: u64 },
    /// A partition has more than one task of a gateway reads.
    Partitions {
        rate: u64,
        partitions: u32,
        needed: f64,
    },
    /// Reading the topic leaves no CPU for deliveries.
    Reading { rate: u64, reading: f64, cores: u32 },
    /// The topic is more than the network of a pod takes.
    Network { bytes: f64 },
    /// One stream alone is more than a pod can send.
    Stream { rate: f64 },
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fanout { fanout, streams } => write!(
                f,
                "--fanout {fanout}: an event cannot go to more than the {} streams that there are",
                count(streams as f64)
            ),
            Self::Partitions {
                rate,
                partitions,
                needed,
            } => write!(
                f,
                "{} events/s are more than {} carry: a gateway reads and decodes each partition in one task, on one core. Make it {} partitions (--partitions), or divide the events into several topics, with a group of gateways for each",
                count(rate as f64),
                if partitions == 1 {
                    "one partition can".to_owned()
                } else {
                    format!("{partitions} partitions can")
                },
                count(needed)
            ),
            Self::Reading {
                rate,
                reading,
                cores: of,
            } => write!(
                f,
                "reading {} events/s takes {} of the {of} cores of each pod, which leaves none for deliveries, however many pods there are. Take more cores (--cores-per-pod), keep out of the topic what no subscription wants, or divide the events into several topics, with a group of gateways for each",
                count(rate as f64),
                cores(reading)
            ),
            Self::Network { bytes: topic } => write!(
                f,
                "the topic has {}/s, which each pod reads: more than its network takes (--gbits-per-pod). Divide the events into several topics, with a group of gateways for each",
                bytes(topic)
            ),
            Self::Stream { rate } => write!(
                f,
                "one stream alone gets {} events/s, more than a pod can send beside reading the topic. Divide what its subscription wants among several, take more cores (--cores-per-pod), or a faster network (--gbits-per-pod)",
                count(rate)
            ),
        }
    }
}

impl std::error::Error for Impossible {}
