//! Values whose effect is easily got wrong, and what is right.

use std::process::Command;

use datastream_e2e::own_program;
use datastream_gateway::{MemoryBudget, TlsMemory};
use serde_json::{Value, json};

use super::sound::{objects, problems};
use super::{NAMESPACE, helm, succeeded};

/// The objects of a release of these values, beside the least that must be said.
struct Release(Vec<Value>);

impl Release {
    fn of(values: Value) -> Self {
        Self::named("datastream", values)
    }

    fn named(release: &str, mut values: Value) -> Self {
        values["image"] = json!({"registry": "registry.test"});
        if values["fluvio"].is_null() {
            values["fluvio"] = json!({"address": "fluvio:9003"});
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), values.to_string()).unwrap();
        let args = [
            "template",
            release,
            datastream_e2e::chart(),
            "--namespace",
            NAMESPACE,
            "--kube-version",
            "1.33.0",
            "--values",
            file.path().to_str().unwrap(),
        ];
        let text = succeeded(helm().run(&args).unwrap());
        assert_eq!(problems(&text), Vec::<String>::new(), "{text}");
        Self(objects(&text).unwrap())
    }

    fn every<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// The object of a kind whose name ends so.
    fn the(&self, kind: &str, name: &str) -> &Value {
        let ends = |object: &&Value| object["metadata"]["name"].as_str().unwrap().ends_with(name);
        let found: Vec<_> = self.every(kind).filter(ends).collect();
        assert_eq!(found.len(), 1, "{kind} {name}: {found:?}");
        found[0]
    }

    fn pod(&self, part: &str) -> &Value {
        &self.the("Deployment", part)["spec"]["template"]
    }

    fn container(&self, part: &str) -> &Value {
        &self.pod(part)["spec"]["containers"][0]
    }

    fn variable(&self, part: &str, name: &str) -> &Value {
        let variables = self.container(part)["env"].as_array().unwrap();
        let found: Vec<_> = variables.iter().filter(|v| v["name"] == name).collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        &found[0]["value"]
    }
}

fn collector() -> Value {
    json!({"enabled": true, "config": {"streams": [{"name": "a"}]}})
}

#[test]
fn names_that_look_like_numbers_or_booleans_stay_names() {
    for name in ["123", "true", "no", "on", "1e3", "0x1f", "1.5"] {
        let release = Release::named(name, json!({}));
        for object in &release.0 {
            let instance = &object["metadata"]["labels"]["app.kubernetes.io/instance"];
            assert_eq!(instance, name);
        }
        // Services' names begin with a letter and have no dots.
        for service in release.every("Service") {
            let name = service["metadata"]["name"].as_str().unwrap();
            assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
            assert!(!name.contains('.'), "{name}");
        }
    }
    for group in ["no", "on", "y", "123", "1e3", "null"] {
        let release = Release::of(json!({"gateways": {group: {}}}));
        let asks = release.the("Pod", "-test")["spec"]["containers"]
            .as_array()
            .unwrap();
        assert!(
            asks.iter().any(|container| container["name"] == group),
            "{asks:?}"
        );
    }
}

#[test]
fn specific_labels_and_annotations_override_common_ones() {
    let release = Release::of(json!({
        "commonLabels": {"team": "a"},
        "pod": {"labels": {"team": "b", "tier": "x"}, "annotations": {"kubectl.kubernetes.io/default-container": "istio"}},
        "operator": {"pod": {"labels": {"team": "c", "tier": null}}},
        "monitoring": {"dashboard": {"enabled": true, "labels": {"team": "d"}}},
    }));
    let labels = |object: &Value| object["metadata"]["labels"].clone();
    assert_eq!(labels(release.the("Deployment", "-operator"))["team"], "a");
    assert_eq!(labels(release.pod("-gateway"))["team"], "b");
    assert_eq!(labels(release.pod("-operator"))["team"], "c");
    assert_eq!(labels(release.the("ConfigMap", "-dashboard"))["team"], "d");
    assert_eq!(labels(release.pod("-gateway"))["tier"], "x");
    assert_eq!(labels(release.pod("-operator")).get("tier"), None);
    let container = "kubectl.kubernetes.io/default-container";
    assert_eq!(
        release.pod("-gateway")["metadata"]["annotations"][container],
        "istio"
    );
}

