//! Tells AWS that the enclave has booted.

use crate::transport::{Transport, Vsock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// AWS waits for this byte on this port.
const PORT: u32 = 9000;
const HEARTBEAT: u8 = 0xb7;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Best effort: nothing depends on it but how soon AWS says that the enclave runs.
pub async fn send(cid: u32) {
    let beat = async {
        let mut stream = Vsock { cid, port: PORT }.open().await?;
        stream.write_all(&[HEARTBEAT]).await?;
        stream.read_u8().await
    };
    match tokio::time::timeout(TIMEOUT, beat).await {
        Ok(Ok(HEARTBEAT)) => tracing::debug!("heartbeat answered"),
        _ => tracing::debug!("no heartbeat"),
    }
}
