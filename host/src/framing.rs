//! Frames of [`countersign_wire::frame`] over an asynchronous stream, with a limit on size and time.

use countersign_wire::frame::{self, FrameError, HEADER_BYTES};
use std::future::pending;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// Why no further frame can be read or written; the connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum FramingError {
    /// Not a frame, or one longer than any frame may be.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Longer than allowed here; nothing was allocated for it.
    #[error("expected a payload of at most {max} bytes here, got {got}")]
    TooLarge {
        /// Most bytes allowed.
        max: usize,
        /// Bytes declared.
        got: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// Nothing came, or not all of it, in time.
    #[error("expected a whole frame within {limit_ms} ms")]
    TooSlow {
        /// The limit that passed.
        limit_ms: u128,
    },
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[from] io::Error),
}

impl FramingError {
    /// A short stable word for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Frame(FrameError::Version(_)) => "version",
            Self::Frame(FrameError::TooLarge { .. }) | Self::TooLarge { .. } => "too_large",
            Self::Frame(_) => "malformed",
            Self::Truncated => "truncated",
            Self::TooSlow { .. } => "too_slow",
            Self::Io(_) => "io",
        }
    }
}

/// Limits of reading one frame.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Most bytes of the payload.
    pub max_bytes: usize,
    /// How long to wait for the first byte; for ever if `None`.
    pub first_byte: Option<Duration>,
    /// How long the rest may take after the first byte.
    pub rest: Duration,
}

/// Reads one payload; `None` if the stream ended before a frame began.
pub async fn read_frame<R>(reader: &mut R, limits: ReadLimits) -> Result<Option<Vec<u8>>, FramingError>
where
    R: AsyncRead + Unpin,
{
    let mut header = [0u8; HEADER_BYTES];
    let waited = async {
        match limits.first_byte {
            Some(limit) => {
                sleep(limit).await;
                limit
            }
            None => pending().await,
        }
    };
    tokio::select! {
        read = reader.read(header.split_at_mut(1).0) => {
            if read? == 0 {
                return Ok(None);
            }
        }
        limit = waited => return Err(FramingError::TooSlow { limit_ms: limit.as_millis() }),
    }
    let rest = async {
        reader.read_exact(header.split_at_mut(1).1).await.map_err(ended)?;
        let len = frame::payload_len(&header)?;
        if len > limits.max_bytes {
            return Err(FramingError::TooLarge { max: limits.max_bytes, got: len });
        }
        let mut payload = vec![0u8; len];
        reader.read_exact(&mut payload).await.map_err(ended)?;
        Ok(Some(payload))
    };
    timeout(limits.rest, rest).await.map_err(|_| FramingError::TooSlow { limit_ms: limits.rest.as_millis() })?
}

/// Writes one frame within `limit`; does not flush.
pub async fn write_frame<W>(writer: &mut W, payload: &[u8], limit: Duration) -> Result<(), FramingError>
where
    W: AsyncWrite + Unpin,
{
    let header = frame::header(payload.len())?;
    let write = async {
        writer.write_all(&header).await?;
        writer.write_all(payload).await
    };
    timeout(limit, write).await.map_err(|_| FramingError::TooSlow { limit_ms: limit.as_millis() })??;
    Ok(())
}

fn ended(error: io::Error) -> FramingError {
    if error.kind() == io::ErrorKind::UnexpectedEof { FramingError::Truncated } else { FramingError::Io(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ReadLimits =
        ReadLimits { max_bytes: 16, first_byte: Some(Duration::from_millis(50)), rest: Duration::from_millis(50) };

    #[tokio::test]
    async fn what_is_written_is_read() {
        let (mut a, mut b) = tokio::io::duplex(64);
        write_frame(&mut a, b"hello", Duration::from_secs(1)).await.unwrap();
        drop(a);
        assert_eq!(read_frame(&mut b, LIMITS).await.unwrap().unwrap(), b"hello");
        assert!(read_frame(&mut b, LIMITS).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn t45_a_length_over_the_limit_of_the_place_is_refused_before_the_payload_comes() {
        let (mut a, mut b) = tokio::io::duplex(64);
        a.write_all(&frame::header(17).unwrap()).await.unwrap();
        assert!(matches!(read_frame(&mut b, LIMITS).await, Err(FramingError::TooLarge { max: 16, got: 17 })));
    }

    #[tokio::test]
    async fn t46_another_frame_version_is_a_typed_error() {
        let (mut a, mut b) = tokio::io::duplex(64);
        a.write_all(&[0xC5, 0x16, 2, 0, 0, 0, 0, 1]).await.unwrap();
        let error = read_frame(&mut b, LIMITS).await.unwrap_err();
        assert!(matches!(error, FramingError::Frame(FrameError::Version(2))), "{error}");
        assert_eq!(error.code(), "version");
    }

    #[tokio::test]
    async fn silence_and_dribble_end_in_time() {
        let (mut a, mut b) = tokio::io::duplex(64);
        assert!(matches!(read_frame(&mut b, LIMITS).await, Err(FramingError::TooSlow { .. })));
        a.write_all(&[0xC5, 0x16]).await.unwrap();
        assert!(matches!(read_frame(&mut b, LIMITS).await, Err(FramingError::TooSlow { .. })));
        a.write_all(&[0xC5, 0x16]).await.unwrap();
        drop(a);
        assert!(matches!(read_frame(&mut b, LIMITS).await, Err(FramingError::Truncated)));
    }
}
