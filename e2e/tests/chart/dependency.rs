//! The chart as a dependency of another one.

use std::path::Path;

use datastream_e2e::{Output, chart};

use super::sound::{objects, problems};
use super::{helm, refused, succeeded};

/// Renders a chart that has this one as a dependency.
fn render(values: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = |path: &str, text: &str| std::fs::write(dir.path().join(path), text).unwrap();
    std::fs::create_dir(dir.path().join("charts")).unwrap();
    file(
        "Chart.yaml",
        concat!(
            "apiVersion: v2\nname: parent\nversion: 1.0.0\n",
            "dependencies: [{name: datastream, version: ",
            env!("CARGO_PKG_VERSION"),
            ", condition: datastream.enabled}]\n"
        ),
    );
    file("values.yaml", values);
    let package = dir.path().join("charts");
    let helm = helm();
    succeeded(
        helm.run(&[
            "package",
            chart(),
            "--destination",
            package.to_str().unwrap(),
        ])
        .unwrap(),
    );
    let parent: &Path = dir.path();
    let args = [
        "template",
        "device-platform",
        parent.to_str().unwrap(),
        "--kube-version",
        "1.33.0",
    ];
    helm.run(&args).unwrap()
}

#[test]
fn a_parent_chart_enables_and_disables_it_by_condition() {
    let text = succeeded(render(
        "global: {imageRegistry: example.com}\n\
         datastream: {enabled: true, image: {registry: registry.test}, fluvio: {address: 'fluvio:9003'}}\n",
    ));
    assert_eq!(problems(&text), Vec::<String>::new());
    let names: Vec<_> = objects(&text)
        .unwrap()
        .iter()
        .filter(|object| object["kind"] == "Deployment")
        .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "device-platform-datastream-gateway",
        "device-platform-datastream-operator",
    ];
    assert_eq!(names, expected);

    let text = succeeded(render("datastream: {enabled: false}\n"));
    assert_eq!(objects(&text).unwrap(), Vec::<serde_json::Value>::new());

    let line = refused(&render("datastream: {enabled: true}\n"));
    assert!(
        line.contains("fluvio.address: say where Fluvio is"),
        "{line}"
    );
}
