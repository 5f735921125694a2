//! A test of the test: wrong names, planted in copies of the Tiltfile, are found.

use crate::{STARTS, problems, tiltfile};

/// (what is replaced, by what, what a problem has to say)
const WRONG: [(&str, &str, &str); 21] = [
    (
        "k8s_yaml('tilt/broker.yaml')",
        "k8s_yaml('tilt/brokers.yaml')",
        "tilt/brokers.yaml: no such file",
    ),
    (
        "k8s_yaml('tilt/fluvio/topic.yaml')",
        "k8s_yaml('tilt/topic.yaml')",
        "tilt/topic.yaml: no such file",
    ),
    (
        "read_yaml('tilt/simulator.yaml')",
        "read_yaml('tilt/simulate.yaml')",
        "tilt/simulate.yaml: no such file",
    ),
    (
        "'crds', 'gateway',",
        "'crds', 'gateways',",
        "gateways does not exist",
    ),
    (
        "dockerfile='tilt/Dockerfile'",
        "dockerfile='tilt/Containerfile'",
        "tilt/Containerfile does not exist",
    ),
    (
        "'restart.sh']",
        "'restarts.sh']",
        "tilt/restarts.sh does not exist",
    ),
    (
        "'PROGRAM': program",
        "'PROGRAMM': program",
        "no ARG PROGRAMM",
    ),
    (
        "'/app/' + program",
        "'/bin/' + program",
        "where the image does not have it",
    ),
    (
        "image('datastream-cli', 'datastream')",
        "image('datastream-cli', 'datastrem')",
        "tilt/bin/datastrem does not exist",
    ),
    (
        "image('datastream-cli',",
        "image('datastream-client',",
        "nothing builds image datastream-cli",
    ),
    (
        "image('datastream-cli',",
        "image('datastream-client',",
        "nothing runs image datastream-client",
    ),
    ("'fluvio.address='", "'fluvio.adress='", "adress"),
    (
        "'datastream-operator',\n    port_forwards",
        "'operator',\n    port_forwards",
        "no workload is called operator",
    ),
    (
        "port_forward(8081, 8081",
        "port_forward(8081, 8082",
        "datastream-operator has no port 8082",
    ),
    (
        "'main:spugroup'",
        "'main:spugroups'",
        "0 objects are main:spugroups",
    ),
    (
        "resource_deps=['subscriptions', ",
        "resource_deps=['subscription', ",
        "no resource is called subscription",
    ),
    (
        "'tilt-programs'",
        "'tilt-program'",
        "the Makefile has no target tilt-program",
    ),
    (
        "'tilt/publish.sh'",
        "'tilt/send.sh'",
        "tilt/send.sh does not exist",
    ),
    (
        "'trigger', 'e2e'",
        "'trigger', 'e3e'",
        "no resource is called e3e",
    ),
    (
        "{'ui_buttons': [name]}",
        "{'ui_buttons': ['publish']}",
        "no button is called publish",
    ),
    (
        "labels=['test']",
        "label=['test']",
        "takes no argument \"label\"",
    ),
];

#[test]
fn wrong_names_in_a_tiltfile_are_found() {
    let text = std::fs::read_to_string(tiltfile()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("Tiltfile");
    for (right, wrong, problem) in WRONG {
        assert!(text.contains(right), "{right} is not in the Tiltfile");
        std::fs::write(&copy, text.replace(right, wrong)).unwrap();
        let found = problems(&copy, &STARTS[..2]);
        assert!(
            found.iter().any(|found| found.contains(problem)),
            "{wrong}: {}",
            found.join("\n")
        );
    }
}

#[test]
fn a_wrong_value_in_the_file_of_values_is_found() {
    let text = std::fs::read_to_string(tiltfile()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    std::fs::write(&values, "gateway: {replica: 1}\n").unwrap();
    let copy = folder.path().join("Tiltfile");
    let wrong = text.replace("'tilt/values.yaml'", &format!("'{}'", values.display()));
    std::fs::write(&copy, wrong).unwrap();
    let found = problems(&copy, &STARTS[..2]);
    assert!(
        found.iter().any(|found| found.contains("replica")),
        "{found:?}"
    );
}
