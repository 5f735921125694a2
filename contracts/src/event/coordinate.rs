//! Latitudes and longitudes.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::json::{Field, RawJson};

/// Degrees of a latitude or longitude, which producers write as a number or as a string: `-69.4283`, `" 44.769500"`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Coordinate(RawJson);

impl Coordinate {
    /// Returns the degrees; none if the text is no number.
    pub fn degrees(&self) -> Option<f64> {
        let text = self.0.as_text();
        let text = text.as_deref().unwrap_or(self.0.get());
        text.trim().parse().ok()
    }

    /// Returns the JSON that the producer wrote.
    pub const fn json(&self) -> &RawJson {
        &self.0
    }
}

impl Field for Coordinate {
    fn read(value: &RawJson) -> Option<Self> {
        let is_one = value
            .get()
            .starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
        is_one.then(|| Self(value.clone()))
    }
}

impl<'de> Deserialize<'de> for Coordinate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = RawJson::deserialize(deserializer)?;
        Self::read(&value).ok_or_else(|| D::Error::custom("neither a number nor a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_numbers_or_strings() {
        for (json, degrees) in [
            ("-69.4283", Some(-69.4283)),
            (r#"" 44.769500""#, Some(44.7695)),
            (r#""north""#, None),
        ] {
            let coordinate: Coordinate = serde_json::from_str(json).unwrap();
            assert_eq!(coordinate.degrees(), degrees, "{json}");
        }
        for json in ["[1]", "true", "{}"] {
            assert!(serde_json::from_str::<Coordinate>(json).is_err(), "{json}");
        }
    }
}