#[test]
fn a_component_log_filter_overrides_the_common_one() {
    let release = Release::of(json!({
        "log": {"filter": "info"},
        "gateway": {"pod": {"env": [{"name": "RUST_LOG", "value": "debug"}]}},
    }));
    assert_eq!(release.variable("-gateway", "RUST_LOG"), "debug");
    assert_eq!(release.variable("-operator", "RUST_LOG"), "info");
}

#[test]
fn an_empty_prometheus_list_renders_no_scrape_rule() {
    let release =
        Release::of(json!({"networkPolicy": {"prometheus": []}, "collector": collector()}));
    for part in ["-operator", "-collector"] {
        let spec = &release.the("NetworkPolicy", part)["spec"];
        assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(spec.get("ingress"), None);
    }
    let ingress = &release.the("NetworkPolicy", "-gateway")["spec"]["ingress"];
    let peers = ingress[1]["from"].as_array().unwrap();
    assert_eq!(peers.len(), 1, "{peers:?}");
    let component = "/podSelector/matchLabels/app.kubernetes.io~1component";
    assert_eq!(peers[0].pointer(component), Some(&json!("gateway")));
}

#[test]
fn network_policies_admit_only_the_sources_in_the_values() {
    let from = |values: Value| {
        let release = Release::of(values);
        let policy = release.the("NetworkPolicy", "-gateway");
        policy["spec"]["ingress"][0].get("from").cloned()
    };
    let within = json!({"namespaceSelector": {}});
    assert_eq!(from(json!({})).unwrap()[0], within);
    for outside in [
        json!({"gateway": {"ingress": {"enabled": true, "host": "h"}}}),
        json!({"gateway": {"streamUrl": "wss://h/stream"}}),
        json!({"gateway": {"service": {"type": "LoadBalancer"}}}),
    ] {
        assert_eq!(from(outside.clone()), None, "{outside}");
    }
    let nobody = from(json!({"gateway": {"networkPolicy": {"clients": []}}})).unwrap();
    assert_eq!(
        nobody.as_array().unwrap().len(),
        1,
        "`helm test` alone: {nobody}"
    );

    let to = |address: &str| {
        let release = Release::of(json!({"fluvio": {"address": address}}));
        let policy = release.the("NetworkPolicy", "-gateway");
        let egress = policy["spec"]["egress"].as_array().unwrap();
        let fluvio = |rule: &&Value| rule["ports"][1]["port"] == 9005;
        egress.iter().find(fluvio).unwrap().get("to").cloned()
    };
    let namespace = |name: &str| {
        Some(json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}]))
    };
    assert_eq!(to("fluvio-sc.fluvio.svc:9003"), namespace("fluvio"));
    assert_eq!(
        to("fluvio-sc.fluvio.svc.cluster.local:9003"),
        namespace("fluvio")
    );
    assert_eq!(to("fluvio:9003"), namespace(NAMESPACE));
    assert_eq!(to("fluvio.example.com:9003"), None);
    assert_eq!(to("10.0.0.1:9003"), None);
    assert_eq!(to("[fd00::1]:9003"), None);

    let open = |ports: Value| {
        let mut values = collector();
        values["networkPolicy"] = json!({"ports": ports});
        let release = Release::of(json!({"collector": values}));
        let egress = release.the("NetworkPolicy", "-collector")["spec"]["egress"].clone();
        egress.as_array().unwrap().len()
    };
    assert_eq!([open(json!([])), open(json!([443]))], [1, 2]);
}

