//! Properties of the plans of all loads.

use datastream_gateway::TlsMemory;
use proptest::prelude::*;

use super::advice::advice;
use super::load::Load;
use super::plan::{Frame, Plan};
use super::text::text;

fn any_tls() -> impl Strategy<Value = TlsMemory> {
    prop_oneof![
        Just(TlsMemory::Plain),
        Just(TlsMemory::Tls),
        Just(TlsMemory::ClientCertificates)
    ]
}

/// A load of which a plan can be made, or of which it is said why not.
fn any_load() -> impl Strategy<Value = Load> {
    let number = || prop_oneof![0..100_u64, 0..1_000_000_u64, any::<u64>()];
    let fanout = prop_oneof![0.0..100.0, 0.0..1e6, 0.0..f64::MAX];
    (
        number(),
        number().prop_map(|rate| rate as f64),
        fanout,
        1..=1_u64 << 20,
        any_tls(),
        number(),
    )
        .prop_map(
            |(streams, rate, fanout, event_bytes, tls, subscriptions)| Load {
                streams,
                rate,
                fanout,
                event_bytes,
                tls,
                subscriptions,
            },
        )
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let partitions = prop::option::of(1..=u32::MAX);
    (
        partitions,
        1..=256_u32,
        // Most plans have a number of pods that the chart takes.
        prop_oneof![3 => 0..10_u64, 1 => any::<u64>()],
        0.01..1000.0,
        0.01..1000.0,
    )
        .prop_map(|(partitions, cores, spare, gbits, core_speed)| Frame {
            partitions,
            cores,
            spare,
            bits: gbits * 1e9,
            core_speed,
        })
}

/// A load that ordinary pods carry.
fn ordinary() -> impl Strategy<Value = Load> {
    (
        1_000..100_000_u64,
        1.0..5_000.0,
        0.0..500.0,
        1..5_000_u64,
        any_tls(),
    )
        .prop_map(|(streams, rate, fanout, event_bytes, tls)| Load {
            streams,
            rate,
            fanout,
            event_bytes,
            tls,
            subscriptions: streams,
        })
}

const FRAME: Frame = Frame {
    partitions: Some(8),
    cores: 4,
    spare: 1,
    bits: 1e10,
    core_speed: 1.0,
};

/// Costs of a plan, each of which grows with the load.
fn cost(load: &Load) -> (u64, f64) {
    let plan = Plan::of(load, &FRAME).unwrap();
    (plan.pods, plan.pods as f64 * plan.usual.cores())
}

proptest! {
    #[test]
    fn every_load_has_a_plan_or_a_reason(load in any_load(), frame in any_frame()) {
        match Plan::of(&load, &frame) {
            Ok(plan) => {
                prop_assert!(plan.carrying >= 1);
                prop_assert_eq!(plan.pods, plan.carrying.saturating_add(frame.spare));
                prop_assert!(plan.pod.cores() <= f64::from(frame.cores));
                prop_assert!(plan.max_streams >= plan.pod.streams);
                prop_assert!(plan.memory_limit_mib > plan.memory_request_mib);
                text(&load, &plan, &advice(&load, &frame, &plan));
            }
            Err(reason) => prop_assert!(!reason.to_string().is_empty()),
        }
    }

    #[test]
    fn more_streams_events_or_receivers_never_take_fewer_pods(
        load in ordinary(), streams in 0..50_000_u64, rate in 0.0..2_000.0, fanout in 0.0..200.0,
    ) {
        let (pods, _) = cost(&load);
        // More streams at the same rate are more streams for an event.
        let share = load.fanout / load.streams as f64;
        let larger = load.streams + streams;
        for more in [
            Load { streams: larger, fanout: share * larger as f64, subscriptions: larger, ..load },
            Load { rate: load.rate + rate, ..load },
            Load { fanout: load.fanout + fanout, ..load },
        ] {
            let (of_more, _) = cost(&more);
            prop_assert!(of_more >= pods, "{load:?}: {pods} pods; {more:?}: {of_more}");
        }
    }
}
