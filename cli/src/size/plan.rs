//! The number of pods for a load, and what each of them needs.

use datastream_gateway::{MemoryBudget, Settings, descriptors_for};
use datastream_protocol::position::MAX_PARTITIONS;
use serde::Serialize;

use super::costs::{
    FRAME_BYTES, MOST_STREAMS, ORDINARY_SUBSCRIPTIONS, RECORD_BYTES, ROUTE_BYTES, SEQ_BYTES,
    SUBSCRIPTION_KIB,
};
use super::impossible::Impossible;
use super::load::Load;
use super::model::Gateway;
use super::room::room;

/// Share of its cores, and of its network, that a pod uses at the most: as the chart's autoscaler has it
/// (`gateway.autoscaling.targetCPUPercent`).
pub(super) const BUSY: f64 = 0.7;
/// Streams that a pod lets in, of those that it has if all pods have the same share: clients choose pods by chance, and pods that were
/// restarted first get those of the others.
const UNEVEN: f64 = 1.25;
/// `maxStreams` is a multiple of this.
const STREAMS_STEP: u64 = 100;
/// CPU that is requested is a multiple of this, in thousandths of a core.
const CPU_STEP: u64 = 50;
/// Cores that a pod may have.
pub(super) const MOST_CORES: u32 = 256;
/// Pods of a group, as the schema of the chart's values has it.
pub(super) const MOST_PODS: u64 = 10_000;
const MEBIBYTE: usize = 1 << 20;

/// Pods, and what surrounds them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    /// Partitions of the topic. None: as few as suffice.
    pub(super) partitions: Option<u32>,
    /// Cores of a pod.
    pub(super) cores: u32,
    /// Pods that may be away.
    pub(super) spare: u64,
    /// Network of a pod in each direction, in bits a second.
    pub(super) bits: f64,
    /// Speed of a core, in cores of the machine on which costs were measured.
    pub(super) core_speed: f64,
}

/// Limit that decides on the number of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Limit {
    /// One pod carries the load.
    Nothing,
    /// CPU, of which deliveries take the larger part.
    Deliveries,
    /// CPU, of which reading the topic takes the larger part.
    Reading,
    /// Streams: more than were ever measured on one pod.
    Streams,
    /// Network: as much as a pod can send.
    Network,
}

/// Resources that one pod uses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Use {
    pub(super) streams: u64,
    pub(super) deliveries_per_second: f64,
    /// Cores that reading the whole topic takes.
    pub(super) reading: f64,
    /// Cores that deliveries take.
    pub(super) delivering: f64,
    pub(super) sent_bytes_per_second: f64,
    /// MiB that streams without events hold.
    pub(super) idle_mib: f64,
}

impl Use {
    pub(super) fn cores(&self) -> f64 {
        self.reading + self.delivering
    }
}

/// Pods for a load.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    pub(super) deliveries_per_second: f64,
    pub(super) pods: u64,
    /// Pods that carry the load while the spare ones are away.
    pub(super) carrying: u64,
    pub(super) limit: Limit,
    pub(super) cores_per_pod: u32,
    pub(super) partitions: u32,
    /// Partitions that suffice.
    pub(super) fewest_partitions: u32,
    /// Events that go out in one write.
    pub(super) events_per_write: f64,
    /// Use of a pod while the spare ones are away.
    pub(super) pod: Use,
    /// Use of a pod while all are there.
    pub(super) usual: Use,
    pub(super) read_bytes_per_second: f64,
    /// Bytes that a pod may send.
    pub(super) most_sent_bytes_per_second: f64,
    pub(super) max_streams: u64,
    pub(super) open_files: u64,
    /// Thousandths of a core.
    pub(super) cpu_request: u64,
    pub(super) memory_request_mib: u64,
    pub(super) memory_limit_mib: u64,
    /// The memory is as the chart computes it.
    pub(super) memory_is_auto: bool,
}

