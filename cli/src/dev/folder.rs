//! Content of a folder of manifests, as `kubectl apply` would take it: the last good version of every object.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifests::{Manifest, ObjectId, Problem, Reading};

/// The content of every file, or why it cannot be read.
pub(super) type Scan = BTreeMap<String, Result<String, String>>;

/// The folder as it was last seen.
pub(super) struct Folder<T> {
    read: fn(&str, &str) -> Reading<T>,
    files: BTreeMap<String, File<T>>,
    /// The file whose version of an object counts, if several files define it.
    owners: BTreeMap<ObjectId, String>,
    conflicts: BTreeSet<Problem>,
}

struct File<T> {
    content: Result<String, String>,
    objects: BTreeMap<ObjectId, Manifest<T>>,
    faulty: bool,
}

/// The result of a new look at the folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// New problems.
    pub problems: Vec<Problem>,
    /// Files that were faulty and are no more.
    pub mended: Vec<String>,
    /// A file has changed, or is new or gone.
    pub changed: bool,
}

impl<T> Folder<T> {
    /// A folder that is still empty, and how its files are read (name, content).
    pub(super) const fn new(read: fn(&str, &str) -> Reading<T>) -> Self {
        Self {
            read,
            files: BTreeMap::new(),
            owners: BTreeMap::new(),
            conflicts: BTreeSet::new(),
        }
    }

    /// Every object in force.
    pub(super) fn objects(&self) -> impl Iterator<Item = (&ObjectId, &T)> + Clone {
        self.owners
            .iter()
            .filter_map(|(id, file)| Some((id, &self.files.get(file)?.objects.get(id)?.object)))
    }

    /// Takes in what the folder holds now.
    pub(super) fn update(&mut self, scan: Scan) -> Outcome {
        let mut outcome = Outcome::default();
        let before = self.files.len();
        self.files.retain(|name, _| scan.contains_key(name));
        outcome.changed = self.files.len() != before;
        for (name, content) in scan {
            let old = self.files.remove(&name);
            let file = match old {
                Some(old) if old.content == content => old,
                old => {
                    outcome.changed = true;
                    self.take_in(&name, content, old, &mut outcome)
                }
            };
            self.files.insert(name, file);
        }
        if outcome.changed {
            self.settle_owners(&mut outcome);
        }
        outcome
    }

    fn take_in(
        &self,
        name: &str,
        content: Result<String, String>,
        old: Option<File<T>>,
        outcome: &mut Outcome,
    ) -> File<T> {
        let Reading {
            good: mut objects,
            problems,
            refused,
            unknown,
        } = match &content {
            Ok(text) => (self.read)(name, text),
            Err(reason) => Reading {
                problems: vec![Problem {
                    file: name.to_owned(),
                    line: 0,
                    reason: reason.clone(),
                }],
                unknown: true,
                ..Reading::default()
            },
        };
        let faulty = !problems.is_empty();
        let (was_faulty, previous) =
            old.map_or((false, BTreeMap::new()), |o| (o.faulty, o.objects));
        for (id, manifest) in previous {
            if unknown || refused.contains(&id) {
                objects.entry(id).or_insert(manifest);
            }
        }
        if was_faulty && !faulty {
            outcome.mended.push(name.to_owned());
        }
        outcome.problems.extend(problems);
        File {
            content,
            objects,
            faulty,
        }
    }

    /// Decides whose version of every object counts: the file that had it first keeps it.
    fn settle_owners(&mut self, outcome: &mut Outcome) {
        let mut owners = BTreeMap::new();
        for (name, file) in &self.files {
            for id in file.objects.keys() {
                let owner = owners.entry(id.clone()).or_insert_with(|| name.clone());
                if self.owners.get(id) == Some(name) {
                    owner.clone_from(name);
                }
            }
        }
        let mut conflicts = BTreeSet::new();
        for (name, file) in &self.files {
            for (id, manifest) in &file.objects {
                let Some(owner) = owners.get(id).filter(|o| *o != name) else {
                    continue;
                };
                let line = self.files[owner].objects[id].line;
                conflicts.insert(Problem {
                    file: name.clone(),
                    line: manifest.line,
                    reason: format!("{id} is also defined in {owner}:{line}, which stays in force"),
                });
            }
        }
        let new = conflicts.difference(&self.conflicts).cloned();
        outcome.problems.extend(new);
        self.owners = owners;
        self.conflicts = conflicts;
    }
}

#[cfg(test)]
mod tests {
    use datastream_routing::SubscriptionId;

    use super::*;

