//! YAML (and JSON) documents whose values know the lines that they stand on.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::localizer::Localizer;
use serde_saphyr::{Budget, DefaultMessageFormatter, Location, Spanned};

/// A value and the line that it starts on, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The line of a map's entry is that of its key.
    pub line: u64,
    /// The value.
    pub tree: Tree,
}

/// A value of YAML's JSON-compatible part.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer or a float.
    Number(Number),
    /// Anything else that stands for itself.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(String, Node)>),
}

/// Reason why a file cannot be read as YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line of the fault, counted from 1.
    pub line: u64,
    /// Description of the fault.
    pub reason: String,
}

/// Largest whole number up to which every one has a float of its own (IEEE 754, double precision).
const MAX_EXACT: f64 = (1_u64 << 53) as f64;

/// Messages without the position at their end, which is a field of its own.
struct WithoutLocation;

impl Localizer for WithoutLocation {
    fn attach_location<'a>(&self, base: Cow<'a, str>, _: Location) -> Cow<'a, str> {
        base
    }
}

/// Reads every document of a file; empty ones are left out.
///
/// # Errors
/// The text is not YAML, or has more values than the YAML library reads of one file.
pub fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut budget = Budget::default();
    // What is written out takes a byte at least, so whoever bounds the text bounds that; what aliases make of it is bounded by it, too.
    budget.max_nodes = budget.max_nodes.max(text.len());
    budget.max_events = budget.max_events.max(text.len().saturating_mul(4));
    // A document has at least one value: that bound is the one that counts.
    budget.max_documents = budget.max_nodes;
    let options = serde_saphyr::options! { budget: Some(budget) };
    serde_saphyr::from_multiple_with_options::<Node>(text, options)
        .map_err(|error| SyntaxError::of(&error))
}

impl SyntaxError {
    /// Converts an error of the YAML library.
    pub fn of(error: &serde_saphyr::Error) -> Self {
        Self {
            line: error.location().map_or(1, |l| l.line().max(1)),
            reason: error
                .without_snippet()
                .render_with_formatter(&DefaultMessageFormatter.with_localizer(&WithoutLocation)),
        }
    }
}

impl Node {
    /// The entry of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.tree {
            Tree::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.tree {
            Tree::String(text) => Some(text),
            _ => None,
        }
    }

    /// The line of what a path such as `spec.filters[0].dsns[1]` names, or of its closest parent that is there.
    pub fn line_of(&self, path: &str) -> u64 {
        let mut node = self;
        for step in path.split(['.', '[']).filter(|s| !s.is_empty()) {
            let next = match (step.strip_suffix(']'), &node.tree) {
                (Some(index), Tree::List(items)) => {
                    index.parse().ok().and_then(|i: usize| items.get(i))
                }
                _ => node.get(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.line
    }

    /// The value without its lines.
    pub fn to_json(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(*value),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::String(text) => Value::String(text.clone()),
            Tree::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Tree::Map(entries) => {
                let entries = entries.iter().map(|(k, node)| (k.clone(), node.to_json()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self {
            line: spanned.referenced.line(),
            tree: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    /// A whole number is one in whatever notation, as for the API server.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        if value.fract() == 0.0 && value.abs() <= MAX_EXACT {
            return self.visit_i64(value as i64);
        }
        let number =
            Number::from_f64(value).ok_or_else(|| E::custom("a number that is not finite"))?;
        Ok(Tree::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let mut node: Node = entries.next_value()?;
            node.line = key.referenced.line();
            map.push((key.value, node));
        }
        Ok(Tree::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "\
# a comment
kind: A
spec:
  filters:
    - dsns: [a, b]
      oemModels:
        - c
    - {}
---
---
kind: B
n: [1, -2, 2.5, true, null, '7', yes please]
";

    #[test]
    fn documents_are_read_with_the_lines_of_their_values() {
        let documents = parse(TEXT).unwrap();
        assert_eq!(documents.len(), 2);
        let a = &documents[0];
        let lines: Vec<_> = [
            "kind",
            "spec.filters",
            "spec.filters[0].dsns[1]",
            "spec.filters[0].oemModels[0]",
            "spec.filters[1].dsns",
            "spec.filters[7]",
            "spec.missing",
            "missing",
        ]
        .iter()
        .map(|path| a.line_of(path))
        .collect();
        assert_eq!(lines, [2, 4, 5, 7, 8, 4, 3, 2]);
        assert_eq!(documents[1].line_of("n"), 12);
        assert_eq!(
            a.to_json(),
            json!({"kind": "A", "spec": {"filters": [{"dsns": ["a", "b"], "oemModels": ["c"]}, {}]}})
        );
        assert_eq!(
            documents[1].to_json(),
            json!({"kind": "B", "n": [1, -2, 2.5, true, null, "7", "yes please"]})
        );
    }

    #[test]
    fn json_is_parsed_as_yaml() {
        let documents = parse("{\n \"a\": [\n  {\"b\": \"c\"}\n ]\n}").unwrap();
        assert_eq!(documents[0].line_of("a[0].b"), 3);
    }

    #[test]
    fn a_truncated_file_is_rejected_with_the_line() {
        let error = parse("a: 1\nb: [1, 2\nc: \"x").unwrap_err();
        assert!(error.line >= 2, "{error:?}");
        assert!(!error.reason.contains('\n'), "{error:?}");
        let twice = parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(twice.line, 3, "{twice:?}");
        for error in [error, twice] {
            assert!(!error.reason.contains("line"), "{error:?}");
        }
    }

    #[test]
    fn a_whole_number_is_an_integer_in_every_notation() {
        let documents = parse("[15.0, 1e3, 1.5, 1e300]").unwrap();
        assert_eq!(documents[0].to_json(), json!([15, 1_000, 1.5, 1e300]));
    }

    #[test]
    fn thousands_of_documents_are_read() {
        let text = "---\na: 1\n".repeat(5_000);
        assert_eq!(parse(&text).unwrap().len(), 5_000);
    }
}