#[test]
fn every_listener_gets_one_address_for_both_ip_families() {
    let addresses = |values: Value| {
        let release = Release::of(values);
        let args = release.container("-collector")["args"].clone();
        [
            release.variable("-gateway", "DATASTREAM_LISTEN").clone(),
            release.variable("-gateway", "DATASTREAM_ADMIN").clone(),
            release.variable("-operator", "DATASTREAM_LISTEN").clone(),
            args.as_array().unwrap().last().unwrap().clone(),
        ]
    };
    let both = ["[::]:8080", "[::]:9090", "[::]:8081", "[::]:9100"];
    assert_eq!(addresses(json!({"collector": collector()})), both);
    let four = [
        "0.0.0.0:8080",
        "0.0.0.0:9090",
        "0.0.0.0:8081",
        "0.0.0.0:9100",
    ];
    let values = json!({"listenAddress": "0.0.0.0", "collector": collector()});
    assert_eq!(addresses(values), four);
}

#[test]
fn gateway_memory_is_derived_from_its_limits() {
    let memory = |gateway: Value| {
        let release = Release::of(json!({"gateway": gateway}));
        let resources = release.container("-gateway")["resources"].clone();
        ["requests", "limits"].map(|part| resources[part]["memory"].clone())
    };
    // (64 + 64 + 10000 * 32 / 1024) and 1.25 * (that + 256 + 8 * 16 + 128 + 64).
    assert_eq!(memory(json!({})), ["441Mi", "1271Mi"]);
    assert_eq!(memory(json!({"maxStreams": 20000})), ["753Mi", "1662Mi"]);
    assert_eq!(
        memory(json!({"maxStreams": 1, "ringMiB": 1, "sendMemoryMiB": 2, "replays": 1})),
        ["66Mi", "344Mi"]
    );
    assert_eq!(
        memory(json!({"ringMiB": 1024, "replays": 16, "sendMemoryMiB": 512})),
        ["1401Mi", "2951Mi"]
    );
    // What is said counts, null is none.
    let said = json!({"resources": {"limits": {"memory": "2Gi"}, "requests": {"memory": null}}});
    assert_eq!(memory(said), [Value::Null, json!("2Gi")]);
    assert_eq!(
        memory(json!({"resources": null})),
        [Value::Null, Value::Null]
    );
    // A group has its own.
    let release = Release::of(json!({"gateways": {"eu": {"maxStreams": 20000}}}));
    assert_eq!(
        release.container("-gateway-eu")["resources"]["limits"]["memory"],
        "1662Mi"
    );
    assert_eq!(
        release.container("-gateway")["resources"]["limits"]["memory"],
        "1271Mi"
    );
}

#[test]
fn the_chart_gives_gateways_the_memory_that_they_say_they_need() {
    let tls = [
        (json!({}), TlsMemory::Plain),
        (json!({"secretName": "tls"}), TlsMemory::Tls),
        (
            json!({"secretName": "tls", "clientAuthority": {"secretName": "ca"}}),
            TlsMemory::ClientCertificates,
        ),
    ];
    for (said, tls) in tls {
        for (max_streams, ring, send, replays) in
            [(1, 1, 2, 1), (7_777, 64, 256, 8), (18_001, 100, 512, 3)]
        {
            let gateway = json!({
                "tls": said, "maxStreams": max_streams, "ringMiB": ring, "sendMemoryMiB": send, "replays": replays,
            });
            let release = Release::of(json!({ "gateway": gateway }));
            let budget = MemoryBudget {
                max_streams,
                tls,
                ring_bytes: ring << 20,
                send_memory: send << 20,
                replays,
            };
            let mib = |bytes: usize| json!(format!("{}Mi", bytes.div_ceil(1 << 20)));
            let resources = &release.container("-gateway")["resources"];
            assert_eq!(
                resources["requests"]["memory"],
                mib(budget.held()),
                "{gateway}"
            );
            assert_eq!(
                resources["limits"]["memory"],
                mib(budget.limit()),
                "{gateway}"
            );
        }
    }
}

