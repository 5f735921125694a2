//! Notes on a plan, and advice.

use super::costs::{MOST_STREAMS, OPERATOR_MIB, OPERATOR_SUBSCRIPTION_KIB, ROUTE_BYTES};
use super::load::Load;
use super::number::{cores, count, whole_cores};
use super::plan::{Frame, Limit, Plan};
use super::room::room;

/// Share of a pod's CPU from which reading the whole topic is too much.
const READING: f64 = 1.0 / 3.0;
/// Handshakes a second of a pod, as the chart has it (`gateway.handshakesPerSecond`).
const HANDSHAKES: f64 = 1000.0;
/// Request and limit of an operator's memory in the chart, in MiB.
const OPERATOR_REQUEST: f64 = 64.0;
const OPERATOR_LIMIT: f64 = 256.0;
/// Limit of an operator's memory, in what it takes.
const OPERATOR_ROOM: f64 = 1.5;

/// Sentences for people.
pub(super) fn advice(load: &Load, frame: &Frame, plan: &Plan) -> Vec<String> {
    let notes = [
        reading(load, frame, plan),
        gathering(plan),
        nobody(load),
        streams(load, frame, plan),
        Some(return_of_streams(load, frame, plan)),
        subscriptions(load),
        operator(load),
        spare(frame, plan),
    ];
    notes.into_iter().flatten().collect()
}

fn reading(load: &Load, frame: &Frame, plan: &Plan) -> Option<String> {
    if plan.reading_share() <= READING {
        return None;
    }
    let all = plan.pod.reading * plan.pods as f64;
    let share = plan.reading_share() * 100.0;
    let mut sentences = vec![format!(
        "Reading the topic takes {share:.0} % of each pod's CPU, {} cores in all, because every pod reads all of it.",
        cores(all)
    )];
    let larger = frame.cores.checked_mul(2).and_then(|cores| {
        let frame = Frame { cores, ..*frame };
        Plan::of(load, &frame).ok().map(|plan| (cores, plan.pods))
    });
    let total = |pods: u64, cores: u32| pods as f64 * f64::from(cores);
    let before = total(plan.pods, frame.cores);
    if let Some((cores, pods)) = larger.filter(|(cores, pods)| total(*pods, *cores) < before) {
        sentences.push(format!(
            "Larger pods read it fewer times: {} of {cores} cores ({} in all) instead of {} of {} ({}).",
            count(pods as f64),
            count(total(pods, cores)),
            count(plan.pods as f64),
            frame.cores,
            count(before)
        ));
    }
    let half = Load {
        streams: load.streams.div_ceil(2),
        rate: load.rate / 2.0,
        fanout: load.fanout.min(load.streams.div_ceil(2) as f64),
        subscriptions: load.subscriptions.div_ceil(2),
        ..*load
    };
    let half = Plan::of(&half, frame).ok();
    if let Some(half) = half.filter(|half| total(2 * half.pods, frame.cores) < before) {
        sentences.push(format!(
            "Tenants in two groups with a topic each: 2 times {} pods, each of which reads half ({} cores).",
            count(half.pods as f64),
            cores(half.pod.reading)
        ));
    }
    sentences
        .push("Producers that leave out what no subscription wants save on every pod.".to_owned());
    Some(sentences.join(" "))
}

fn gathering(plan: &Plan) -> Option<String> {
    (plan.events_per_write > 1.0).then(|| {
        format!(
            "Each stream gets so many events that {} go out in one write. Pods with little else to do send them sooner and in more writes, so they look busier than they are: watch latency rather than CPU.",
            count(plan.events_per_write)
        )
    })
}

fn nobody(load: &Load) -> Option<String> {
    (load.fanout < 0.5 && load.rate > 0.0).then(|| {
        "Most events are wanted by no stream: keep them out of the topic if you can, because every pod reads and decodes them."
            .to_owned()
    })
}

fn streams(load: &Load, frame: &Frame, plan: &Plan) -> Option<String> {
    if plan.limit != Limit::Streams {
        return None;
    }
    let pods = |cores| Plan::of(load, &Frame { cores, ..*frame }).map(|plan| plan.pods);
    let fewer = (1..frame.cores).find(|cores| pods(*cores) == Ok(plan.pods));
    let fewer = fewer.map(|cores| format!(" Pods of {} would do.", whole_cores(cores)));
    Some(format!(
        "More than {} streams were never measured on one pod.{}",
        count(MOST_STREAMS as f64),
        fewer.unwrap_or_default()
    ))
}

/// The way back of the streams of a pod that is gone.
fn return_of_streams(load: &Load, frame: &Frame, plan: &Plan) -> String {
    let streams = plan.usual.streams as f64;
    let others = plan.pods.saturating_sub(1);
    let each = streams / others.max(1) as f64;
    let seconds = (each / HANDSHAKES).ceil();
    let busy = each.min(HANDSHAKES) * load.handshake_seconds() / frame.core_speed;
    let who = match plan.usual.streams {
        1 => "its stream".to_owned(),
        _ => format!("its {} streams", count(streams)),
    };
    let when = format!(
        "again over at least {} s (gateway.handshakesPerSecond 1000), which takes {} of a core",
        count(seconds),
        cores(busy)
    );
    let returning = if others == 0 {
        format!(
            "There is one pod. While it is gone, nobody is served; when it is back, it lets {who} in {when}."
        )
    } else {
        format!("When a pod is gone, the others let {who} in {when} on each of them.")
    };
    format!("{returning} Each writes a Lease: see how many writes a second your API server takes.")
}

fn subscriptions(load: &Load) -> Option<String> {
    let most = room(ROUTE_BYTES);
    (load.subscriptions > most / 2).then(|| {
        format!(
            "A group of gateways has room for some {} subscriptions with a short filter each, and fewer with long ones. Divide them into groups before they reach that.",
            count(most as f64)
        )
    })
}

fn operator(load: &Load) -> Option<String> {
    let mebibytes = OPERATOR_MIB + load.subscriptions as f64 * OPERATOR_SUBSCRIPTION_KIB / 1024.0;
    let most = mebibytes * OPERATOR_ROOM;
    let limit = if most > OPERATOR_LIMIT {
        format!(" and limits.memory to {}Mi", most.ceil())
    } else {
        String::new()
    };
    (mebibytes > OPERATOR_REQUEST).then(|| {
        format!(
            "The operator takes {} MiB for {} subscriptions: set operator.resources.requests.memory to {}Mi{limit}.",
            count(mebibytes.ceil()),
            count(load.subscriptions as f64),
            mebibytes.ceil(),
        )
    })
}

fn spare(frame: &Frame, plan: &Plan) -> Option<String> {
    (frame.spare == 0 && plan.pods > 1).then(|| {
        "No pod is spare: while one is gone, the others have more than they were measured to carry at their ease."
            .to_owned()
    })
}
