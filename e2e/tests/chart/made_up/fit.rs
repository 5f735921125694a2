//! Makes values fit together as the chart's guards want it, so that most of what is made up is rendered.

use serde_json::{Map, Value, json};

/// The object at a key, made if it is missing.
fn part<'a>(values: &'a mut Value, key: &str) -> &'a mut Value {
    if !values.is_object() {
        *values = json!({});
    }
    values
        .as_object_mut()
        .unwrap()
        .entry(key)
        .and_modify(|value| {
            if !value.is_object() {
                *value = json!({});
            }
        })
        .or_insert_with(|| Value::Object(Map::new()))
}

fn set_if_missing(values: &mut Value, key: &str, value: Value) {
    let is_there = values[key].as_str().is_some_and(|text| !text.is_empty());
    if !is_there {
        values[key] = value;
    }
}

/// Changes what guards would refuse.
pub(super) fn together(values: &mut Value) {
    values["enabled"] = json!(true);
    set_if_missing(part(values, "image"), "registry", json!("registry.test"));
    set_if_missing(part(values, "fluvio"), "address", json!("fluvio:9003"));
    let of_fluvio = part(part(values, "fluvio"), "tls");
    if of_fluvio["clientCertificate"] == true || of_fluvio["serverName"] != Value::Null {
        set_if_missing(of_fluvio, "secretName", json!("0x0"));
    }
    let monitoring = part(values, "monitoring");
    if part(monitoring, "podMonitor")["enabled"] == true {
        part(monitoring, "serviceMonitor")["enabled"] = json!(false);
    }
    let config = part(part(values, "collector"), "config");
    if config["streams"].as_array().is_none_or(Vec::is_empty) {
        config["streams"] = json!([{"name": "1e3"}]);
    }
    let gateway = part(values, "gateway").clone();
    let groups = part(values, "gateways");
    // The operator needs one.
    part(groups, "default")["enabled"] = json!(true);
    for (group, own) in groups.as_object_mut().unwrap() {
        let says = |own: &Value, path: &str| {
            let own = own.pointer(path).filter(|value| !value.is_null());
            own.or_else(|| gateway.pointer(path)).cloned()
        };
        let number = |own: &Value, path: &str, default: u64| {
            says(own, path).and_then(|v| v.as_u64()).unwrap_or(default)
        };
        for publishes in ["ingress", "httpRoute"] {
            // Each has a host of its own, some of which look like something else.
            part(own, publishes)["host"] = json!(group);
        }
        if says(own, "/httpRoute/parentRefs").is_none_or(|refs| refs == json!([])) {
            own["httpRoute"]["parentRefs"] = json!([{"name": "no"}]);
        }
        let tls = says(own, "/ingress/tls/enabled") != Some(json!(false));
        if says(own, "/ingress/enabled") != Some(json!(true)) || !tls {
            part(own, "certificate")["enabled"] = json!(false);
        }
        set_if_missing(
            part(part(own, "certificate"), "issuerRef"),
            "name",
            json!("123"),
        );
        let least = number(own, "/autoscaling/minReplicas", 2);
        let most = number(own, "/autoscaling/maxReplicas", 10);
        let streams = number(own, "/maxStreams", 10_000);
        let target = number(own, "/autoscaling/targetStreams", 1);
        let autoscaling = part(own, "autoscaling");
        autoscaling["maxReplicas"] = json!(most.max(least));
        autoscaling["targetStreams"] = json!(target.clamp(1, streams));
        let frame = number(own, "/maxFrameKiB", 1024);
        let memory = number(own, "/sendMemoryMiB", 256);
        own["sendMemoryMiB"] = json!(memory.max((2 * frame).div_ceil(1024)));
        if own["fluvio"]["address"] == "" {
            own["fluvio"]["address"] = json!("fluvio:9003");
        }
        let is_given = |own: &Value, path: &str| {
            says(own, path).is_some_and(|value| value != "" && value != json!(false))
        };
        // What all groups share has a Secret, unless the group says that it has none.
        if says(own, "/fluvio/tls/secretName") == Some(json!("")) {
            own["fluvio"]["tls"]["secretName"] = json!("0x1");
        }
        if is_given(own, "/proxies/protocol") {
            own["proxies"] = json!({"protocol": true, "trusted": ["10.0.0.0/8"]});
        }
        if is_given(own, "/tls/clientAuthority/secretName") {
            set_if_missing(part(own, "tls"), "secretName", json!("0x2"));
        }
        if is_given(own, "/tokens/serviceAccounts") || is_given(own, "/tokens/issuer") {
            let tokens = part(own, "tokens");
            set_if_missing(tokens, "issuer", json!("https://issuer.test"));
            set_if_missing(tokens, "audience", json!("streams"));
        }
    }
}