#[test]
fn values_that_datastream_size_prints_give_pods_what_it_says() {
    for subscriptions in ["8000", "100000"] {
        let mut size = Command::new(own_program("datastream").unwrap());
        size.args(["size", "--streams=8000", "--rate=1000", "--fanout=100"]);
        size.args(["--output=json", "--subscriptions", subscriptions]);
        let output = size.output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let values = serde_saphyr::from_str(answer["values"].as_str().unwrap()).unwrap();
        let release = Release::of(values);
        let deployment = release.the("Deployment", "-gateway");
        assert_eq!(deployment["spec"]["replicas"], answer["pods"]);
        let resources = &release.container("-gateway")["resources"];
        let said = |key: &str, unit: &str| json!(format!("{}{unit}", answer[key]));
        let (requests, limits) = (&resources["requests"], &resources["limits"]);
        assert_eq!(requests["cpu"], said("cpuRequest", "m"));
        assert_eq!(requests["memory"], said("memoryRequestMib", "Mi"));
        assert_eq!(limits["memory"], said("memoryLimitMib", "Mi"));
        for (variable, key) in [
            ("DATASTREAM_MAX_STREAMS", "maxStreams"),
            ("TOKIO_WORKER_THREADS", "coresPerPod"),
        ] {
            assert_eq!(*release.variable("-gateway", variable), said(key, ""));
        }
    }
}

#[test]
fn the_autoscaling_target_is_derived_from_max_streams() {
    let target = |gateway: Value| {
        let mut gateway = gateway;
        gateway["autoscaling"]["enabled"] = json!(true);
        let release = Release::of(json!({"gateway": gateway}));
        let metrics = release.the("HorizontalPodAutoscaler", "-gateway")["spec"]["metrics"].clone();
        metrics[1]["pods"]["target"]["averageValue"].clone()
    };
    assert_eq!(target(json!({})), "4000");
    assert_eq!(target(json!({"maxStreams": 2000})), "800");
    assert_eq!(
        target(json!({"autoscaling": {"targetStreams": 9000}})),
        "9000"
    );
    assert_eq!(
        target(json!({"autoscaling": {"targetStreams": 0}})),
        Value::Null
    );
}

#[test]
fn null_user_and_group_ids_are_left_to_the_cluster() {
    let none = json!({"runAsUser": null, "runAsGroup": null, "fsGroup": null});
    let restricted = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    let release = Release::of(json!({"pod": {"securityContext": none}, "collector": collector()}));
    for part in ["-operator", "-gateway", "-collector"] {
        assert_eq!(release.pod(part)["spec"]["securityContext"], restricted);
    }
    assert_eq!(
        release.the("Pod", "-test")["spec"]["securityContext"],
        restricted
    );

    let release = Release::of(json!({"gateway": {"pod": {"securityContext": none}}}));
    assert_eq!(
        release.pod("-gateway")["spec"]["securityContext"],
        restricted
    );
    assert_eq!(
        release.pod("-operator")["spec"]["securityContext"]["runAsUser"],
        65532
    );
}

#[test]
fn with_a_separate_routes_namespace_gateways_have_no_rights_in_the_release_namespace() {
    let release = Release::of(json!({"routes": {"namespace": "datastream-routes"}}));
    for part in ["-operator", "-gateway"] {
        assert_eq!(
            release.variable(part, "DATASTREAM_ROUTES_NAMESPACE"),
            "datastream-routes"
        );
    }
    for kind in ["Role", "RoleBinding"] {
        let within = release.every(kind).map(|object| {
            let metadata = &object["metadata"];
            let text = |field: &str| metadata[field].as_str().unwrap();
            format!("{}/{}", text("namespace"), text("name"))
        });
        let mut within: Vec<_> = within.collect();
        within.sort();
        let expected = [
            "datastream-routes/datastream-gateway",
            "datastream-routes/datastream-operator-routes",
            "datastream-system/datastream-operator-leader",
        ];
        assert_eq!(within, expected);
    }
    for binding in release.every("RoleBinding") {
        assert_eq!(binding["subjects"][0]["namespace"], NAMESPACE);
    }
}

