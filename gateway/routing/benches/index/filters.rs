//! Sets of subscriptions of which ten want each event, by different filters.

use datastream_protocol::event::EventType;
use datastream_routing::{
    EventFields, Field, Filter, KeyHash, Pattern, PerField, Route, SubscriptionId,
};

/// Subscriptions that want each event.
pub(crate) const MATCHING: usize = 10;

/// A kind of filter: of each ten subscriptions that share one, and the event that it matches.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// The filter of one group of ten, among so many groups.
    filter: fn(usize, usize) -> Filter,
    /// Values of the event that this group wants, in the order of [`Field::ALL`].
    values: fn(usize, usize) -> [String; 4],
}

/// The values of an event.
pub(crate) struct Values(pub(crate) [String; 4]);

impl Kind {
    pub(crate) fn route(&self, number: usize, all: usize) -> Route {
        let name = format!("s{number}");
        let key = KeyHash::of(&name);
        let (group, groups) = (number / MATCHING, all / MATCHING);
        Route {
            filters: vec![(self.filter)(group, groups)],
            uid: "6f8f6c1e-3c1b-4f0e-8a51-0d5d6c3b2a19".to_owned(),
            ..Route::new(SubscriptionId::new("bench", name), key)
        }
    }

    pub(crate) fn values(&self, group: usize, groups: usize) -> Values {
        Values((self.values)(group, groups))
    }
}

impl Values {
    pub(crate) fn fields(&self) -> EventFields<'_> {
        EventFields {
            event_type: EventType::Datapoint,
            values: PerField::from_fn(|field| Some(&*self.0[field as usize])),
        }
    }
}

/// A text of six hexadecimal digits, as different as possible from those of the numbers beside it.
fn scattered(number: usize) -> String {
    format!("{:06x}", (number * 0x9E_37B1) & 0xFF_FFFF)
}

fn one(field: Field, pattern: String) -> Filter {
    Filter::default().with(field, [Pattern::new(pattern)])
}

fn of_dsn(dsn: String) -> [String; 4] {
    [dsn, "Blue_LED".into(), "ledevb".into(), "0dfc7900".into()]
}

/// Two values, each of which is common, for a pair that is rare.
fn pair(group: usize, groups: usize) -> (String, String) {
    let side = groups.isqrt().max(1);
    (
        format!("model-{}", group % side),
        format!("property_{}", group / side),
    )
}

pub(crate) const KINDS: [Kind; 7] = [
    Kind {
        name: "one DSN",
        filter: |group, _| one(Field::Dsn, format!("AC000W{group:09}")),
        values: |group, _| of_dsn(format!("AC000W{group:09}")),
    },
    Kind {
        name: "DSN prefix",
        filter: |group, _| one(Field::Dsn, format!("AC000{group:06}*")),
        values: |group, _| of_dsn(format!("AC000{group:06}0042")),
    },
    Kind {
        name: "DSN suffix",
        filter: |group, _| one(Field::Dsn, format!("*{group:06}")),
        values: |group, _| of_dsn(format!("AC000W000{group:06}")),
    },
    Kind {
        name: "model and property",
        filter: |group, groups| {
            let (model, property) = pair(group, groups);
            one(Field::OemModel, model).with(Field::PropertyName, [Pattern::new(property)])
        },
        values: |group, groups| {
            let (model, property) = pair(group, groups);
            ["AC000W000340777".into(), property, model, "0dfc7900".into()]
        },
    },
    Kind {
        name: "*text*",
        filter: |group, _| one(Field::Dsn, format!("*{}*", scattered(group))),
        values: |group, _| of_dsn(format!("AC0W{}00042", scattered(group))),
    },
    Kind {
        name: "*text*text*",
        filter: |group, _| {
            let text = scattered(group);
            one(Field::Dsn, format!("*{}*{}*", &text[..3], &text[3..]))
        },
        values: |group, _| {
            let text = scattered(group);
            of_dsn(format!("AC{}W0{}00", &text[..3], &text[3..]))
        },
    },
    Kind {
        name: "lists, three fields",
        filter: |group, groups| {
            let (model, property) = pair(group, groups);
            let dsns = ["AC000W*".into(), "AC001*".into(), "*777".into()];
            let models = [format!("{model}-eu"), model].map(Pattern::new);
            let properties = [format!("{property}_*"), property].map(Pattern::new);
            Filter::default()
                .with(Field::Dsn, dsns)
                .with(Field::OemModel, models)
                .with(Field::PropertyName, properties)
        },
        values: |group, groups| {
            let (model, property) = pair(group, groups);
            ["AC000W000340777".into(), property, model, "0dfc7900".into()]
        },
    },
];
