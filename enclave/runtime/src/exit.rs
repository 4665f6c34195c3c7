//! How the process ends.

use crate::engine::Fatal;
use std::process::ExitCode;

/// Says why, and gives the exit code. After a panic in the core the process ends at once: nothing that is still running
/// may go on with what the core left behind.
pub fn exit(ended: Result<(), Fatal>) -> ExitCode {
    match ended {
        Ok(()) => {
            tracing::info!("ended");
            ExitCode::SUCCESS
        }
        Err(error @ Fatal::CorePanicked) => {
            tracing::error!(%error, "the process is aborted");
            std::process::abort()
        }
        Err(error) => {
            tracing::error!(%error, "the process ends");
            ExitCode::FAILURE
        }
    }
}
