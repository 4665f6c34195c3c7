//! Copying bytes both ways. When one side has sent all it will, the other is told so and may go on sending.

use crate::activity::Activity;
use crate::stream::Stream;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Bytes read at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// Limits of one stream.
#[derive(Debug, Clone, Copy)]
pub struct CopyLimits {
    /// How long it may stand still.
    pub idle: Duration,
    /// The same, once the enclave has sent everything.
    pub half_closed: Duration,
    /// How long it may live.
    pub total: Duration,
    /// Most bytes in each direction.
    pub max_bytes: u64,
}

/// What was copied.
#[derive(Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes out of the enclave.
    pub out: u64,
    /// Bytes into the enclave.
    pub into: u64,
    /// Why it ended.
    pub end: End,
}

/// Why copying ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides had sent everything.
    Done,
    /// One side broke.
    Broken,
    /// Too many bytes.
    Bytes,
    /// Nothing moved.
    Idle,
    /// It lived too long.
    Total,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Broken => "broken",
            Self::Bytes => "too many bytes",
            Self::Idle => "idle for too long",
            Self::Total => "open for too long",
        })
    }
}

/// Copies between the enclave and the outside until both have sent everything or a limit is reached.
pub async fn both_ways(enclave: &mut Stream, outside: TcpStream, limits: CopyLimits) -> Copied {
    let (mut from_enclave, mut to_enclave) = split(enclave);
    let (mut from_outside, mut to_outside) = outside.into_split();
    let activity = Activity::new();
    let (out, into) = (AtomicU64::new(0), AtomicU64::new(0));
    let enclave_done = Notify::new();
    let both = async {
        let outwards = async {
            one_way(&mut from_enclave, &mut to_outside, &activity, &out, limits.max_bytes).await?;
            enclave_done.notify_one();
            Ok(())
        };
        let result = tokio::try_join!(
            outwards,
            one_way(&mut from_outside, &mut to_enclave, &activity, &into, limits.max_bytes),
        );
        match result {
            Ok(_) => End::Done,
            Err(end) => end,
        }
    };
    let half_closed = async {
        enclave_done.notified().await;
        activity.idle_for(limits.half_closed).await;
    };
    let end = tokio::select! {
        end = both => end,
        () = activity.idle_for(limits.idle) => End::Idle,
        () = half_closed => End::Idle,
        () = sleep(limits.total) => End::Total,
    };
    Copied { out: out.into_inner(), into: into.into_inner(), end }
}

async fn one_way<R, W>(
    reader: &mut R,
    writer: &mut W,
    activity: &Activity,
    copied: &AtomicU64,
    max_bytes: u64,
) -> Result<(), End>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let broken = |_: io::Error| End::Broken;
    let mut buffer = vec![0u8; BUFFER_BYTES];
    loop {
        let read = reader.read(&mut buffer).await.map_err(broken)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        activity.touch();
        let more = u64::try_from(read).unwrap_or(u64::MAX);
        if copied.load(Ordering::Relaxed).saturating_add(more) > max_bytes {
            return Err(End::Bytes);
        }
        writer.write_all(bytes).await.map_err(broken)?;
        copied.fetch_add(more, Ordering::Relaxed);
        activity.touch();
    }
    // A peer that has gone altogether cannot be told; what it sent still counts.
    let _ = writer.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const LIMITS: CopyLimits = CopyLimits {
        idle: Duration::from_secs(20),
        half_closed: Duration::from_secs(20),
        total: Duration::from_secs(20),
        max_bytes: 1024,
    };

    async fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_side_that_has_sent_everything_still_receives() {
        let (near, mut far) = tcp_pair().await;
        let (mut enclave, inside) = tokio::io::duplex(256);
        let mut inside: Stream = Box::new(inside);
        let copying = tokio::spawn(async move { both_ways(&mut inside, near, LIMITS).await });
        enclave.write_all(b"question").await.unwrap();
        enclave.shutdown().await.unwrap();
        let mut question = String::new();
        far.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        far.write_all(b"answer").await.unwrap();
        drop(far);
        let mut answer = String::new();
        enclave.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        assert_eq!(copying.await.unwrap(), Copied { out: 8, into: 6, end: End::Done });
    }

    #[tokio::test]
    async fn each_limit_ends_a_stream() {
        let short = Duration::from_millis(50);
        for (limits, sent, end) in [
            (CopyLimits { idle: short, ..LIMITS }, 1, End::Idle),
            (CopyLimits { total: short, ..LIMITS }, 1, End::Total),
            (CopyLimits { max_bytes: 7, ..LIMITS }, 8, End::Bytes),
        ] {
            let (near, _far) = tcp_pair().await;
            let (mut enclave, inside) = tokio::io::duplex(256);
            let mut inside: Stream = Box::new(inside);
            enclave.write_all(&vec![0; sent]).await.unwrap();
            assert_eq!(both_ways(&mut inside, near, limits).await.end, end);
        }
    }

    #[tokio::test]
    async fn an_outside_that_ignores_the_enclaves_end_does_not_keep_the_stream() {
        let (near, _far) = tcp_pair().await;
        let (enclave, inside) = tokio::io::duplex(256);
        let mut inside: Stream = Box::new(inside);
        drop(enclave);
        let limits = CopyLimits { half_closed: Duration::from_millis(50), ..LIMITS };
        assert_eq!(both_ways(&mut inside, near, limits).await.end, End::Idle);
    }
}
