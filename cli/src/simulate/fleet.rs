//! The fleet as a whole: which device does what next.

use std::collections::VecDeque;

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::device::Device;
use super::events::{Body, Event};
use super::model::MODELS;

/// A fleet of devices that joins one by one and then goes about its business. Endless and deterministic: the same
/// seed, number of devices and times give the same events.
#[derive(Debug)]
pub struct Fleet {
    rng: StdRng,
    devices: Vec<Device>,
    /// The number of `devices` that have joined.
    joined: usize,
    /// Events that follow from earlier ones, due before anything new. Never more than a handful.
    due: VecDeque<Due>,
}

#[derive(Debug)]
enum Due {
    Connect {
        device: usize,
    },
    Acknowledge {
        device: usize,
        datapoint: Box<Event>,
    },
}

impl Fleet {
    /// A fleet of `devices` devices, at least one.
    pub fn new(devices: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let devices = (0..devices.max(1))
            .map(|n| Device::new(n, &MODELS[n % MODELS.len()], &mut rng))
            .collect();
        Self {
            rng,
            devices,
            joined: 0,
            due: VecDeque::new(),
        }
    }

    /// Returns what happens next, at the time `now`.
    pub fn next_event(&mut self, now: Timestamp) -> Event {
        if let Some(event) = self.due.pop_front().and_then(|due| self.settle(due, now)) {
            return event;
        }
        let all_joined = self.joined == self.devices.len();
        if self.joined == 0 || (!all_joined && self.rng.random_bool(0.3)) {
            self.joined += 1;
            return self.register(self.joined - 1, now);
        }
        let device = self.rng.random_range(0..self.joined);
        self.act(device, now)
    }

    fn settle(&mut self, due: Due, now: Timestamp) -> Option<Event> {
        match due {
            Due::Connect { device } => Some(self.devices[device].connect(true, now)),
            Due::Acknowledge { device, datapoint } => {
                let device = &self.devices[device];
                let event = device.online.then_some(datapoint)?;
                device.acknowledge(&event, now, &mut self.rng)
            }
        }
    }

    fn register(&mut self, device: usize, now: Timestamp) -> Event {
        self.due.push_back(Due::Connect { device });
        self.devices[device].register(true, now)
    }

    fn act(&mut self, number: usize, now: Timestamp) -> Event {
        let device = &mut self.devices[number];
        if !device.registered {
            return self.register(number, now);
        }
        if !device.online {
            // Now and then somebody gives an offline device away.
            return if self.rng.random_bool(0.1) {
                device.register(false, now)
            } else {
                device.connect(true, now)
            };
        }
        match self.rng.random_range(0..100) {
            0..3 => device.connect(false, now),
            3..7 => device.locate(now, &mut self.rng),
            _ => {
                let event = device.measure(now, &mut self.rng);
                if matches!(&event.body, Body::Datapoint(d) if !d.echo) {
                    self.due.push_back(Due::Acknowledge {
                        device: number,
                        datapoint: Box::new(event.clone()),
                    });
                }
                event
            }
        }
    }
}
