//! One simulated device: its state and the events that it can produce.

use jiff::Timestamp;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::Value;

use super::events::{
    Ack, Body, Connection, Datapoint, Empty, Event, Location, Metadata, PropertyMetadata,
    Registration, timestamp,
};
use super::model::{Kind, Model, Property};

/// Towns where the fleet lives: degrees north and east.
const TOWNS: &[(f64, f64)] = &[
    (44.7695, -69.4283),
    (48.1374, 11.5755),
    (35.6895, 139.6917),
    (-33.8688, 151.2093),
    (37.3875, -122.0575),
];

/// One device of the fleet.
#[derive(Debug)]
pub(super) struct Device {
    model: &'static Model,
    dsn: String,
    user_uuid: String,
    ip: String,
    place: (f64, f64),
    /// It is connected; only then it reports anything.
    pub online: bool,
    /// It belongs to a user; a device that does not stays offline.
    pub registered: bool,
    values: Vec<Value>,
}

impl Device {
    /// Device `number` of the fleet, unregistered and offline.
    pub(super) fn new(number: usize, model: &'static Model, rng: &mut StdRng) -> Self {
        let (lat, long) = TOWNS[rng.random_range(0..TOWNS.len())];
        let mut near = |degrees: f64| degrees + rng.random_range(-0.2..=0.2);
        let place = (near(lat), near(long));
        Self {
            model,
            // Serial numbers look like Ayla's; the number within the fleet keeps them distinct.
            dsn: format!("AC000W{:09}", 340_000 + number),
            user_uuid: uuid(rng),
            // Addresses of the block for documentation (RFC 2544 benchmarking): they belong to nobody.
            ip: format!(
                "198.18.{}.{}",
                rng.random_range(0..=255),
                rng.random_range(1..=254)
            ),
            place,
            online: false,
            registered: false,
            values: vec![Value::Null; model.properties.len()],
        }
    }

    /// Registers the device to its user, or unregisters it.
    pub(super) fn register(&mut self, registered: bool, now: Timestamp) -> Event {
        self.registered = registered;
        let at = Some(timestamp(now));
        let body = Body::Registration(Registration {
            dsn: self.dsn.clone(),
            user_uuid: registered.then(|| self.user_uuid.clone()),
            registered,
            registration_type: self.model.registration_type,
            registered_at: at.clone().filter(|_| registered),
            unregistered_at: at.filter(|_| !registered),
        });
        self.event("registration", None, body)
    }

    /// Brings the device online, or takes it offline.
    pub(super) fn connect(&mut self, online: bool, now: Timestamp) -> Event {
        self.online = online;
        let body = Body::Connection(Connection {
            event_time: timestamp(now),
            user_uuid: self.user_uuid.clone(),
            status: if online { "Online" } else { "Offline" },
        });
        self.event("connectivity", None, body)
    }

    /// Locates the device, within some hundred metres of where it is.
    pub(super) fn locate(&self, now: Timestamp, rng: &mut StdRng) -> Event {
        let mut near = |degrees: f64| {
            let degrees = degrees + rng.random_range(-0.003..=0.003);
            format!("{degrees: >10.6}")
        };
        let body = Body::Location(Location {
            dsn: self.dsn.clone(),
            ip: self.ip.clone(),
            lat: near(self.place.0),
            long: near(self.place.1),
            provider: "ip-based",
            user_uuid: self.user_uuid.clone(),
            created_at: timestamp(now),
        });
        self.event("location", None, body)
    }

    /// Moves one property to its next value.
    pub(super) fn measure(&mut self, now: Timestamp, rng: &mut StdRng) -> Event {
        let number = rng.random_range(0..self.model.properties.len());
        let property = &self.model.properties[number];
        let value = property.kind.next(&self.values[number], rng);
        self.values[number] = value.clone();
        let at = timestamp(now);
        let body = Body::Datapoint(Datapoint {
            id: uuid(rng),
            // Only some devices have a clock.
            created_at_from_device: matches!(property.kind, Kind::Gauge { .. }).then(|| at.clone()),
            updated_at: at.clone(),
            created_at: at,
            user_uuid: self.user_uuid.clone(),
            echo: property.to_device && rng.random_bool(0.5),
            closed: false,
            value,
            ack: None,
            metadata: Empty {},
        });
        self.event("datapoint", Some(property), body)
    }

    /// The device's answer to a datapoint, if that was sent to it: not to what it measured or sent back itself.
    pub(super) fn acknowledge(
        &self,
        datapoint: &Event,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> Option<Event> {
        let (Body::Datapoint(sent), Some(about)) = (&datapoint.body, &datapoint.metadata.property)
        else {
            return None;
        };
        let property = self
            .model
            .properties
            .iter()
            .find(|p| p.name == about.property_name)?;
        if sent.echo || !property.to_device {
            return None;
        }
        let refused = rng.random_bool(0.03);
        let ack = Ack {
            ack_message: if refused { 101 } else { 0 },
            ack_status: if refused { 400 } else { 200 },
            ack_id: uuid(rng),
            acked_at: timestamp(now),
        };
        let body = Body::Datapoint(Datapoint {
            updated_at: timestamp(now),
            ack: Some(ack),
            ..sent.clone()
        });
        Some(self.event("datapointack", Some(property), body))
    }

    fn event(&self, event_type: &'static str, property: Option<&Property>, body: Body) -> Event {
        Event {
            metadata: Metadata {
                oem_id: self.model.oem_id.to_owned(),
                oem_model: self.model.name.to_owned(),
                dsn: self.dsn.clone(),
                property: property.map(|p| PropertyMetadata {
                    property_name: p.name.to_owned(),
                    display_name: p.display_name.to_owned(),
                    base_type: p.kind.base_type(),
                }),
                resource_tags: [],
                event_type,
            },
            body,
        }
    }
}

/// A version 4 UUID from the fleet's own generator, so that a seed determines it.
fn uuid(rng: &mut StdRng) -> String {
    let bits = rng.random::<u128>();
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}
