//! The selection of the objects that are followed.

use std::time::Duration;

use kube::runtime::watcher;

use crate::api;

/// The objects that are followed, and the longest time without events of them.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    labels: Option<String>,
    pub(super) pulse: Option<Duration>,
}

impl Selection {
    /// All objects of a kind.
    pub fn all() -> Self {
        Self::default()
    }

    /// Selects objects with labels that this selector matches.
    pub fn labelled(selector: &str) -> Self {
        Self {
            labels: Some(selector.to_owned()),
            pulse: None,
        }
    }

    /// Objects that are renewed: if there are some, something is heard at least this often. After more silence they are listed
    /// again, and the [watch is said to fail](super::Change::Failed) if that is not answered soon either.
    #[must_use]
    pub fn with_pulse(self, pulse: Duration) -> Self {
        Self {
            pulse: Some(pulse),
            ..self
        }
    }

    pub(super) fn config(&self) -> watcher::Config {
        let seconds = u32::try_from(api::WATCH.as_secs()).unwrap_or(u32::MAX);
        watcher::Config {
            label_selector: self.labels.clone(),
            ..watcher::Config::default().timeout(seconds)
        }
    }
}
