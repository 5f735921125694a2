//! A second opinion on JSON: that of serde_json, and a count of brackets.

use serde_json::value::RawValue;

/// Returns whether the text is one JSON object, nested to any depth.
pub(crate) fn is_object(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get().starts_with('{'))
}

/// Most arrays and objects of valid JSON that stand within each other.
pub(crate) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut in_string = false;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            // Valid JSON has escapes in strings only.
            b'\\' => {
                bytes.next();
            }
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth -= 1,
            _ => (),
        }
    }
    deepest
}
