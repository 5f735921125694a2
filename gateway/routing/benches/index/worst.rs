//! Filters that a tenant who wants to do harm may have within its budget: they cost events that none of them wants as much as possible,
//! or memory.

use std::sync::Arc;

use datastream_routing::Field::{self, Dsn, OemId, OemModel, PropertyName};
use datastream_routing::{Filter, KeyHash, Pattern, Route, SubscriptionId, cost};

use crate::filters::Values;

/// The default budgets of a namespace and of a subscription, in costs of filters.
const BUDGET: u64 = 64 << 10;
const BUDGET_OF_ONE: u64 = 8 << 10;
/// The most streams of a tenant.
const STREAMS: usize = 1_000;
/// The most filters of a subscription, and their largest size.
const FILTERS: usize = 8;
const BYTES: usize = 32 << 10;

/// The values of an ordinary event, in the order of [`Field::ALL`].
const ORDINARY: [&str; 4] = ["AC000W000340777", "outdoor_temp", "ledevb-eu", "0dfc7900"];
/// A name of which long texts can be made that have no piece of their own.
const UNIFORM: &str = "aaaaaaaaaaaaaaaabaaaaaaaaaaaaaaa";

/// A way to do harm.
pub(crate) struct Harm {
    pub(crate) name: &'static str,
    /// The property of the event.
    property: &'static str,
    /// As many filters as are worth it, those that matter most first.
    filters: fn() -> Vec<Filter>,
}

pub(crate) const HARMS: [Harm; 10] = [
    Harm::new("text in several places", several_places),
    Harm::new("long lists", long_lists),
    Harm::new("texts that match together", || two_fields(8, 4)),
    Harm::new("the same, each alone", || two_fields(1, 1)),
    Harm::new("children of each pair", many_children),
    Harm::new("lists that are looked in", looked_in),
    Harm::new("three that match but one", three_items),
    Harm {
        property: UNIFORM,
        ..Harm::new("long texts of few pieces", few_pieces)
    },
    Harm::new("combinations", combinations),
    Harm::new("items", items),
];

impl Harm {
    const fn new(name: &'static str, filters: fn() -> Vec<Filter>) -> Self {
        Self {
            name,
            property: ORDINARY[PropertyName as usize],
            filters,
        }
    }

    /// The event that is harmed.
    pub(crate) fn event(&self) -> Values {
        let mut values = ORDINARY;
        values[PropertyName as usize] = self.property;
        Values(values.map(str::to_owned))
    }

    /// As many routes as the budget allows.
    pub(crate) fn routes(&self) -> Vec<Arc<Route>> {
        let (mut routes, mut spent) = (vec![], 0);
        let mut filters = (self.filters)().into_iter().peekable();
        while routes.len() < STREAMS {
            let mut own: Vec<Filter> = vec![];
            while let Some(next) = filters.peek() {
                own.push(next.clone());
                let bytes = serde_json::to_vec(&own).unwrap().len();
                let most = BUDGET_OF_ONE.min(BUDGET - spent);
                if own.len() > FILTERS || bytes > BYTES || cost(&own) > most {
                    own.pop();
                    break;
                }
                filters.next();
            }
            if own.is_empty() {
                break;
            }
            spent += cost(&own);
            routes.push(route(routes.len(), own));
        }
        routes
    }
}

fn route(number: usize, filters: Vec<Filter>) -> Arc<Route> {
    let name = format!("s{number}");
    let key = KeyHash::of(&name);
    Arc::new(Route {
        filters,
        ..Route::new(SubscriptionId::new("bench", name), key)
    })
}

fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Vec<Pattern> {
    texts.into_iter().map(Pattern::new).collect()
}

/// So many names with a number, from one on, round and round.
fn names(name: &str, first: usize, many: usize, of: usize) -> Vec<Pattern> {
    list((first..first + many).map(|number| format!("{name}{}", number % of)))
}

/// Every text, beginning and end that matches a field of an ordinary event.
fn matching(field: Field) -> Vec<Pattern> {
    let value = ORDINARY[field as usize];
    let lengths = 1..=value.len();
    let texts = lengths.clone().flat_map(|length| {
        let places = 0..=value.len() - length;
        places.map(move |at| format!("*{}*", &value[at..at + length]))
    });
    let ends = lengths.flat_map(|length| {
        let (start, end) = (&value[..length], &value[value.len() - length..]);
        [format!("{start}*"), format!("*{end}")]
    });
    let mut all = list(texts.chain(ends));
    all.sort_unstable();
    all.dedup();
    all
}

/// Filters by which the index knows these items, and to which no event gets.
fn known(field: Field, items: &[Pattern]) -> impl Iterator<Item = Filter> {
    let other = if field == Dsn { PropertyName } else { Dsn };
    let of = move |items: &[Pattern]| {
        let filter = Filter::default().with(field, items.iter().cloned());
        filter.with(other, list(["nope"]))
    };
    items.chunks(64).map(of)
}

/// Texts in an order in which they do not stand in the event.
fn several_places() -> Vec<Filter> {
    let dsn = ORDINARY[Dsn as usize];
    let of = |length: usize| (0..=dsn.len() - length).map(move |at| &dsn[at..at + length]);
    let texts: Vec<_> = of(3).chain(of(4)).collect();
    let patterns = texts
        .iter()
        .flat_map(|a| texts.iter().map(move |b| format!("*{a}*{b}*{a}*")));
    let patterns = list(patterns);
    let four = |patterns: &[Pattern]| Filter::default().with(Dsn, patterns.iter().cloned());
    patterns.chunks(4).map(four).collect()
}

