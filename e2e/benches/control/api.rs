//! The API server's own count of the requests that it has had.

use std::collections::BTreeMap;

/// Requests that change something, by what they do: `POST secrets`, `APPLY datastreamsubscriptions/status`.
#[derive(PartialEq)]
pub(crate) struct Writes(BTreeMap<String, u64>);

impl Writes {
    /// Those that the metrics count, without the Leases and the ConfigMap by which gateways and operator say that they live, without the
    /// questions that are asked as writes, and without dry runs.
    pub(crate) fn of(metrics: &str) -> Self {
        let mut writes = BTreeMap::new();
        let lines = metrics.lines();
        for line in lines.filter(|line| line.starts_with("apiserver_request_total{")) {
            let label = |name: &str| {
                let (_, rest) = line.split_once(&format!(",{name}=\""))?;
                rest.split_once('"').map(|(value, _)| value)
            };
            let [verb, resource, subresource, group, dry_run] =
                ["verb", "resource", "subresource", "group", "dry_run"]
                    .map(|name| label(name).unwrap_or_default());
            if !["POST", "PUT", "PATCH", "APPLY", "DELETE"].contains(&verb)
                || ["leases", "configmaps"].contains(&resource)
                || ["authorization.k8s.io", "authentication.k8s.io"].contains(&group)
                || subresource == "token"
                || !dry_run.is_empty()
            {
                continue;
            }
            let what = match subresource {
                "" => format!("{verb} {resource}"),
                subresource => format!("{verb} {resource}/{subresource}"),
            };
            let count = line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok());
            *writes.entry(what).or_default() += count.unwrap_or_default() as u64;
        }
        Self(writes)
    }

    /// Those since then.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let more = self.0.iter().map(|(what, count)| {
            let before = before.0.get(what).copied().unwrap_or_default();
            (what.clone(), count - before)
        });
        Self(more.filter(|(_, count)| *count > 0).collect())
    }

    /// The number of them.
    pub(crate) fn all(&self) -> f64 {
        self.0.values().sum::<u64>() as f64
    }

    /// Prints what there are.
    #[allow(clippy::print_stdout)]
    pub(crate) fn print(&self) {
        for (what, count) in &self.0 {
            println!("  {count:>8} {what}");
        }
    }
}
