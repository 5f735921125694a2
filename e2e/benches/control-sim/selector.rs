//! Selection of objects by namespace, labels and name.

use crate::store::Object;

/// Selects objects of a list or a watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    labels: Vec<(String, Vec<String>)>,
}

impl Selector {
    /// Adds a selector of labels: `a=b` and `a in (b,c)`, with commas between them. Others are not known.
    pub(crate) fn with_labels(mut self, text: &str) -> Self {
        let mut rest = text;
        while !rest.is_empty() {
            let end = match (rest.find('('), rest.find(',')) {
                (Some(open), Some(comma)) if open < comma => rest.find(')').map(|at| at + 1),
                (_, comma) => comma,
            };
            let (one, more) = rest.split_at(end.unwrap_or(rest.len()));
            rest = more.trim_start_matches(',');
            let (label, values) = match one.split_once(" in (") {
                Some((label, values)) => (label, values.trim_end_matches(')')),
                None => one.split_once('=').unwrap(),
            };
            let values = values.split(',').map(|value| value.trim().to_owned());
            self.labels.push((label.to_owned(), values.collect()));
        }
        self
    }

    pub(crate) fn matches(&self, object: &Object) -> bool {
        let (namespace, name) = &object.name;
        let is = |wanted: &Option<String>, found| wanted.as_ref().is_none_or(|w| w == found);
        let has = |(label, values): &(String, Vec<String>)| {
            let value = object.labels.get(label);
            value.is_some_and(|value| values.contains(value))
        };
        is(&self.namespace, namespace) && is(&self.name, name) && self.labels.iter().all(has)
    }
}
