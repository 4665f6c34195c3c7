//! The tasks that drive one connection. Whoever gives the connection up ends all of them, whatever the peer does.

use hyper::rt::Executor;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// The tasks of one connection: its own, and with HTTP/2 those of its streams.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn set(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `task` until it ends or is ended.
    pub(super) fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set();
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    /// Ends all at once.
    pub(super) fn abort(&self) {
        self.set().abort_all();
    }

    /// Lets them end by themselves, for as long as `patience`.
    pub(super) fn let_end(&self, patience: Duration) {
        let mut set = std::mem::take(&mut *self.set());
        tokio::spawn(async move {
            // Those that are left are ended when the set is dropped.
            let _ = tokio::time::timeout(patience, async { while set.join_next().await.is_some() {} }).await;
        });
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        self.start(async move {
            task.await;
        });
    }
}
