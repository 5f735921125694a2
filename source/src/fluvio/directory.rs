//! Directory of the units that lead partitions, and of their addresses, as the controller (Fluvio's SC) says.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use fluvio::metadata::objects::Metadata;
use fluvio::metadata::partition::PartitionSpec;
use fluvio::metadata::spu::SpuSpec;

use super::cluster::UnitAddress;
use super::{Connection, FluvioCluster, in_time, unreachable};
use crate::SourceError;

const WHAT: &str = "asking Fluvio for the partitions' leaders";

/// The units of one topic. What is known is good for as long as nobody doubts it: a controller that is away stops nobody.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) cluster: FluvioCluster,
    pub(super) topic: Arc<str>,
    pub(super) controller: Connection,
    /// Units, by partition.
    leaders: ArcSwap<HashMap<u32, UnitAddress>>,
    doubted: AtomicBool,
}

impl Directory {
    pub(super) fn new(cluster: FluvioCluster, topic: String) -> Self {
        Self {
            cluster,
            topic: topic.into(),
            controller: Connection::default(),
            leaders: ArcSwap::default(),
            doubted: AtomicBool::new(false),
        }
    }

    /// Invalidates what is known, which may be wrong: the controller is asked again before the next use.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// The unit that leads a partition.
    pub(super) async fn leader(&self, partition: u32) -> Result<UnitAddress, SourceError> {
        let known = self.leaders.load().get(&partition).cloned();
        let doubted = self.doubted.swap(false, Ordering::Relaxed);
        if let Some(known) = known.clone().filter(|_| !doubted) {
            return Ok(known);
        }
        match (self.look_up().await, known) {
            (Ok(()), _) => self.leaders.load().get(&partition).cloned().ok_or_else(|| {
                let reason = format!("nobody leads partition {partition} of {:?}", self.topic);
                unreachable(WHAT, reason)
            }),
            (Err(error), Some(known)) => {
                tracing::debug!(%error, "continuing with the leaders that are known");
                self.doubt();
                Ok(known)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn look_up(&self) -> Result<(), SourceError> {
        let client = self.controller.get(&self.cluster).await?;
        let answer = in_time(WHAT, async {
            let admin = client.admin().await;
            let partitions = admin.all::<PartitionSpec>().await?;
            anyhow::Ok((partitions, admin.all::<SpuSpec>().await?))
        })
        .await;
        let (partitions, units) = self.controller.checked(answer)?;
        let address = |unit: Metadata<SpuSpec>| UnitAddress {
            address: unit.spec.public_endpoint.addr(),
            name: unit.name,
        };
        let addresses: HashMap<_, _> = units
            .into_iter()
            .map(|unit| (unit.spec.id, address(unit)))
            .collect();
        let leaders = partitions.into_iter().filter_map(|p| {
            let number = partition_of(&p.name, &self.topic)?;
            Some((number, addresses.get(&p.spec.leader)?.clone()))
        });
        self.leaders.store(Arc::new(leaders.collect()));
        Ok(())
    }
}

/// The number of a partition of `topic`: the object of partition N of topic T is named T-N.
pub(super) fn partition_of(object: &str, topic: &str) -> Option<u32> {
    let (of, number) = object.rsplit_once('-')?;
    (of == topic).then_some(number.parse().ok()?)
}