#[test]
fn an_operator_of_watched_namespaces_has_rights_only_there() {
    let values = json!({"operator": {"watchNamespaces": ["team-a", "123"]}, "rbac": {"deleteSecrets": true}});
    let release = Release::of(values);
    assert_eq!(
        release.variable("-operator", "DATASTREAM_WATCH_NAMESPACES"),
        "team-a,123"
    );
    let rules = |release: &Release| release.the("ClusterRole", "-operator")["rules"].clone();
    let of_access = json!([
        {"apiGroups": ["datastream.dev"], "resources": ["datastreamaccessrules"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
    ]);
    let gets = json!({"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["team-a", "123"], "verbs": ["get"]});
    let found = rules(&release);
    let (first, last) = found.as_array().unwrap().split_at(2);
    assert_eq!((json!(first), last), (of_access, &[gets][..]));
    let without_access =
        json!({"rbac": {"deleteSecrets": true}, "operator": {"accessRules": {"mode": "off"}}});
    let rules = rules(&Release::of(without_access));
    let roles = release.every("Role").filter(|role| role["rules"] == rules);
    let within: Vec<_> = roles
        .map(|role| role["metadata"]["namespace"].clone())
        .collect();
    assert_eq!(within, ["team-a", "123"]);
    let bound = release
        .every("RoleBinding")
        .filter(|binding| binding["roleRef"]["name"] == "datastream-operator");
    let bound: Vec<_> = bound
        .map(|binding| binding["metadata"]["namespace"].clone())
        .collect();
    assert_eq!(bound, ["team-a", "123"]);
}

#[test]
fn teams_may_view_or_edit_subscriptions_only_if_the_values_grant_it() {
    let aggregated = |rbac: Value| {
        let release = Release::of(json!({"rbac": rbac}));
        ["datastream-view", "datastream-edit"].map(|name| {
            let labels = &release.the("ClusterRole", name)["metadata"]["labels"];
            labels
                .get("rbac.authorization.k8s.io/aggregate-to-edit")
                .is_some()
        })
    };
    assert_eq!(aggregated(json!({})), [true, false]);
    assert_eq!(aggregated(json!({"aggregateToEdit": true})), [true, true]);
    assert_eq!(
        aggregated(json!({"aggregateToView": false})),
        [false, false]
    );
    // Access rules are for whoever runs the cluster.
    let release = Release::of(json!({}));
    for name in ["datastream-view", "datastream-edit"] {
        let rules = &release.the("ClusterRole", name)["rules"];
        assert!(!rules.to_string().contains("accessrules"), "{rules}");
    }
}

#[test]
fn the_operator_may_delete_secrets_only_if_the_values_grant_it() {
    let may = |rbac: Value| {
        let release = Release::of(json!({"rbac": rbac}));
        let rules = release.the("ClusterRole", "-operator")["rules"].clone();
        let rules = rules.as_array().unwrap();
        rules.contains(&json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["delete"]}))
    };
    assert_eq!(
        [may(json!({})), may(json!({"deleteSecrets": true}))],
        [false, true]
    );
}

#[test]
fn alerts_link_to_runbooks_only_if_a_url_is_set() {
    let release = Release::of(json!({"monitoring": {"prometheusRule": {"enabled": true}}}));
    let rules = release.the("PrometheusRule", "datastream").to_string();
    assert!(
        rules.contains("DatastreamSourceLag") && !rules.contains("runbook_url"),
        "{rules}"
    );
}

#[test]
fn an_ingress_that_supports_it_does_not_log_keys() {
    let release = Release::of(json!({"gateway": {"ingress": {"enabled": true, "host": "h"}}}));
    let annotations = &release.the("Ingress", "-gateway")["metadata"]["annotations"];
    assert_eq!(
        annotations["nginx.ingress.kubernetes.io/enable-access-log"],
        "false"
    );
}
