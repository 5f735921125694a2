//! Wrong values are refused, and the message says where.

use datastream_e2e::chart;

use super::{NAMESPACE, helm, refused};

/// Settings, and what the schema says to them.
const BY_SCHEMA: [(&str, &str); 32] = [
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
        "gateway.tls.enabled=true",
        "at '/gateway/tls': additional properties 'enabled' not allowed",
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
        "operator.watchNamespaces[0]=Team_A",
        "at '/operator/watchNamespaces/0': 'Team_A' does not match pattern",
    ),
    (
        "operator.watchNamespaces=team-a",
        "at '/operator/watchNamespaces': got string, want array",
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
        "monitoring.prometheusRule.runbookUrl=https://h/\u{9b}",
        "at '/monitoring/prometheusRule/runbookUrl': 'https://h/",
    ),
    (
        "log.format=xml",
        "at '/log/format': value must be one of 'json', 'text'",
    ),
    (
        "log.filter=info fluvio=warn",
        "at '/log/filter': 'info fluvio=warn' does not match pattern",
    ),
    (
        "log.filter=fluvio=loud",
        "at '/log/filter': 'fluvio=loud' does not match pattern",
    ),
    (
        "commonLabels.team=a b",
        "at '/commonLabels/team': 'a b' does not match pattern",
    ),
    (
        "gateway.replicas=null",
        "at '/gateway': missing property 'replicas'",
    ),
    ("pod=null", "at '': missing property 'pod'"),
    (
        "networkPolicy.prometheus=null",
        "at '/networkPolicy': missing property 'prometheus'",
    ),
    (
        "gateways.eu.ingress=null",
        "at '/gateways/eu/ingress': got null, want object",
    ),
    (
        "listenAddress=::",
        "at '/listenAddress': '::' does not match pattern",
    ),
    (
        "collector.persistence.size=10K",
        "at '/collector/persistence/size': '10K' does not match pattern",
    ),
    (
        "gateway.maxFrameKiB=20000",
        "at '/gateway/maxFrameKiB': maximum: got 20,000, want 16,384",
    ),
    (
        "gateway.httpRoute.parentRefs[0].nam=g",
        "at '/gateway/httpRoute/parentRefs/0'",
    ),
];

