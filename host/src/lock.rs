//! Taking a mutex whose holder may have panicked: everything guarded this way is whole between statements.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, poisoned or not.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
