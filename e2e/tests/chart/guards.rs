//! Clusters on which the chart cannot be installed: the error for each is one line.

use datastream_e2e::{ControlPlane, Helm, Output, chart};

use super::{chart_file, helm_on, refused, succeeded};

const NAMESPACE: &str = "chart-guards";
const DEFINITION: &str = "crd/datastreamsubscriptions.datastream.dev";

fn install(helm: &Helm, values: &str) -> Output {
    let args = [
        "install",
        "datastream",
        chart(),
        "--namespace",
        NAMESPACE,
        "--set",
        "fluvio.address=h:9003,image.registry=registry.test",
        "--set",
        values,
    ];
    helm.run(&args).unwrap()
}

#[test]
fn a_cluster_with_a_missing_or_newer_definition_or_without_rights_is_rejected_in_one_line() {
    let cluster = ControlPlane::start().unwrap();
    let helm = helm_on(&cluster);
    let kubectl = |args: &[&str]| succeeded(cluster.kubectl(args).unwrap());
    kubectl(&["create", "namespace", NAMESPACE]);

    // On a foreign cluster the definition may be there, and stays.
    if cluster.is_own() {
        let line = refused(&install(&helm, "crds.enabled=false"));
        assert!(line.contains("does not serve DatastreamSubscription of datastream.dev/v1alpha1: set crds.enabled=true"), "{line}");

        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("newer.yaml");
        let newer =
            chart_file("files/datastreamsubscriptions.yaml").replace("name: v1alpha1", "name: v2");
        std::fs::write(&file, newer).unwrap();
        kubectl(&["create", "-f", file.to_str().unwrap()]);
        kubectl(&[
            "wait",
            "--for=condition=Established",
            DEFINITION,
            "--timeout=30s",
        ]);
        let line = refused(&install(&helm, "crds.enabled=true"));
        let unknown = concat!(
            "has DatastreamSubscription in version v2, which chart ",
            env!("CARGO_PKG_VERSION"),
            " does not know (it has v1alpha1)"
        );
        assert!(line.contains(unknown), "{line}");
        kubectl(&["delete", DEFINITION]);

        for (values, expected) in [
            (
                "monitoring.podMonitor.enabled=true",
                "monitoring.podMonitor: the cluster does not serve monitoring.coreos.com/v1/PodMonitor",
            ),
            (
                "gateway.httpRoute.enabled=true,gateway.httpRoute.host=h,gateway.httpRoute.parentRefs[0].name=g",
                "gateways.default.httpRoute: the cluster does not serve gateway.networking.k8s.io/v1/HTTPRoute",
            ),
        ] {
            let line = refused(&install(&helm, values));
            assert!(line.contains(expected), "{line}");
        }
    }

    let line = refused(&install(&helm, "routes.namespace=chart-guards-routes"));
    assert!(
        line.contains(
            "routes.namespace: the cluster has no namespace chart-guards-routes: make it first"
        ),
        "{line}"
    );

    let line = refused(&install(
        &helm,
        "operator.watchNamespaces={chart-guards-team}",
    ));
    let expected =
        "operator.watchNamespaces: the cluster has no namespace chart-guards-team: make it first";
    assert!(line.contains(expected), "{line}");

    kubectl(&["create", "serviceaccount", "nobody", "-n", NAMESPACE]);
    let nobody = Helm::new(Some(&cluster.service_account(NAMESPACE, "nobody").unwrap())).unwrap();
    let line = refused(&install(&nobody, "crds.enabled=true"));
    assert!(line.contains("forbidden"), "{line}");

    let made = kubectl(&[
        "get",
        "deployments,secrets,leases",
        "-n",
        NAMESPACE,
        "-o",
        "name",
    ]);
    assert_eq!(made, "", "a refused installation leaves nothing behind");
    kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]);
}
