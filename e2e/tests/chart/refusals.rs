//! Wrong values are refused, and the message says where.

use datastream_e2e::chart;

use super::{NAMESPACE, helm, refused};

/// What is set, and what the schema says to it.
const BY_SCHEMA: [(&str, &str); 17] = [
    (
        "gatewy.replicas=2",
        "at '': additional properties 'gatewy' not allowed",
    ),
    (
        "gateway.replicsa=2",
        "at '/gateway': additional properties 'replicsa' not allowed",
    ),
    (
        "gateway.replicas=two",
        "at '/gateway/replicas': got string, want integer",
    ),
    (
        "gateways.eu.replicsa=2",
        "at '/gateways/eu': additional properties 'replicsa' not allowed",
    ),
    (
        "gateways.EU.replicas=2",
        "at '/gateways': additional properties 'EU' not allowed",
    ),
    (
        "gateway.ingress.controller=caddy",
        "at '/gateway/ingress/controller': value must be one of",
    ),
    (
        "gateway.ingress.timeoutSeconds=60",
        "at '/gateway/ingress/timeoutSeconds': minimum: got 60, want 301",
    ),
    (
        "gateway.ingress.path=/events",
        "at '/gateway/ingress/path': value must be one of",
    ),
    (
        "gateway.streamUrl=https://h/stream",
        "at '/gateway/streamUrl': 'https://h/stream' does not match pattern",
    ),
    (
        "gateway.resources.request.cpu=1",
        "at '/gateway/resources': additional properties 'request' not allowed",
    ),
    (
        "fluvio.address=fluvio",
        "at '/fluvio/address': 'fluvio' does not match pattern",
    ),
    (
        "crds.keep=maybe",
        "at '/crds/keep': got string, want boolean",
    ),
    (
        "operator.image.digest=sha256:1",
        "at '/operator/image/digest': 'sha256:1' does not match pattern",
    ),
    (
        "collector.secrets[0]=A_B",
        "at '/collector/secrets/0': 'A_B' does not match pattern",
    ),
    (
        "networkPolicy.fluvioPorts[0]=70000",
        "at '/networkPolicy/fluvioPorts/0': maximum: got 70,000, want 65,535",
    ),
    (
        "monitoring.podMonitor.interval=often",
        "at '/monitoring/podMonitor/interval': 'often' does not match pattern",
    ),
    (
        "log.format=xml",
        "at '/log/format': value must be one of 'json', 'text'",
    ),
];

/// What is set beside `fluvio.address`, and what the chart says to it.
const BY_THE_CHART: [(&str, &str); 11] = [
    (
        "fluvio.address=",
        "fluvio.address: say where Fluvio is, as in --set fluvio.address=",
    ),
    (
        "gateway.ingress.enabled=true",
        "gateways.default.ingress.host: an Ingress needs the host",
    ),
    (
        "gateway.httpRoute.enabled=true",
        "gateways.default.httpRoute.host: an HTTPRoute needs the host",
    ),
    (
        "gateway.httpRoute.enabled=true,gateway.httpRoute.host=h",
        "gateways.default.httpRoute.parentRefs: an HTTPRoute needs the Gateways",
    ),
    (
        "gateway.certificate.enabled=true",
        "gateways.default.certificate: a certificate is for an Ingress with TLS",
    ),
    (
        "gateway.certificate.enabled=true,gateway.ingress.enabled=true,gateway.ingress.host=h",
        "gateways.default.certificate.issuerRef.name: say who issues",
    ),
    (
        "gateways.eu.autoscaling.enabled=true,gateways.eu.autoscaling.minReplicas=20",
        "gateways.eu.autoscaling: minReplicas is greater",
    ),
    (
        "gateway.ingress.enabled=true,gateway.ingress.host=h,gateways.eu.replicas=1",
        "gateways.eu.ingress.host: h is the host of group default, too",
    ),
    (
        "gateway.enabled=false",
        "gateways: the operator needs at least one group",
    ),
    (
        "monitoring.podMonitor.enabled=true,monitoring.serviceMonitor.enabled=true",
        "monitoring: podMonitor and serviceMonitor would scrape",
    ),
    (
        "collector.enabled=true",
        "collector.config.streams: say what to collect",
    ),
];

fn set(values: &str) -> datastream_e2e::Output {
    let args = ["--set", "fluvio.address=h:9003", "--set", values];
    helm().template(NAMESPACE, &args).unwrap()
}

#[test]
fn typos_and_wrong_types_are_refused_with_their_path() {
    for (values, expected) in BY_SCHEMA {
        let output = set(values);
        let found = output.stderr.lines().any(|line| line.contains(expected));
        assert!(!output.success && found, "{values}: {}", output.stderr);
    }
}

#[test]
fn values_that_do_not_fit_together_are_refused_in_one_line() {
    for (values, expected) in BY_THE_CHART {
        let line = refused(&set(values));
        assert!(line.contains(expected), "{values}: {line}");
    }
    let name = "a-name-that-is-rather-long-for-what-it-is";
    let group = "and-a-group-with-a-long-name-too";
    let line = refused(&set(&format!(
        "fullnameOverride={name},gateways.{group}.replicas=1"
    )));
    assert!(
        line.contains("longer than 63 characters: set a shorter fullnameOverride"),
        "{line}"
    );
}

#[test]
fn a_cluster_that_is_too_old_is_refused() {
    let args = [
        "template",
        "datastream",
        chart(),
        "--kube-version",
        "1.28.0",
        "--set",
        "fluvio.address=h:9003",
    ];
    let line = refused(&helm().run(&args).unwrap());
    assert!(line.contains("requires kubeVersion: >=1.29.0-0"), "{line}");
}
