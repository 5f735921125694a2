//! Identities that Kubernetes itself gives: service accounts that open streams and read metrics, and gateways that know each other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use datastream_e2e::{get, request};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::stack::{NAMESPACE, PATIENCE, Stack};
use super::{leds, subscription};

const ISSUER: &str = "https://kubernetes.default.svc";

/// The account `default` in these namespaces, which no controller of this cluster makes.
fn accounts(stack: &Stack) {
    for namespace in ["default", "kube-system"] {
        stack.kubectl(&["create", "serviceaccount", "default", "-n", namespace]);
    }
}

/// A token of the account `default` in this namespace, for this audience or else the API server.
fn token(stack: &Stack, namespace: &str, audience: Option<&str>) -> String {
    let audience = audience.map(|audience| format!("--audience={audience}"));
    let mut args = vec!["create", "token", "default", "-n", namespace];
    args.extend(audience.as_deref());
    stack.kubectl(&args).trim().to_owned()
}

/// The status of a request with this token.
fn status(address: &str, method: &str, path: &str, token: Option<&str>) -> u16 {
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let answer = request(address, method, path, &bearer.unwrap_or_default());
    answer.unwrap().0
}

/// Waits for this status.
async fn until(expected: u16, status: impl Fn() -> u16) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = status();
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found} instead of {expected}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Flags by which a gateway verifies tokens of service accounts: the URL of the API server's keys, its authority, and a token to read
/// them with.
fn token_flags(stack: &Stack, dir: &tempfile::TempDir) -> Vec<String> {
    let kubeconfig = stack.cluster.flat_kubeconfig().unwrap();
    let kubeconfig: Value = serde_json::from_str(&kubeconfig).unwrap();
    let cluster = &kubeconfig["clusters"][0]["cluster"];
    let authority: k8s_openapi::ByteString =
        serde_json::from_value(cluster["certificate-authority-data"].clone()).unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let bearer = stack.kubectl(&["create", "token", "datastream-gateway", "-n", NAMESPACE]);
    vec![
        format!("--token-issuer={ISSUER}"),
        "--token-audience=datastream".to_owned(),
        format!(
            "--token-keys={}/openid/v1/jwks",
            cluster["server"].as_str().unwrap()
        ),
        format!("--token-ca={}", file("ca.crt", &authority.0).display()),
        format!(
            "--token-bearer={}",
            file("token", bearer.as_bytes()).display()
        ),
        "--token-namespace-claim=/kubernetes.io/namespace".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_accounts_open_the_streams_of_their_namespace_and_labels_reach_the_gateways() {
    let mut stack = Stack::start().await;
    accounts(&stack);
    let dir = tempfile::tempdir().unwrap();
    let flags = token_flags(&stack, &dir);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let url = "default=ws://datastream.test/stream";
    let _operator = stack.operator_with("operator-0", url, &["--token-groups=default"]);
    let gateway = stack.gateway_with("gateway-0", &flags);
    let address = gateway.address("stream").unwrap().to_owned();
    stack.apply(&leds("A"));
    stack.wait_ready("leds");
    let ask = |token: &str| {
        status(
            &address,
            "GET",
            "/stream?subscription=default/leds",
            Some(token),
        )
    };
    let admin = gateway.address("admin").unwrap().to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, readiness) = get(&admin, "/readyz").unwrap();
        if readiness.contains(r#""keys":1"#) {
            break;
        }
        assert!(Instant::now() < deadline, "{readiness}");
    }
    until(200, || ask(&token(&stack, "default", Some("datastream")))).await;
    assert_eq!(ask(&token(&stack, "kube-system", Some("datastream"))), 403);
    assert_eq!(ask(&token(&stack, "default", None)), 401);

    // A label is no part of a generation, and reaches the gateways all the same.
    stack.kubectl(&["label", "dss", "leds", "app=lights"]);
    let routes = "go-template={{range .items}}{{range .data}}{{. | base64decode}}{{end}}{{end}}";
    let of_routes = [
        "get",
        "secrets",
        "-n",
        NAMESPACE,
        "-l",
        "datastream.dev/component=routes",
        "-o",
        routes,
    ];
    let routes = stack.eventually(&of_routes, |routes| {
        routes.contains(r#""labels":{"app":"lights"}"#)
    });
    assert!(routes.starts_with(r#"{"version":3,"#), "{routes}");
    stack.wait_ready("leds");

    // Where gateways ask for no certificates, a subscription that wants some is refused.
    let wants = json!({"eventTypes": ["datapoint"], "clientCertificate": {"names": ["a.example"]}});
    stack.apply(&subscription("bound", &wants));
    super::condition(&stack, "bound", "Accepted", "False Invalid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_know_each_other_by_a_certificate_and_metrics_are_for_those_who_may_read_them() {
    let mut stack = Stack::start().await;
    accounts(&stack);
    for account in ["datastream-operator", "datastream-gateway"] {
        let subject = format!("--serviceaccount={NAMESPACE}:{account}");
        let role = "--clusterrole=system:auth-delegator";
        let name = format!("reviews-of-{account}");
        stack.kubectl(&["create", "clusterrolebinding", &name, role, &subject]);
    }
    let (url, authorized) = (
        "default=ws://datastream.test/stream",
        "--metrics-authorization",
    );
    let operator = stack.operator_with("operator-0", url, &[authorized]);
    let gateway = stack.gateway_with("gateway-0", &[authorized]);
    let admin = gateway.address("admin").unwrap().to_owned();

    let peers = [
        "get",
        "secret",
        "datastream-default-peers",
        "-n",
        NAMESPACE,
        "-o",
        "jsonpath={.type}{.metadata.uid}",
    ];
    let first = stack.eventually(&peers, |secret| secret.starts_with("kubernetes.io/tls"));
    let tls = r"jsonpath={.metadata.annotations.datastream\.dev/peer-tls}";
    let lease = [
        "get",
        "lease",
        "datastream-gateway-gateway-0",
        "-n",
        NAMESPACE,
        "-o",
        tls,
    ];
    stack.eventually(&lease, |tls| tls == "true");
    let probe = "/streams/probe?subscription=default/leds";
    until(403, || status(&admin, "POST", probe, None)).await;
    stack.kubectl(&[
        "delete",
        "secret",
        "datastream-default-peers",
        "-n",
        NAMESPACE,
    ]);
    stack.eventually(&peers, |secret| {
        secret.starts_with("kubernetes.io/tls") && secret != first
    });

    let reader = token(&stack, "default", None);
    let (operator, gateway) = (operator.address("listen").unwrap().to_owned(), admin);
    for address in [&operator, &gateway] {
        assert_eq!(status(address, "GET", "/readyz", None), 200);
        assert_eq!(status(address, "GET", "/metrics", None), 401);
        assert_eq!(status(address, "GET", "/metrics", Some("nonsense")), 401);
        assert_eq!(status(address, "GET", "/metrics", Some(&reader)), 403);
    }
    assert_eq!(status(&gateway, "GET", "/routing", Some(&reader)), 403);
    stack.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "metrics-reader"}, "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
    }));
    let binding = [
        "create",
        "clusterrolebinding",
        "metrics-reader",
        "--clusterrole=metrics-reader",
        "--serviceaccount=kube-system:default",
    ];
    stack.kubectl(&binding);
    let reader = token(&stack, "kube-system", None);
    for address in [&operator, &gateway] {
        // A fresh token each time: the verdict on one stands for a minute.
        let fresh = || token(&stack, "kube-system", None);
        let may_read = || status(address, "GET", "/metrics", Some(&fresh()));
        until(200, may_read).await;
        assert_eq!(status(address, "GET", "/metrics", Some(&reader)), 200);
    }
    assert_eq!(status(&gateway, "GET", "/routing", Some(&reader)), 403);
}
