//! Values made of files that are replaced while the values are used, as those of a mounted Secret are.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Interval at which the files are read again, by whoever asks then.
const RELOAD: Duration = Duration::from_secs(2);

/// Files, and what is made of them.
pub trait Source {
    /// The content of the files.
    type Material: PartialEq;
    /// Value that is made of it.
    type Value;

    /// Reads the files.
    ///
    /// # Errors
    /// A file that cannot be read, named.
    fn read(&self) -> anyhow::Result<Self::Material>;

    /// Makes the value.
    ///
    /// # Errors
    /// Content that cannot be used, named by its file.
    fn build(&self, material: &Self::Material) -> anyhow::Result<Self::Value>;

    /// Names what is read, for the log.
    fn describe(&self) -> String;
}

/// The newest value of a source that can be used.
pub struct Watched<S: Source> {
    source: S,
    state: Mutex<State<S>>,
}

struct State<S: Source> {
    /// Content when it was last read, good or bad.
    read: S::Material,
    value: Arc<S::Value>,
    at: Instant,
    /// Times in a row that the files could not be read.
    unreadable: usize,
}

impl<S: Source> Watched<S> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Files that cannot be read, or used.
    pub fn load(source: S) -> anyhow::Result<Self> {
        let mut read = source.read()?;
        let value = source.build(&read).or_else(|error| {
            // They may have been replaced between one file and the next.
            let again = source.read()?;
            let changed = again != read;
            read = again;
            if changed {
                source.build(&read)
            } else {
                Err(error)
            }
        });
        let value = Arc::new(value?);
        let at = Instant::now();
        let state = Mutex::new(State {
            read,
            value,
            at,
            unreadable: 0,
        });
        Ok(Self { source, state })
    }

    /// The value, of files that were read at most two seconds ago. Files that have changed and cannot be used are logged once,
    /// and the value stays.
    pub fn current(&self) -> Arc<S::Value> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.at.elapsed() < RELOAD {
            return state.value.clone();
        }
        state.at = Instant::now();
        let read = match self.source.read() {
            Ok(read) => read,
            Err(error) => {
                state.unreadable += 1;
                // A folder that is being swapped may have one of two files: the next time it has both.
                if state.unreadable == 2 {
                    let error = format!("{error:#}");
                    tracing::warn!(
                        error,
                        "a certificate cannot be read again; the old one stays"
                    );
                }
                return state.value.clone();
            }
        };
        state.unreadable = 0;
        if read != state.read {
            let file = self.source.describe();
            match self.source.build(&read) {
                Ok(value) => {
                    state.value = Arc::new(value);
                    tracing::info!(file, "the certificate was replaced");
                }
                Err(error) => tracing::warn!(
                    file,
                    error = format!("{error:#}"),
                    "a new certificate cannot be used; the old one stays"
                ),
            }
            state.read = read;
        }
        state.value.clone()
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Watched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.source).finish()
    }
}
