//! The bars that the gateway has to be under.

use crate::bar::Bar;
use crate::figures::{CPU, Figure, Figures, P50, P99, P999};
use crate::load::Load;
use crate::servers::{Kind, better_peer};

/// The bars of those figures that were measured.
pub(crate) fn bars(figures: &Figures) -> Vec<Bar> {
    let mut bars = vec![];
    let mut bar =
        |load: Load, name: &str, figure: Option<&Figure>, other: Option<&Figure>, at_most: f64| {
            if let (Some(figure), Some(other)) = (figure, other) {
                let ratio = figure.ratio_to(other);
                let name = format!("{name} to {}", other.server);
                bars.push(Bar::at_most(load.name(), name, ratio, at_most));
            }
        };
    for load in Load::EACH {
        let get = |kind: Kind, figure| figures.get(kind.name(), Some(load.name()), figure);
        let peer = |figure| better_peer(figures, load, figure);
        let (to_raw, to_peer) = match load {
            Load::Slow => (Some(1.25), Some(0.45)),
            Load::Fast | Load::Bursts | Load::Limit => (Some(0.75), None),
            Load::All => (None, Some(0.7)),
            Load::OwnSteady => (None, None),
            Load::Own => (Some(1.15), None),
        };
        let gateway = get(Kind::Gateway, CPU);
        if let Some(at_most) = to_raw {
            bar(load, "CPU, gateway", gateway, get(Kind::Raw, CPU), at_most);
        }
        if let Some(at_most) = to_peer {
            bar(load, "CPU, gateway", gateway, peer(CPU), at_most);
        }
        bar(
            load,
            "CPU, gateway with TLS",
            get(Kind::GatewayTls, CPU),
            gateway,
            1.3,
        );
        // Saturated, each server has another rate: latencies are compared at equal ones.
        if load.pattern().interval == 0 {
            continue;
        }
        for (name, figure) in [("p50", P50), ("p99", P99), ("p99.9", P999)] {
            let gateway = get(Kind::Gateway, figure);
            let floors = (get(Kind::Raw, figure), get(Kind::RawTopic, figure));
            // Peers are compared as they would be behind the same broker: to one connection, that is most of the way, on a core that
            // the load keeps busy.
            if let (Load::OwnSteady, (Some(raw), Some(behind))) = (load, floors) {
                let other = peer(figure).map(|other| other.behind(behind, raw));
                let name = format!("{name} behind a broker, gateway");
                bar(load, &name, gateway, other.as_ref(), 1.0);
            } else {
                let name = format!("{name}, gateway");
                bar(load, &name, gateway, peer(figure), 1.0);
            }
        }
    }
    bars
}