impl Plan {
    /// The fewest pods that carry a load.
    ///
    /// # Errors
    /// No number of such pods does.
    pub(super) fn of(load: &Load, frame: &Frame) -> Result<Self, Impossible> {
        let group = Group::new(load, frame)?;
        let carrying = group.fewest();
        let limit = group.limit(carrying);
        let pods = carrying.saturating_add(frame.spare);
        if pods > MOST_PODS {
            return Err(Impossible::Pods { pods });
        }
        let (pod, usual) = (group.pod(carrying), group.pod(pods));
        let max_streams = max_streams(pod.streams);
        let (memory_request_mib, memory_limit_mib, memory_is_auto) = memory(load, max_streams);
        let cpu = (pod.cores() * 1000.0).ceil() as u64;
        Ok(Self {
            deliveries_per_second: load.deliveries(),
            pods,
            carrying,
            limit,
            cores_per_pod: frame.cores,
            partitions: group.partitions,
            fewest_partitions: group.fewest_partitions,
            events_per_write: load.gathered(),
            pod,
            usual,
            read_bytes_per_second: read_bytes(load),
            most_sent_bytes_per_second: group.bytes(),
            max_streams,
            open_files: descriptors_for(max_streams),
            cpu_request: cpu.max(1).next_multiple_of(CPU_STEP),
            memory_request_mib,
            memory_limit_mib,
            memory_is_auto,
        })
    }

    /// Share of a pod's cores that reading the topic takes.
    pub(super) fn reading_share(&self) -> f64 {
        self.pod.reading / f64::from(self.cores_per_pod)
    }
}

/// A load on pods of one kind.
struct Group<'a> {
    load: &'a Load,
    frame: &'a Frame,
    partitions: u32,
    fewest_partitions: u32,
}

impl<'a> Group<'a> {
    fn new(load: &'a Load, frame: &'a Frame) -> Result<Self, Impossible> {
        if load.fanout > load.streams as f64 {
            return Err(Impossible::Fanout {
                fanout: load.fanout,
                streams: load.streams,
            });
        }
        if load.subscriptions < load.streams {
            return Err(Impossible::FewSubscriptions {
                subscriptions: load.subscriptions,
                streams: load.streams,
            });
        }
        let most = room(ROUTE_BYTES);
        if load.subscriptions > most {
            return Err(Impossible::ManySubscriptions {
                subscriptions: load.subscriptions,
                most,
            });
        }
        let alone = Self {
            load,
            frame,
            partitions: 1,
            fewest_partitions: 1,
        };
        let needed = alone.partitions_needed();
        let fewest_partitions = needed.min(f64::from(MAX_PARTITIONS)) as u32;
        let partitions = match frame.partitions {
            Some(partitions) if f64::from(partitions) < needed => {
                return Err(Impossible::Partitions {
                    rate: load.rate,
                    partitions,
                    needed,
                });
            }
            given => given.unwrap_or(fewest_partitions),
        };
        let group = Self {
            partitions,
            fewest_partitions,
            ..alone
        };
        group.check()?;
        Ok(group)
    }

    /// Partitions with which none is more than [`BUSY`]: each is read and decoded by one task.
    fn partitions_needed(&self) -> f64 {
        let one_thread = Gateway {
            cores: 1.0,
            ..self.gateway(u64::MAX)
        };
        (one_thread.reading(self.load) / BUSY).ceil().max(1.0)
    }

    /// Checks that a pod with nothing but the topic has room for streams.
    fn check(&self) -> Result<(), Impossible> {
        let reading = self.gateway(u64::MAX).reading(self.load);
        let cores = f64::from(self.frame.cores) * BUSY;
        if reading >= cores {
            return Err(Impossible::Reading {
                rate: self.load.rate,
                reading,
                cores: self.frame.cores,
                most: cores,
            });
        }
        if read_bytes(self.load) >= self.bytes() {
            return Err(Impossible::Network {
                bytes: read_bytes(self.load),
            });
        }
        // What one stream takes is the least that a pod must have room for.
        let alone = self.share(1.0);
        if alone.cores() > cores || alone.sent_bytes_per_second > self.bytes() {
            return Err(Impossible::Stream {
                rate: self.load.per_stream(),
                cores: self.frame.cores,
            });
        }
        Ok(())
    }

