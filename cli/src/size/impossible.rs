//! Loads that no number of pods carries.

use std::fmt;

use datastream_protocol::position::MAX_PARTITIONS;

use super::number::{bytes, cores, count};
use super::plan::{BUSY, MOST_CORES, MOST_PODS};

/// The way out for a topic that is too much for any pod.
const DIVIDE: &str = "divide the events into several topics, with a group of gateways for each";

/// The reason why no number of pods carries a load, and what to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Impossible {
    /// More streams want an event than there are.
    Fanout { fanout: f64, streams: u64 },
    /// There are more streams than subscriptions.
    FewSubscriptions { subscriptions: u64, streams: u64 },
    /// The routing objects of one group do not hold all subscriptions.
    ManySubscriptions { subscriptions: u64, most: u64 },
    /// The chart does not take so many pods for a group.
    Pods { pods: u64 },
    /// A partition has more than one task of a gateway reads.
    Partitions {
        rate: f64,
        partitions: u32,
        needed: f64,
    },
    /// Reading the topic leaves no CPU for deliveries, of the cores that a pod uses at the most.
    Reading {
        rate: f64,
        reading: f64,
        cores: u32,
        most: f64,
    },
    /// The topic is more than the network of a pod takes.
    Network { bytes: f64 },
    /// One stream alone is more than a pod can send.
    Stream { rate: f64, cores: u32 },
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fanout { fanout, streams } => write!(
                f,
                "--fanout {fanout}: an event cannot go to more than the {} streams that there are",
                count(streams as f64)
            ),
            Self::FewSubscriptions {
                subscriptions,
                streams,
            } => write!(
                f,
                "--subscriptions {subscriptions}: each of the {} streams is of a subscription of its own",
                count(streams as f64)
            ),
            Self::ManySubscriptions {
                subscriptions,
                most,
            } => write!(
                f,
                "--subscriptions {subscriptions}: a group of gateways has room for some {} subscriptions with a short filter each, and for fewer with long ones. Divide them among {} groups, and ask for the size of each",
                count(most as f64),
                count(subscriptions.div_ceil(most) as f64)
            ),
            Self::Pods { pods } => write!(
                f,
                "this takes {} pods, and the chart lets a group have {}. Divide the streams among several groups, take pods with more cores (--cores-per-pod), or fewer to spare (--spare)",
                count(pods as f64),
                count(MOST_PODS as f64)
            ),
            Self::Partitions {
                rate,
                partitions,
                needed,
            } => {
                write!(
                    f,
                    "{} events/s are more than {} carry: a gateway reads and decodes each partition in one task, on one core. It takes {} partitions",
                    count(rate),
                    if partitions == 1 {
                        "one partition can".to_owned()
                    } else {
                        format!("{partitions} partitions can")
                    },
                    count(needed)
                )?;
                if needed > f64::from(MAX_PARTITIONS) {
                    write!(
                        f,
                        ", and a topic has {MAX_PARTITIONS} at the most: {DIVIDE}"
                    )
                } else {
                    write!(f, " (--partitions); or {DIVIDE}")
                }
            }
            Self::Reading {
                rate,
                reading,
                cores: of,
                most,
            } => {
                write!(
                    f,
                    "reading {} events/s takes {} cores of each pod, however many pods there are, and a pod of {of} uses {} at the most ({:.0} %), for reading and deliveries. ",
                    count(rate),
                    cores(reading),
                    cores(most),
                    BUSY * 100.0
                )?;
                if of < MOST_CORES {
                    write!(f, "Take more cores (--cores-per-pod), keep")?;
                } else {
                    write!(f, "Keep")?;
                }
                write!(
                    f,
                    " out of the topic what no subscription wants, or {DIVIDE}"
                )
            }
            Self::Network { bytes: topic } => write!(
                f,
                "the topic has {}/s, which each pod reads: more than its network takes (--gbits-per-pod); {DIVIDE}",
                bytes(topic)
            ),
            Self::Stream { rate, cores } => write!(
                f,
                "one stream alone gets {} events/s, more than a pod can send beside reading the topic. Divide what its subscription wants among several, take {}a faster network (--gbits-per-pod)",
                count(rate),
                if cores < MOST_CORES {
                    "more cores (--cores-per-pod), or "
                } else {
                    ""
                }
            ),
        }
    }
}

impl std::error::Error for Impossible {}
