//! Filters that a tenant who wants to do harm may have within its budget: they cost events that none of them wants as much as possible.

use std::sync::Arc;

use datastream_routing::{Field, Filter, KeyHash, Pattern, Route, SubscriptionId, cost};

use crate::filters::Values;

/// The default budget of a namespace, in costs of filters.
const BUDGET: u64 = 64 << 10;
/// The most streams of a tenant.
const STREAMS: usize = 1_000;
/// The most filters of a subscription.
const FILTERS: usize = 8;

/// A way to do harm: the filter with this number.
pub(crate) struct Harm {
    pub(crate) name: &'static str,
    filter: fn(usize) -> Filter,
}

/// An event that many of their items match, and no filter but one.
pub(crate) fn event() -> Values {
    let values = ["AC000W000340777", "outdoor_temp", "ledevb-eu", "0dfc7900"];
    Values(values.map(str::to_owned))
}

/// Texts of this length in the DSN of the event.
fn texts(length: usize) -> Vec<&'static str> {
    let dsn = "AC000W000340777";
    let mut texts: Vec<_> = (0..=dsn.len() - length)
        .map(|at| &dsn[at..at + length])
        .collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// So many of the names with numbers, from a number on, round and round.
fn names(name: &str, first: usize, many: usize, of: usize) -> Vec<Pattern> {
    (first..first + many)
        .map(|number| Pattern::new(format!("{name}{}", number % of)))
        .collect()
}

fn infixes(texts: &[&str]) -> Vec<Pattern> {
    texts
        .iter()
        .map(|text| Pattern::new(format!("*{text}*")))
        .collect()
}

pub(crate) const HARMS: [Harm; 6] = [
    Harm {
        name: "text in several places",
        filter: |number| {
            let texts = texts(3);
            let dsns = (4 * number..4 * number + 4).map(|item| {
                let (a, b) = (item % texts.len(), item / texts.len() % texts.len());
                Pattern::new(format!("*{}*{}*{}*", texts[a], texts[b], texts[a]))
            });
            Filter::default().with(Field::Dsn, dsns)
        },
    },
    Harm {
        name: "long lists",
        filter: |number| {
            if number == 0 {
                let texts: Vec<_> = (1..16).flat_map(texts).collect();
                return Filter::default().with(Field::Dsn, infixes(&texts));
            }
            let models = [vec!["ledevb-eu".into()], names("m", 0, 63, 64)].concat();
            Filter::default()
                .with(Field::OemModel, models)
                .with(Field::Dsn, names("AC000W", number, 256, 512))
        },
    },
    Harm {
        name: "lists that are not filed",
        filter: |number| {
            let texts: Vec<_> = (3..9).flat_map(texts).collect();
            let dsn = Pattern::new(format!("*{}*", texts[number % texts.len()]));
            Filter::default()
                .with(Field::Dsn, [dsn])
                .with(Field::PropertyName, names("p", number, 33 + number % 5, 64))
        },
    },
    Harm {
        name: "texts that match together",
        filter: |number| {
            let dsns: Vec<_> = texts(3)
                .into_iter()
                .cycle()
                .skip(number % 7)
                .take(8)
                .collect();
            let names = ["out", "utd", "tdo", "doo", "oor", "or_", "r_t", "_te"];
            let names: Vec<_> = names.into_iter().cycle().skip(number % 5).take(4).collect();
            let models = [vec!["x".into()], self::names("m", number, 1, 5000)].concat();
            Filter::default()
                .with(Field::Dsn, infixes(&dsns))
                .with(Field::PropertyName, infixes(&names))
                .with(Field::OemModel, models)
        },
    },
    Harm {
        name: "combinations",
        filter: |number| {
            let group = number / 6;
            let list = |name: &str, own: usize| -> Vec<Pattern> {
                let items = (0..15).chain([15 + own]);
                items
                    .map(|item| Pattern::new(format!("{name}{group}-{item}")))
                    .collect()
            };
            Filter::default()
                .with(Field::Dsn, list("d", number % 6))
                .with(Field::PropertyName, list("p", 0))
                .with(Field::OemModel, list("m", 0))
        },
    },
    Harm {
        name: "items",
        filter: |number| {
            let numbers = 256 * number..256 * (number + 1);
            let texts = numbers.map(|n| Pattern::new(format!("*{n:0>30}*")));
            Filter::default().with(Field::Dsn, texts)
        },
    },
];

impl Harm {
    /// As many routes as the budget allows.
    pub(crate) fn routes(&self) -> Vec<Arc<Route>> {
        let mut left = BUDGET;
        let mut routes = vec![];
        let mut filters = (0..).map(self.filter);
        while routes.len() < STREAMS {
            let mut own: Vec<_> = filters.by_ref().take(FILTERS).collect();
            while cost(&own) > left.min(8 << 10) {
                own.pop();
            }
            if own.is_empty() {
                break;
            }
            left -= cost(&own);
            let name = format!("s{}", routes.len());
            let key = KeyHash::of(&name);
            routes.push(Arc::new(Route {
                filters: own,
                ..Route::new(SubscriptionId::new("bench", name), key)
            }));
        }
        routes
    }
}
