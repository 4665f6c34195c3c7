//! A byte stream to or from the enclave, whichever socket it runs over.

use tokio::io::{AsyncRead, AsyncWrite};

/// Reads and writes.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A Unix or a vsock stream.
pub type Stream = Box<dyn Duplex>;
