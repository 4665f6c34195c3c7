//! An enclave that cannot even start says why: outside of debug mode it has no console.

use crate::frames::{LinkError, read_message, write_message};
use crate::limits::{MAX_WRITE_BYTES, START_FAREWELL_TIMEOUT};
use crate::transport::{Transport, connect};
use countersign_wire::Text;
use countersign_wire::host_link::{FromEnclave, FromHost, Opening};
use countersign_wire::ids::BootId;
use tokio::io::{AsyncWriteExt, BufWriter};

/// Tells the host why the enclave does not start, on a control connection that serves nothing else. `why` holds nothing
/// secret. Where the host does not listen, nobody is told.
pub async fn say<T: Transport>(transport: &T, version: &str, why: &str) {
    let said = async {
        let (mut reader, writer) = tokio::io::split(connect(transport).await?);
        let mut writer = BufWriter::with_capacity(MAX_WRITE_BYTES, writer);
        // No boot: the core that would have one does not exist.
        let opening = Opening::Control { boot: BootId([0; 16]), version: Text::cut(version) };
        write_message(&mut writer, &opening).await?;
        writer.flush().await?;
        let _: FromHost = read_message(&mut reader).await?;
        write_message(&mut writer, &FromEnclave::Stopping { why: Text::cut(why) }).await?;
        writer.shutdown().await?;
        Ok::<(), LinkError>(())
    };
    match tokio::time::timeout(START_FAREWELL_TIMEOUT, said).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the host was not told"),
        Err(_) => tracing::warn!("the host was not told: it does not answer"),
    }
}