/// Lists with too many combinations, that have nearly all in common.
fn long_lists() -> Vec<Filter> {
    let models = [list([ORDINARY[OemModel as usize]]), names("m", 0, 63, 64)].concat();
    let filters = (0..300).map(|n| {
        let filter = Filter::default().with(OemModel, models.iter().cloned());
        filter.with(Dsn, names("AC000W", n, 256, 512))
    });
    known(Dsn, &matching(Dsn)).chain(filters).collect()
}

/// Items of two fields that all match, at so many nodes, with a third field that does not; and all items of the fields that are left.
fn two_fields(dsns: usize, properties: usize) -> Vec<Filter> {
    let all = [OemModel, OemId].into_iter();
    let mut filters: Vec<_> = all
        .flat_map(|f| known(f, &matching(f)).collect::<Vec<_>>())
        .collect();
    // Of one letter, so that they count as common and are filed last.
    let others = [
        (OemModel, "~*"),
        (OemModel, "!*"),
        (OemModel, "#*"),
        (OemId, "~*"),
        (OemId, "#*"),
    ];
    for of_dsn in matching(Dsn).chunks(dsns) {
        for of_property in matching(PropertyName).chunks(properties) {
            filters.extend(others.map(|(field, item)| {
                let filter = Filter::default().with(Dsn, of_dsn.iter().cloned());
                let filter = filter.with(PropertyName, of_property.iter().cloned());
                filter.with(field, list([item]))
            }));
        }
    }
    filters
}

/// Many items that do not match, at the node of each pair of two that do; and all that match of their field.
fn many_children() -> Vec<Filter> {
    let long = |field| {
        let all = matching(field).into_iter();
        all.filter(|item| item.as_str().trim_matches('*').len() > 2)
            .collect::<Vec<_>>()
    };
    let (models, properties) = (long(OemModel), long(PropertyName));
    let mut filters: Vec<_> = known(Dsn, &matching(Dsn)).collect();
    for model in &models {
        for property in properties.iter().take(60) {
            filters.extend((0..5).map(|n| {
                let filter = Filter::default().with(Dsn, names("AC000W9", 28 * n, 28, 140));
                let filter = filter.with(PropertyName, [property.clone()]);
                filter.with(OemModel, [model.clone()])
            }));
        }
    }
    filters
}

/// Lists of more items than are filed, at each node that a serial number gets to.
fn looked_in() -> Vec<Filter> {
    let dsns = matching(Dsn);
    let filters = (0..8_000).map(|n| {
        let filter = Filter::default().with(Dsn, [dsns[n % dsns.len()].clone()]);
        filter.with(PropertyName, names("p", n / dsns.len(), 33, 98))
    });
    known(PropertyName, &matching(PropertyName)[..15])
        .chain(filters)
        .collect()
}

/// Filters of three items that cost nothing.
fn three_items() -> Vec<Filter> {
    let (dsns, properties) = (matching(Dsn), matching(PropertyName));
    let filters = (0..8_000).map(|n| {
        let (dsn, rest) = (n % dsns.len(), n / dsns.len());
        let property = rest % properties.len();
        let model = ["~*", "#*", "!*"][rest / properties.len()];
        Filter::default()
            .with(Dsn, [dsns[dsn].clone()])
            .with(PropertyName, [properties[property].clone()])
            .with(OemModel, list([model]))
    });
    filters.collect()
}

/// Texts longer than any piece by which texts are filed, all of whose pieces stand in the event.
fn few_pieces() -> Vec<Filter> {
    let text = |length: usize, places: &[usize]| {
        let letters = (0..length).map(|at| if places.contains(&at) { 'b' } else { 'a' });
        format!("*{}*", letters.collect::<String>())
    };
    let texts = (33..=62).flat_map(|length| {
        (0..length).flat_map(move |a| {
            (a + 16..length).flat_map(move |b| {
                let three = (b + 16..length).map(move |c| text(length, &[a, b, c]));
                three.chain([text(length, &[a, b])])
            })
        })
    });
    let texts = list(texts);
    let of = |texts: &[Pattern]| Filter::default().with(PropertyName, texts.iter().cloned());
    texts.chunks(64).map(of).collect()
}

/// As many combinations as are free, at nodes that five filters share each.
fn combinations() -> Vec<Filter> {
    let filters = (0..8_000).map(|n| {
        Filter::default()
            .with(Dsn, names(&format!("d{}-", n / 5), 0, 5, 5))
            .with(PropertyName, names(&format!("p{}-", n % 5), 0, 25, 25))
            .with(OemId, list(["x"]))
    });
    filters.collect()
}

/// Long texts, each once.
fn items() -> Vec<Filter> {
    let filters = (0..3_000).map(|n| {
        let many = if n % 3 == 2 { 70 } else { 256 };
        let numbers = 256 * n..256 * n + many;
        Filter::default().with(Dsn, list(numbers.map(|number| format!("*{number:0>47}*"))))
    });
    filters.collect()
}
