//! Messages to the enclave, in the order of the queue.

use crate::framing::{FramingError, write_frame};
use crate::outbox::Outgoing;
use crate::stream::Stream;
use countersign_wire::Message;
use countersign_wire::host_link::FromHost;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufWriter, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long an ending connection may take to say goodbye: its successor waits for it.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// Writes until the connection closes. Nothing follows a `PersistFailed`.
pub async fn run(
    writer: WriteHalf<Stream>,
    mut queue: mpsc::Receiver<Outgoing>,
    limit: Duration,
    closing: CancellationToken,
) {
    let mut writer = BufWriter::new(writer);
    let result = tokio::select! {
        result = write_all(&mut writer, &mut queue, limit) => result,
        () = closing.cancelled() => Ok(()),
    };
    if let Err(error) = result {
        tracing::warn!(%error, "cannot write to the enclave");
    }
    closing.cancel();
    let _ = timeout(CLOSE_TIMEOUT, writer.shutdown()).await;
}

async fn write_all(
    writer: &mut BufWriter<WriteHalf<Stream>>,
    queue: &mut mpsc::Receiver<Outgoing>,
    limit: Duration,
) -> Result<(), FramingError> {
    while let Some(outgoing) = queue.recv().await {
        let last = matches!(outgoing.message, FromHost::PersistFailed { .. });
        write_frame(writer, &outgoing.message.encode(), limit).await?;
        if last || queue.is_empty() {
            let slow = |_| FramingError::TooSlow { limit_ms: limit.as_millis() };
            timeout(limit, writer.flush()).await.map_err(slow)??;
        }
        if last {
            break;
        }
    }
    Ok(())
}