/// Settings beside `fluvio.address`, and what the chart says to them.
const BY_THE_CHART: [(&str, &str); 37] = [
    (
        "gateway.limits.events.namespace=99",
        "gateways.default.limits.events.namespace: 99 a second is too little",
    ),
    (
        "gateway.proxies.protocol=true",
        "gateways.default.proxies.trusted: say which proxies speak",
    ),
    (
        "fluvio.tls.serverName=fluvio.test",
        "gateways.default.fluvio.tls.secretName: serverName is for TLS",
    ),
    (
        "gateway.tls.secretName=a,gateway.streamUrl=ws://h/stream",
        "gateways.default.streamUrl: gateways with tls.secretName speak nothing but TLS",
    ),
    (
        "fluvio.tls.clientCertificate=true",
        "gateways.default.fluvio.tls.secretName: say which Secret has the client certificate",
    ),
    (
        "gateway.tls.secretName=a,gateway.tls.authorityKey=",
        "gateways.default.tls.authorityKey: `helm test` asks by the name of the Service",
    ),
    (
        "gateway.streamUrl=wss://h/stream,gateways.eu.replicas=1",
        "gateways.eu.streamUrl: clients of group default connect at wss://h/stream, too",
    ),
    (
        "gateway.tls.clientAuthority.secretName=a",
        "gateways.default.tls.secretName: certificates of clients are for gateways with TLS",
    ),
    (
        "gateway.tokens.issuer=https://id.example.com,gateway.tokens.audience=",
        "gateways.default.tokens.audience: say for which audience",
    ),
    (
        "gateway.tokens.serviceAccounts=true",
        "gateways.default.tokens.issuer: say what the cluster calls itself",
    ),
    (
        "gateway.tokens.serviceAccounts=true,gateway.tokens.issuer=https://a,gateway.tokens.keysUrl=https://a/keys",
        "gateways.default.tokens.serviceAccounts: keysUrl, authority and namespaceClaim are those of the cluster",
    ),
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
    (
        "image.registry=null",
        "image.registry: say where the images are: build them with `IMAGE_REGISTRY=",
    ),
    (
        "enabled=false",
        "enabled: it is for a chart that has this one as a dependency",
    ),
    (
        "commonLabels.app\\.kubernetes\\.io/name=mine",
        "commonLabels: app.kubernetes.io/name is a label of the chart's own",
    ),
    (
        "gateways.default.pod.labels.app\\.kubernetes\\.io/component=mine",
        "gateways.default.pod.labels: app.kubernetes.io/component is a label of the chart's own",
    ),
    (
        "operator.pod.labels.app\\.kubernetes\\.io/instance=mine",
        "operator.pod.labels: app.kubernetes.io/instance is a label of the chart's own",
    ),
    (
        "monitoring.dashboard.labels.helm\\.sh/chart=mine",
        "monitoring.dashboard.labels: helm.sh/chart is a label of the chart's own",
    ),
    (
        "pod.env[0].name=DATASTREAM_LISTEN,pod.env[0].value=x",
        "pod.env: DATASTREAM_LISTEN is written by the chart: set the value that it comes from",
    ),
    (
        "gateway.pod.env[0].name=TZ,gateway.pod.env[1].name=TZ",
        "gateway.pod.env: TZ is there twice",
    ),
    (
        "gateway.autoscaling.enabled=true,gateway.autoscaling.targetStreams=8000,gateway.maxStreams=5000",
        "gateways.default.autoscaling.targetStreams: 8000 is more than maxStreams lets in (5000)",
    ),
    (
        "operator.serviceAccount.name=a,gatewayServiceAccount.name=a",
        "gatewayServiceAccount.name: a is the name of operator.serviceAccount, too",
    ),
    (
        "gateway.maxFrameKiB=2048,gateway.sendMemoryMiB=1",
        "gateways.default.sendMemoryMiB: 1 MiB do not hold two frames of maxFrameKiB (2048)",
    ),
    (
        "gateway.resources.limits.memory=1016Mi",
        "gateways.default.resources.limits.memory: 1016Mi is less than the 1017Mi that ringMiB (64), maxStreams (10000), sendMemoryMiB (256) and replays (8) need",
    ),
    (
        "gateways.eu.resources.limits.memory=1066401791,gateways.eu.replicas=1",
        "gateways.eu.resources.limits.memory: 1016Mi is less than the 1017Mi that",
    ),
    (
        "gateway.resources.limits.memory=1.5Gi,gateway.maxStreams=50000",
        "gateways.default.resources.limits.memory: 1536Mi is less than the 2267Mi that",
    ),
    (
        "monitoring.prometheusRule.disabled={DatastreamLatency,DatastreamLatencies}",
        "monitoring.prometheusRule.disabled: there is no alert \"DatastreamLatencies\", only DatastreamSourceDisconnected, ",
    ),
];

fn set(values: &str) -> datastream_e2e::Output {
    let least = "image.registry=registry.test,fluvio.address=h:9003";
    let args = ["--set", least, "--set", values];
    helm().template(NAMESPACE, &args).unwrap()
}

#[test]
fn unknown_values_and_wrong_types_are_rejected_with_their_path() {
    for (values, expected) in BY_SCHEMA {
        let output = set(values);
        let found = output.stderr.lines().any(|line| line.contains(expected));
        assert!(!output.success && found, "{values}: {}", output.stderr);
    }
}

#[test]
fn contradictory_values_are_rejected_in_one_line() {
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

/// Nobody means that gateways would reach no event.
#[test]
fn empty_peer_lists_for_fluvio_api_server_and_dns_are_rejected() {
    for part in ["fluvio", "apiServer", "dns"] {
        let nowhere = format!("networkPolicy.{part}=[]");
        let args = ["--set-json", &nowhere];
        let output = helm().template(NAMESPACE, &args).unwrap();
        let expected = format!("at '/networkPolicy/{part}': minItems: got 0, want 1");
        assert!(output.stderr.contains(&expected), "{}", output.stderr);
    }
}

#[test]
fn a_kubernetes_version_that_is_too_old_is_rejected() {
    let args = [
        "template",
        "datastream",
        chart(),
        "--kube-version",
        "1.28.0",
        "--set",
        "fluvio.address=h:9003,image.registry=registry.test",
    ];
    let line = refused(&helm().run(&args).unwrap());
    assert!(line.contains("requires kubeVersion: >=1.29.0-0"), "{line}");
}