    /// Bytes that a pod sends a second at the most.
    fn bytes(&self) -> f64 {
        self.frame.bits / 8.0 * BUSY
    }

    /// The fewest pods that carry the load: a search, because each pod more takes from all others.
    fn fewest(&self) -> u64 {
        let (mut too_few, mut enough) = (0, self.load.streams.max(1));
        while enough - too_few > 1 {
            let pods = too_few + (enough - too_few) / 2;
            if self.limit_of(pods).is_none() {
                enough = pods;
            } else {
                too_few = pods;
            }
        }
        enough
    }

    /// Limit that keeps fewer pods than these from carrying the load.
    fn limit(&self, pods: u64) -> Limit {
        let fewer = pods - 1;
        let limit = (fewer > 0).then(|| self.limit_of(fewer));
        limit.flatten().unwrap_or(Limit::Nothing)
    }

    /// Limit that keeps so many pods from carrying the load, if one does.
    fn limit_of(&self, pods: u64) -> Option<Limit> {
        let pod = self.pod(pods);
        if pod.cores() > f64::from(self.frame.cores) * BUSY {
            let reads = pod.reading > pod.delivering;
            return Some(if reads {
                Limit::Reading
            } else {
                Limit::Deliveries
            });
        }
        if max_streams(pod.streams) > MOST_STREAMS {
            return Some(Limit::Streams);
        }
        (pod.sent_bytes_per_second > self.bytes()).then_some(Limit::Network)
    }

    /// Use of each of so many pods.
    fn pod(&self, pods: u64) -> Use {
        self.share(self.load.streams as f64 / pods as f64)
    }

    /// Use of a pod with so many streams.
    fn share(&self, streams: f64) -> Use {
        let gateway = self.gateway_of(streams);
        Use {
            streams: streams.ceil() as u64,
            deliveries_per_second: gateway.deliveries,
            reading: gateway.reading(self.load),
            delivering: gateway.delivering(self.load),
            sent_bytes_per_second: gateway.deliveries * self.frame_bytes(),
            idle_mib: streams * self.load.idle_kib(streams) / 1024.0,
        }
    }

    /// Bytes that a delivery sends.
    fn frame_bytes(&self) -> f64 {
        let number = f64::from(self.partitions) * SEQ_BYTES;
        self.load.event_bytes as f64 + FRAME_BYTES + number
    }

    fn gateway(&self, pods: u64) -> Gateway {
        self.gateway_of(self.load.streams as f64 / pods as f64)
    }

    fn gateway_of(&self, streams: f64) -> Gateway {
        Gateway {
            streams,
            deliveries: streams * self.load.per_stream(),
            cores: f64::from(self.frame.cores),
            partitions: f64::from(self.partitions),
            core_speed: self.frame.core_speed,
        }
    }
}

/// Bytes of the topic that each pod reads a second.
fn read_bytes(load: &Load) -> f64 {
    load.rate * (load.event_bytes as f64 + RECORD_BYTES)
}

/// `maxStreams` of pods that have so many in the mean.
fn max_streams(streams: u64) -> u64 {
    let uneven = (streams as f64 * UNEVEN).ceil() as u64;
    let step = STREAMS_STEP;
    uneven
        .max(1)
        .checked_next_multiple_of(step)
        .unwrap_or(uneven)
}

/// MiB that are requested and the limit, and whether the chart computes them so.
fn memory(load: &Load, max_streams: u64) -> (u64, u64, bool) {
    let defaults = Settings::default().memory();
    let budget = MemoryBudget {
        max_streams: usize::try_from(max_streams).unwrap_or(usize::MAX),
        tls: load.tls,
        ..defaults
    };
    let others = load.subscriptions.saturating_sub(ORDINARY_SUBSCRIPTIONS);
    let more = (others as f64 * SUBSCRIPTION_KIB / 1024.0).ceil() as u64;
    let mebibytes = |bytes: usize| bytes.div_ceil(MEBIBYTE) as u64;
    let request = mebibytes(budget.held()).saturating_add(more);
    let limit = mebibytes(budget.limit()).saturating_add(more.saturating_add(more / 4));
    (request, limit, more == 0)
}
