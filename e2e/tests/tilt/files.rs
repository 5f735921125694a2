//! Files, scripts and targets of make.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use datastream_e2e::own_program;
use serde_json::Value;

use crate::evaluation::{Call, Evaluation};
use crate::root;

/// The folder in which `tilt/programs.sh` puts what cargo builds.
const PROGRAMS: &str = "tilt/bin/";

pub(crate) fn problems(evaluation: &Evaluation) -> Vec<String> {
    let mut problems = Vec::new();
    for call in evaluation.calls("local_resource") {
        for file in call.strings("deps") {
            problems.extend(missing(call, file));
        }
    }
    for build in evaluation.calls("docker_build") {
        problems.extend(of_build(build));
    }
    for (call, command) in evaluation.commands() {
        problems.extend(of_command(call, &command));
    }
    problems
}

/// Reading files is the evaluation's; this is about those that are only named.
fn missing(call: &Call, file: &str) -> Option<String> {
    let there = match file.strip_prefix(PROGRAMS) {
        Some(program) => is_built(program),
        None => root().join(file).exists(),
    };
    (!there).then(|| call.problem(format!("{file} does not exist")))
}

/// Returns whether `make tilt-programs` makes it.
fn is_built(program: &str) -> bool {
    let script = std::fs::read_to_string(root().join("tilt/programs.sh")).unwrap();
    let list = script.split_once("programs=(").unwrap().1;
    let list = list.split_once(')').unwrap().0;
    list.split_whitespace().any(|name| name == program) && own_program(program).is_ok()
}

fn of_build(build: &Call) -> Vec<String> {
    let mut problems = Vec::new();
    let context = build.arguments["context"].as_str().unwrap();
    let below = |file: &str| format!("{context}/{file}");
    let only: Vec<_> = build.strings("only").into_iter().map(below).collect();
    problems.extend(only.iter().filter_map(|file| missing(build, file)));
    let file = build.arguments["dockerfile"]
        .as_str()
        .unwrap_or("Dockerfile");
    let Ok(dockerfile) = std::fs::read_to_string(root().join(file)) else {
        problems.push(build.problem(format!("{file} does not exist")));
        return problems;
    };
    let arguments = build.arguments["build_args"].as_object();
    let arguments: Vec<_> = arguments.into_iter().flatten().collect();
    for (name, _) in &arguments {
        let declared = dockerfile.lines().any(|line| {
            let argument = line.strip_prefix("ARG ").unwrap_or_default();
            argument.split('=').next() == Some(name)
        });
        if !declared {
            problems.push(build.problem(format!("{file} has no ARG {name}")));
        }
    }
    // COPY SOURCE TARGET, with the arguments put in.
    let copies: Vec<_> = dockerfile
        .lines()
        .filter(|line| line.starts_with("COPY "))
        .map(|line| {
            let line = arguments
                .iter()
                .fold(line.to_owned(), |line, (name, value)| {
                    line.replace(&format!("${{{name}}}"), value.as_str().unwrap_or_default())
                });
            let mut words = line.rsplit(' ').map(str::to_owned);
            let target = words.next().unwrap();
            let source = words.next().unwrap();
            let name = source.rsplit('/').next().unwrap().to_owned();
            let folder = target.ends_with('/');
            (below(&source), if folder { target + &name } else { target })
        })
        .collect();
    for (source, _) in &copies {
        if !only.contains(source) {
            problems
                .push(build.problem(format!("{file} copies {source}, which `only` leaves out")));
        }
    }
    for step in build.arguments["live_update"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let Some(local) = step["local_path"].as_str() else {
            continue;
        };
        problems.extend(missing(build, local));
        let remote = step["remote_path"].as_str().unwrap_or_default().to_owned();
        if !copies.contains(&(local.to_owned(), remote.clone())) {
            problems.push(build.problem(format!(
                "live update puts {local} to {remote}, where the image does not have it"
            )));
        }
    }
    problems
}

fn of_command(call: &Call, command: &[&str]) -> Vec<String> {
    match command {
        [] => vec![call.problem("no command")],
        ["make", targets @ ..] => targets.iter().filter_map(|t| no_target(call, t)).collect(),
        // Their arguments are names in the cluster or of Tilt's resources.
        ["kubectl" | "tilt", ..] => Vec::new(),
        [script, ..] => of_script(call, script),
    }
}

fn no_target(call: &Call, target: &str) -> Option<String> {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let rule = format!("{target}:");
    let there = makefile.lines().any(|line| line.starts_with(&rule));
    (!there).then(|| call.problem(format!("the Makefile has no target {target}")))
}

fn of_script(call: &Call, script: &str) -> Vec<String> {
    let path = root().join(script);
    let Ok(text) = std::fs::read_to_string(&path) else {
        return vec![call.problem(format!("{script} does not exist"))];
    };
    let mut problems = Vec::new();
    if path.metadata().unwrap().permissions().mode() & 0o111 == 0 {
        problems.push(call.problem(format!("{script} cannot be executed")));
    }
    let lines = text.lines().filter_map(|line| line.strip_prefix("make "));
    problems.extend(lines.filter_map(|target| no_target(call, target)));
    problems
}

/// The recipes of the Makefile for Tilt, and what the scripts call in turn.
#[test]
fn files_that_make_runs_exist() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let e2e = std::fs::read_to_string(root().join("tilt/e2e.sh")).unwrap();
    let words = makefile.split_whitespace().chain(e2e.split_whitespace());
    let files: Vec<_> = words
        .filter(|word| word.contains('/') && (word.ends_with(".sh") || word.ends_with(".yaml")))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    for named in ["tilt/cluster.yaml", "tilt/programs.sh", "tilt/e2e.sh"] {
        assert!(files.contains(&named), "{named} of {files:?}");
    }
    for file in files {
        assert!(Path::new(&root()).join(file).exists(), "{file}");
    }
    for target in ["tilt", "tilt-ci"] {
        let recipe = makefile.split_once(&format!("\n{target}:")).unwrap().1;
        assert!(
            recipe.contains("ctlptl apply -f tilt/cluster.yaml && tilt "),
            "{target}"
        );
    }
}

/// Returns whether a value of JSON has this text anywhere.
pub(crate) fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string == text,
        Value::Array(list) => list.iter().any(|v| mentions(v, text)),
        Value::Object(map) => map.values().any(|v| mentions(v, text)),
        _ => false,
    }
}
