//! Images: those that are built are those that run.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::evaluation::Evaluation;

pub(crate) fn problems(evaluation: &Evaluation) -> Vec<String> {
    let mut used = BTreeSet::new();
    for object in &evaluation.objects {
        collect(object, &mut used);
    }
    let mut problems = Vec::new();
    for build in evaluation.calls("docker_build") {
        let image = build.arguments["ref"].as_str().unwrap();
        if !used.remove(image) {
            problems.push(build.problem(format!("nothing runs image {image}")));
        }
    }
    // Others' are pulled: their names begin with an owner or a registry.
    for image in used.iter().filter(|image| !image.contains('/')) {
        problems.push(format!("nothing builds image {image}"));
    }
    problems
}

/// The images of all containers, without their tags.
fn collect(value: &Value, images: &mut BTreeSet<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|v| collect(v, images)),
        Value::Object(map) => {
            for (key, value) in map {
                let list = key == "containers" || key == "initContainers";
                for container in value.as_array().filter(|_| list).into_iter().flatten() {
                    let image = container["image"].as_str().unwrap_or_default();
                    let image = image.split('@').next().unwrap_or_default();
                    let tag = image.rfind(':').filter(|at| !image[*at..].contains('/'));
                    images.insert(image[..tag.unwrap_or(image.len())].to_owned());
                }
                collect(value, images);
            }
        }
        _ => {}
    }
}
