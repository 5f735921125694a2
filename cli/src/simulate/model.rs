//! The device models of the simulated fleet and how their properties move.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// A device model: who makes it and what it measures.
#[derive(Debug)]
pub struct Model {
    /// Identity of the manufacturer.
    pub oem_id: &'static str,
    /// The model's name.
    pub name: &'static str,
    /// The way in which devices of this model are paired.
    pub registration_type: &'static str,
    /// Its properties.
    pub properties: &'static [Property],
}

/// A property of a model.
#[derive(Debug)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// Its name for people.
    pub display_name: &'static str,
    /// Values are sent to the device, which then acknowledges them.
    pub to_device: bool,
    /// The way in which its value changes.
    pub kind: Kind,
}

/// The way in which the value of a property changes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// 0 or 1, toggling.
    Switch,
    /// Counts up by 1 to `step`.
    Counter {
        /// The largest step.
        step: u32,
    },
    /// Walks within bounds by steps of up to 0.4, with one digit after the point.
    Gauge {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
    },
    /// One of these texts.
    Text(&'static [&'static str]),
}

const fn property(name: &'static str, display_name: &'static str, kind: Kind) -> Property {
    Property {
        name,
        display_name,
        to_device: false,
        kind,
    }
}

const fn command(name: &'static str, display_name: &'static str, kind: Kind) -> Property {
    Property {
        to_device: true,
        ..property(name, display_name, kind)
    }
}

/// The models of the fleet; device `i` has model `i` modulo their number.
pub const MODELS: &[Model] = &[
    Model {
        oem_id: "0dfc7900",
        name: "ledevb",
        registration_type: "AP-Mode",
        properties: &[
            command("Blue_LED", "Blue_LED", Kind::Switch),
            command("Green_LED", "Green_LED", Kind::Switch),
            property("Blue_button", "Blue button", Kind::Switch),
            // What naive clients stumble over: the separator of the stream protocol, quotes, other scripts.
            property(
                "log",
                "log",
                Kind::Text(&[
                    "boot ok",
                    "wifi|rssi|-61",
                    "Grüße aus München",
                    "say \"hi\"",
                    "温度正常",
                ]),
            ),
        ],
    },
    Model {
        oem_id: "0dfc7900",
        name: "linuxevb",
        registration_type: "Same-LAN",
        properties: &[
            command("Blue_LED", "Blue_LED", Kind::Switch),
            property("uptime_minutes", "Uptime (min)", Kind::Counter { step: 3 }),
            property(
                "cpu_temperature",
                "CPU temperature (°C)",
                Kind::Gauge {
                    low: 35.0,
                    high: 82.0,
                },
            ),
            property(
                "version",
                "Firmware",
                Kind::Text(&["demo 1.4", "demo 1.5", "demo 2.0-rc1"]),
            ),
        ],
    },
    Model {
        oem_id: "7a31c4e2",
        name: "thermostat-t2",
        registration_type: "Display",
        properties: &[
            property(
                "temperature",
                "Temperature (°C)",
                Kind::Gauge {
                    low: 16.0,
                    high: 27.0,
                },
            ),
            property(
                "humidity",
                "Humidity (%)",
                Kind::Gauge {
                    low: 35.0,
                    high: 65.0,
                },
            ),
            command(
                "target_temperature",
                "Target (°C)",
                Kind::Gauge {
                    low: 18.0,
                    high: 24.0,
                },
            ),
            property("heating", "Heating", Kind::Switch),
            property(
                "room",
                "Room",
                Kind::Text(&["Wohnzimmer", "Küche", "chambre d'amis", "寝室"]),
            ),
        ],
    },
    Model {
        oem_id: "7a31c4e2",
        name: "smartplug-e1",
        registration_type: "Button-Push",
        properties: &[
            command("outlet", "Outlet", Kind::Switch),
            property(
                "power_watts",
                "Power (W)",
                Kind::Gauge {
                    low: 0.0,
                    high: 2300.0,
                },
            ),
            property("energy_wh", "Energy (Wh)", Kind::Counter { step: 25 }),
        ],
    },
];

impl Kind {
    /// The name of the value's type on the wire.
    pub const fn base_type(self) -> &'static str {
        match self {
            Self::Switch => "boolean",
            Self::Counter { .. } => "integer",
            Self::Gauge { .. } => "decimal",
            Self::Text(_) => "string",
        }
    }

    /// The value after `previous` (`Null` before the first).
    pub fn next(self, previous: &Value, rng: &mut StdRng) -> Value {
        match self {
            Self::Switch => json!(1 - previous.as_u64().unwrap_or(1).min(1)),
            Self::Counter { step } => {
                json!(previous.as_u64().unwrap_or(0) + u64::from(rng.random_range(1..=step)))
            }
            Self::Gauge { low, high } => {
                let value = match previous.as_f64() {
                    Some(previous) => previous + rng.random_range(-0.4..=0.4),
                    None => rng.random_range(low..=high),
                };
                json!((value.clamp(low, high) * 10.0).round() / 10.0)
            }
            Self::Text(texts) => json!(texts[rng.random_range(0..texts.len())]),
        }
    }
}
