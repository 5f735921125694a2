//! Members that gateways do not check.

use schemars::{Schema, transform::Transform};
use serde_json::{Map, Value, json};

/// Keywords that stay with a member, whatever its value is.
const ABOUT: [&str; 2] = ["description", "examples"];
const UNCHECKED: &str = "Anything else that the producer wrote: gateways do not check it.";

/// Lets members have any value beside that of their documented type, unless they are among these, which gateways check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open(pub &'static [&'static str]);

impl Transform for Open {
    fn transform(&mut self, schema: &mut Schema) {
        schema.insert("additionalProperties".to_owned(), true.into());
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            if let Some(members) = property.as_object_mut()
                && !self.0.contains(&name.as_str())
            {
                open(members);
            }
        }
    }
}

fn open(property: &mut Map<String, Value>) {
    let (about, documented): (Map<_, _>, Map<_, _>) = std::mem::take(property)
        .into_iter()
        .partition(|(keyword, _)| ABOUT.contains(&keyword.as_str()));
    *property = about;
    // What allows everything needs no alternative.
    if !documented.is_empty() {
        let any_of = json!([documented, {"description": UNCHECKED}]);
        property.insert("anyOf".to_owned(), any_of);
    }
}
