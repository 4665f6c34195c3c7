//! Work that is done whole or not at all.
//!
//! A handler's future is dropped when its client hangs up, at whatever `await` it is. What commits and then tells the
//! coordinator would end in between: stored, acknowledged to a repeat, and never begun. Such work is a task of its own,
//! for whose end the handler only waits. It runs no longer than the database and the coordinator need.

use super::errors::ApiError;

/// Runs `work` to its end, whether or not somebody still waits for it.
///
/// # Errors
/// Those of `work`; 500 where it panicked or the process is stopping.
pub async fn whole<T, F>(work: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    tokio::spawn(work).await.map_err(|e| ApiError::unknown(&e))?
}
