//! Record of which gateway was in which disruption when, as far as its streams' claims are concerned.

use std::time::Instant;

use super::GATEWAYS;
use super::OPERATORS;
use super::meddling::Meddling;
use super::schedule::{Fault, Other};
use crate::checker::{Disrupted, Disruption};
use crate::gateways::GatewayFault;
use crate::nemesis::Step;

/// All disruptions of a round, those that last with the fault that made them.
#[derive(Debug, Default)]
pub(super) struct Disruptions {
    pub all: Vec<Disrupted>,
}

impl Disruptions {
    /// Notes what a fault that begins means for gateways.
    pub(super) fn note(&mut self, step: &Step<Fault>) {
        if !step.begins {
            return;
        }
        let from = Instant::now();
        let what = format!("{:?}", step.fault);
        for (gateway, disruption) in meaning(&step.fault) {
            self.all.push(Disrupted {
                gateway,
                disruption,
                from,
                until: None,
                what: what.clone(),
            });
        }
    }

    /// The fault is over.
    pub(super) fn end(&mut self, step: &Step<Fault>) {
        let (now, what) = (Instant::now(), format!("{:?}", step.fault));
        let lasting = self.all.iter_mut().filter(|t| t.until.is_none());
        for disrupted in lasting.filter(|t| t.what == what) {
            disrupted.until = Some(now);
        }
    }
}

fn meaning(fault: &Fault) -> Vec<(usize, Disruption)> {
    use Disruption::{Deaf, Ended, NoApi, Unreachable};
    match *fault {
        Fault::Api(program, _) if program >= OPERATORS => vec![(program - OPERATORS, NoApi)],
        // Claims and the Leases of gateways cannot be written, or are not answered in time.
        Fault::RestartApiServer
        | Fault::Meddle(Meddling::Policy("leases") | Meddling::Webhook("leases")) => {
            (0..GATEWAYS).map(|gateway| (gateway, NoApi)).collect()
        }
        // The others may take its Lease for expired, or it theirs.
        Fault::Gateway(gateway, GatewayFault::Clock(_)) => vec![(gateway, NoApi)],
        Fault::Gateway(gateway, GatewayFault::Kill | GatewayFault::Terminate) => {
            [Unreachable, Deaf, NoApi, Ended]
                .map(|disruption| (gateway, disruption))
                .into()
        }
        Fault::Gateway(gateway, _) | Fault::Link(gateway) => [Unreachable, Deaf, NoApi]
            .map(|disruption| (gateway, disruption))
            .into(),
        Fault::Cut(gateway, Other::Api, _) => vec![(gateway, NoApi)],
        Fault::Cut(gateway, Other::Clients, _) => vec![(gateway, Deaf)],
        Fault::Cut(gateway, Other::Gateway(other), _) => {
            vec![(gateway, Unreachable), (other, Unreachable)]
        }
        _ => vec![],
    }
}
