//! Reads and writes messages in frames.

use countersign_wire::frame::{self, FrameError, HEADER_BYTES};
use countersign_wire::{DecodeError, Message};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why a connection to the host is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The stream broke or could not be opened.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The host closed the connection.
    #[error("the host closed the connection")]
    Closed,
    /// What came is not a frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// What came is not a message.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// Another message belongs here.
    #[error("expected {expected}, got {got}")]
    Unexpected {
        /// What belongs here.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
    /// The host was too slow.
    #[error("the host did not {what} within {} s", .within.as_secs())]
    Timeout {
        /// What it should have done.
        what: &'static str,
        /// The time that it had.
        within: Duration,
    },
}

/// Reads one message. Its length is checked before memory is taken for it.
///
/// # Errors
/// See [`LinkError`]; the connection cannot be used further.
pub async fn read_message<M: Message>(reader: &mut (impl AsyncRead + Unpin)) -> Result<M, LinkError> {
    let mut header = [0; HEADER_BYTES];
    // An end between two frames is an orderly one; within a frame it is an error.
    if reader.read(&mut header[..1]).await? == 0 {
        return Err(LinkError::Closed);
    }
    reader.read_exact(&mut header[1..]).await?;
    let len = frame::payload_len(&header)?;
    if len > M::MAX_BYTES {
        return Err(DecodeError::TooLarge { name: M::NAME, max: M::MAX_BYTES, got: len }.into());
    }
    let mut payload = vec![0; len];
    reader.read_exact(&mut payload).await?;
    Ok(M::decode(&payload)?)
}

/// Writes one message, without flushing.
///
/// # Errors
/// The stream's, or [`FrameError::TooLarge`].
pub async fn write_message<M: Message>(writer: &mut (impl AsyncWrite + Unpin), message: &M) -> Result<(), LinkError> {
    let payload = message.encode();
    writer.write_all(&frame::header(payload.len())?).await?;
    Ok(writer.write_all(&payload).await?)
}
