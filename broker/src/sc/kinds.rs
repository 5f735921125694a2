//! The kinds of objects that can be listed and watched, made from what the store holds.

use std::fmt::Debug;

use fluvio_controlplane_metadata::partition::{
    PartitionResolution, PartitionSpec, PartitionStatus, ReplicaStatus,
};
use fluvio_controlplane_metadata::smartmodule::SmartModuleSpec;
use fluvio_controlplane_metadata::spu::{CustomSpuSpec, Endpoint, SpuSpec, SpuStatus};
use fluvio_controlplane_metadata::tableformat::TableFormatSpec;
use fluvio_controlplane_metadata::topic::{TopicResolution, TopicSpec, TopicStatus};
use fluvio_protocol::{Decoder, Encoder};
use fluvio_sc_schema::AdminSpec;
use fluvio_sc_schema::objects::Metadata;

use crate::log::{Store, UNIT_ID};

/// A kind of object.
pub(super) trait Kind: AdminSpec + Clone + Send + Sync + 'static
where
    Self::Status: Encoder + Decoder + Debug + Clone + Send + Sync,
{
    /// All objects of this kind; those of the system only if asked for.
    fn all(_: &Store, _system: bool) -> Vec<Metadata<Self>> {
        vec![]
    }
}

impl Kind for SmartModuleSpec {}
impl Kind for TableFormatSpec {}

impl Kind for SpuSpec {
    fn all(store: &Store, _: bool) -> Vec<Metadata<Self>> {
        let Some(address) = store.unit_address.get() else {
            return vec![];
        };
        let advertised = store.options.advertise.clone();
        let host = advertised.unwrap_or_else(|| address.ip().to_string());
        let mut spec = Self::new_public_addr(UNIT_ID, address.port(), host.clone()).set_custom();
        spec.private_endpoint = Endpoint {
            host,
            ..Endpoint::default()
        };
        let mut status = SpuStatus::default();
        if store.unit_is_online() {
            status.set_online();
        } else {
            status.set_offline();
        }
        vec![Metadata {
            name: format!("custom-spu-{UNIT_ID}"),
            spec,
            status,
        }]
    }
}

impl Kind for CustomSpuSpec {
    fn all(store: &Store, system: bool) -> Vec<Metadata<Self>> {
        let units = SpuSpec::all(store, system).into_iter();
        units
            .map(|unit| Metadata {
                name: unit.name,
                spec: unit.spec.into(),
                status: unit.status,
            })
            .collect()
    }
}

impl Kind for TopicSpec {
    fn all(store: &Store, system: bool) -> Vec<Metadata<Self>> {
        let topics = store.topics(|(name, topic)| {
            let replicas = vec![vec![UNIT_ID]; topic.partitions.len()];
            let status = TopicStatus::new(TopicResolution::Provisioned, replicas, "");
            Metadata {
                name: name.clone(),
                spec: topic.spec.clone(),
                status,
            }
        });
        topics
            .into_iter()
            .filter(|topic| system || !topic.spec.is_system())
            .collect()
    }
}

impl Kind for PartitionSpec {
    fn all(store: &Store, system: bool) -> Vec<Metadata<Self>> {
        let resolution = if store.unit_is_online() {
            PartitionResolution::Online
        } else {
            PartitionResolution::LeaderOffline
        };
        let partitions = store.topics(|(name, topic)| {
            let spec = Self::from_replicas(vec![UNIT_ID], &topic.spec, None);
            (0..topic.partitions.len() as u32)
                .map(|number| (name.clone(), number, spec.clone()))
                .collect::<Vec<_>>()
        });
        let metadata = |(topic, number, spec): (String, u32, Self)| {
            let ends = store.reported(&topic, number);
            let leader = ReplicaStatus::new(UNIT_ID, ends.high_watermark, ends.end);
            let status =
                PartitionStatus::new2(leader, vec![], ends.size, resolution.clone(), ends.start);
            Metadata {
                name: format!("{topic}-{number}"),
                spec,
                status,
            }
        };
        partitions
            .into_iter()
            .flatten()
            .map(metadata)
            .filter(|p| system || !p.spec.system)
            .collect()
    }
}
