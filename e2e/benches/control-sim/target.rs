//! Paths and queries of requests to an API server.

use crate::selector::Selector;
use crate::store::Name;

/// The thing that a request is for.
#[derive(Debug)]
pub(crate) struct Target {
    /// The kind of the objects, in the plural.
    pub(crate) kind: String,
    /// Namespace and name; of all objects without a name, and of all namespaces if that of the namespace is empty.
    pub(crate) name: Name,
    pub(crate) is_status: bool,
}

impl Target {
    /// An object, not its status; all objects if the name is empty.
    pub(crate) fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            name: (namespace.to_owned(), name.to_owned()),
            is_status: false,
        }
    }

    /// Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let mut parts = path.trim_start_matches('/').split('/');
        match parts.next()? {
            "api" => parts.next(),
            "apis" => parts.nth(1),
            _ => None,
        }?;
        let parts: Vec<_> = parts.collect();
        let (namespace, rest) = match parts[..] {
            ["namespaces", namespace, ref rest @ ..] if !rest.is_empty() => (namespace, rest),
            ref rest => ("", rest),
        };
        let (kind, name, subresource) = match *rest {
            [kind] => (kind, "", None),
            [kind, name] => (kind, name, None),
            [kind, name, subresource] => (kind, name, Some(subresource)),
            _ => return None,
        };
        Some(Self {
            is_status: subresource == Some("status"),
            ..Self::new(kind, namespace, name)
        })
    }

    /// The resource, as rights name it.
    pub(crate) fn resource(&self) -> String {
        let subresource = if self.is_status { "/status" } else { "" };
        format!("{}{subresource}", self.kind)
    }
}

/// The parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) is_watch: bool,
    pub(crate) is_dry_run: bool,
    pub(crate) manager: Option<String>,
    pub(crate) limit: Option<usize>,
    /// The end of the page before, and the version of the first page.
    pub(crate) continued: Option<(u64, Name)>,
    pub(crate) version: u64,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) selector: Selector,
}

impl Query {
    pub(crate) fn of(text: &str, namespace: &str) -> Self {
        let mut query = Self::default();
        query.selector.namespace = Some(namespace.to_owned()).filter(|name| !name.is_empty());
        for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = decode(value);
            match name {
                "watch" => query.is_watch = value == "true",
                "dryRun" => query.is_dry_run = true,
                "fieldManager" => query.manager = Some(value),
                "limit" => query.limit = value.parse().ok(),
                "continue" => query.continued = read_token(&value),
                "resourceVersion" => query.version = value.parse().unwrap_or(0),
                "timeoutSeconds" => query.timeout_seconds = value.parse().ok(),
                "labelSelector" => query.selector = query.selector.with_labels(&value),
                "fieldSelector" => {
                    let name = value.strip_prefix("metadata.name=");
                    query.selector.name = name.map(str::to_owned);
                }
                _ => (),
            }
        }
        query
    }
}

/// The token by which a list continues.
pub(crate) fn token(version: u64, (namespace, name): &Name) -> String {
    format!("{version}/{namespace}/{name}")
}

fn read_token(text: &str) -> Option<(u64, Name)> {
    let mut parts = text.splitn(3, '/');
    let version = parts.next()?.parse().ok()?;
    Some((
        version,
        (parts.next()?.to_owned(), parts.next()?.to_owned()),
    ))
}

/// Decodes a value of a query; Kubernetes has nothing but ASCII in them.
fn decode(value: &str) -> String {
    let mut parts = value.split('%');
    let mut decoded = parts.next().unwrap_or_default().replace('+', " ");
    for part in parts {
        let (code, rest) = part.split_at(2);
        decoded.push(u8::from_str_radix(code, 16).unwrap().into());
        decoded.push_str(&rest.replace('+', " "));
    }
    decoded
}