    /// Lines `NAME VALUE`; `NAME !` is refused, `!` has no name, and a file without a line is faulty.
    fn read(file: &str, text: &str) -> Reading<String> {
        let mut reading = Reading::default();
        let problem = |line, reason: &str| Problem {
            file: file.to_owned(),
            line,
            reason: reason.to_owned(),
        };
        for (line, text) in (1..).zip(text.lines()) {
            let (name, value) = text.split_once(' ').unwrap_or(("", "!"));
            let id = ObjectId::Subscription(SubscriptionId::new("default", name));
            match (name, value) {
                ("", _) => {
                    reading.unknown = true;
                    reading.problems.push(problem(line, "no name"));
                }
                (_, "!") => {
                    reading.refused.insert(id);
                    reading.problems.push(problem(line, "refused"));
                }
                _ => {
                    let object = value.to_owned();
                    reading.good.insert(id, Manifest { line, object });
                }
            }
        }
        if text.is_empty() {
            reading.unknown = true;
            reading.problems.push(problem(0, "empty"));
        }
        reading
    }

    fn scan(files: &[(&str, &str)]) -> Scan {
        let file = |(name, text): &(&str, &str)| ((*name).to_owned(), Ok((*text).to_owned()));
        files.iter().map(file).collect()
    }

    /// Updates and shows what is in force and what was newly wrong.
    fn step(folder: &mut Folder<String>, files: &[(&str, &str)]) -> (String, Vec<String>) {
        let outcome = folder.update(scan(files));
        let objects: Vec<_> = folder
            .objects()
            .map(|(id, value)| format!("{id}={value}").replace("default/", ""))
            .collect();
        let problems = outcome.problems.iter().map(ToString::to_string).collect();
        (objects.join(" "), problems)
    }

    #[test]
    fn edits_additions_and_deletions_take_effect() {
        let mut folder = Folder::new(read);
        assert_eq!(step(&mut folder, &[("f", "a 1\nb 2")]).0, "a=1 b=2");
        assert_eq!(
            step(&mut folder, &[("f", "a 3\nb 2"), ("g", "c 4")]).0,
            "a=3 b=2 c=4"
        );
        assert_eq!(
            step(&mut folder, &[("f", "b 2"), ("g", "c 4")]).0,
            "b=2 c=4"
        );
        assert_eq!(step(&mut folder, &[("g", "c 4")]).0, "c=4");
        assert!(!folder.update(scan(&[("g", "c 4")])).changed);
        assert_eq!(step(&mut folder, &[]).0, "");
    }

    #[test]
    fn a_rejected_object_keeps_its_last_good_version() {
        let mut folder = Folder::new(read);
        step(&mut folder, &[("f", "a 1\nb 2")]);
        let (objects, problems) = step(&mut folder, &[("f", "a !\nc 3")]);
        assert_eq!(
            (objects.as_str(), problems.as_slice()),
            ("a=1 c=3", &["f:1: refused".to_owned()][..])
        );
        let (objects, problems) = step(&mut folder, &[("f", "!\nc 4")]);
        assert_eq!(
            (objects.as_str(), problems.as_slice()),
            ("a=1 c=4", &["f:1: no name".to_owned()][..])
        );
        let (objects, problems) = step(&mut folder, &[("f", "")]);
        assert_eq!(
            (objects.as_str(), problems.as_slice()),
            ("a=1 c=4", &["f: empty".to_owned()][..])
        );
        let unreadable = [("f".to_owned(), Err("denied".to_owned()))].into();
        assert_eq!(
            folder.update(unreadable).problems[0].to_string(),
            "f: denied"
        );
        assert_eq!(folder.objects().count(), 2);
        let outcome = folder.update(scan(&[("f", "c 5")]));
        assert_eq!(
            (outcome.mended, folder.objects().count()),
            (vec!["f".to_owned()], 1)
        );
    }

    #[test]
    fn an_object_defined_in_two_files_belongs_to_the_first_file() {
        let mut folder = Folder::new(read);
        step(&mut folder, &[("m", "x 0\na 1")]);
        let both = [("b", "a 2"), ("m", "x 0\na 1"), ("z", "a 3")];
        let (objects, problems) = step(&mut folder, &both);
        assert_eq!(objects, "a=1 x=0");
        assert_eq!(
            problems,
            [
                "b:1: default/a is also defined in m:2, which stays in force",
                "z:1: default/a is also defined in m:2, which stays in force",
            ]
        );
        let edited = [("b", "a 4"), ("m", "x 0\na 1"), ("z", "a 3")];
        assert_eq!(step(&mut folder, &edited), ("a=1 x=0".to_owned(), vec![]));
        let (objects, problems) = step(&mut folder, &[("b", "a 4"), ("z", "a 3")]);
        assert_eq!(objects, "a=4");
        assert_eq!(
            problems,
            ["z:1: default/a is also defined in b:1, which stays in force"]
        );
    }

    #[test]
    fn a_renamed_file_keeps_its_objects() {
        let mut folder = Folder::new(read);
        step(&mut folder, &[("f", "a 1")]);
        assert_eq!(
            step(&mut folder, &[("g", "a 1")]),
            ("a=1".to_owned(), vec![])
        );
    }
}
