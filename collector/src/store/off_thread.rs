//! Stores that block run off the threads of the sockets.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;

use super::{Batch, Mark, Opened, Store, StoreError};

/// A [`Store`] whose calls block the thread.
pub(crate) trait BlockingStore: Send + 'static {
    /// Does what [`Store::describe`] does.
    fn describe(&self) -> String;
    /// Does what [`Store::open`] does.
    fn open(&mut self) -> Result<Opened, StoreError>;
    /// Does what [`Store::append`] does.
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError>;
    /// Does what [`Store::mark`] does.
    fn mark(&mut self, mark: &Mark) -> Result<(), StoreError>;
    /// Does what [`Store::verify`] does.
    fn verify(&mut self) -> Result<(), StoreError>;
}

/// Runs a blocking store on threads that may block.
pub(crate) struct OffThread<S> {
    /// The store; absent while a call is under way.
    store: Option<S>,
    name: String,
}

impl<S: BlockingStore> OffThread<S> {
    /// Takes the store.
    pub(crate) fn new(store: S) -> Self {
        Self {
            name: store.describe(),
            store: Some(store),
        }
    }

    async fn call<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut S) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(mut store) = self.store.take() else {
            let reason = format!("{}: the call before was given up", self.name);
            return Err(StoreError::lasting(reason));
        };
        let done = spawn_blocking(move || {
            let result = call(&mut store);
            (store, result)
        });
        match done.await {
            Ok((store, result)) => {
                self.store = Some(store);
                result
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(StoreError::lasting(format!("{}: {error}", self.name))),
            },
        }
    }
}

impl<S: BlockingStore> Store for OffThread<S> {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn open(&mut self) -> BoxFuture<'_, Result<Opened, StoreError>> {
        self.call(S::open).boxed()
    }

    fn append(&mut self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.call(move |store| store.append(&batch)).boxed()
    }

    fn mark(&mut self, mark: Mark) -> BoxFuture<'_, Result<(), StoreError>> {
        self.call(move |store| store.mark(&mark)).boxed()
    }

    fn verify(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.call(S::verify).boxed()
    }
}
