//! The API server's own count of the requests that it has had.

/// Requests that changed something, without the Leases and the ConfigMap by which gateways and operator say that they live, and
/// without the questions that are asked as writes.
pub(crate) fn writes(metrics: &str) -> f64 {
    let is_write = |line: &&str| {
        line.starts_with("apiserver_request_total{")
            && ["POST", "PUT", "PATCH", "APPLY", "DELETE"]
                .iter()
                .any(|verb| line.contains(&format!(r#"verb="{verb}""#)))
            && !line.contains(r#"resource="leases""#)
            && !line.contains(r#"resource="configmaps""#)
            && !line.contains(r#"group="authorization.k8s.io""#)
            && !line.contains(r#"group="authentication.k8s.io""#)
            && !line.contains(r#"subresource="token""#)
    };
    let count = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    metrics.lines().filter(is_write).filter_map(count).sum()
}
