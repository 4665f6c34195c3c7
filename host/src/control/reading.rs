//! Messages from the enclave. Anything that is not one of ours, or not in order, ends the connection.

use super::{Control, Session};
use crate::framing::{FramingError, ReadLimits, read_frame};
use crate::links::Links;
use crate::storage;
use crate::stream::Stream;
use countersign_wire::host_link::FromEnclave;
use countersign_wire::limits::MAX_FRAME_BYTES;
use countersign_wire::{DecodeError, Message};
use tokio::io::{BufReader, ReadHalf};

/// Why the control connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("expected batch {expected}, got {got}")]
    Sequence { expected: u64, got: u64 },
    #[error(transparent)]
    Storage(#[from] storage::Closed),
}

impl Ended {
    fn code(&self) -> &'static str {
        match self {
            Self::Framing(e) => e.code(),
            Self::Decode(DecodeError::Version { .. }) => "version",
            Self::Decode(_) => "malformed",
            Self::Sequence { .. } => "sequence",
            Self::Storage(_) => "storage",
        }
    }
}

/// Serves the enclave until its connection ends.
pub async fn run(reader: ReadHalf<Stream>, session: &Session, control: &Control) {
    let mut links = Links::new(session.clone(), control.links.clone(), control.metrics.clone());
    let result = tokio::select! {
        result = serve(reader, session, control, &mut links) => result,
        () = session.closing.cancelled() => Ok(()),
    };
    if let Err(error) = result {
        control.metrics.enclave_refused(error.code());
        tracing::warn!(%error, "the control connection is closed");
    }
}

async fn serve(reader: ReadHalf<Stream>, session: &Session, control: &Control, links: &mut Links) -> Result<(), Ended> {
    let mut reader = BufReader::new(reader);
    let rest = control.config.enclave.frame_timeout_ms.into();
    let limits = ReadLimits { max_bytes: MAX_FRAME_BYTES, first_byte: None, rest };
    let mut expected = None;
    while let Some(payload) = read_frame(&mut reader, limits).await? {
        match FromEnclave::decode(&payload)? {
            FromEnclave::LoadBlobs => control.storage.load(session.asker.clone()).await?,
            FromEnclave::Persist { sequence, fresh, writes } => {
                let expected_now = expected.unwrap_or(sequence);
                if sequence != expected_now {
                    return Err(Ended::Sequence { expected: expected_now, got: sequence });
                }
                expected = Some(sequence.wrapping_add(1));
                control.storage.persist(sequence, fresh, writes.into_vec(), session.asker.clone()).await?;
            }
            FromEnclave::LinkOpen { pairing, url, access_token, roots } => {
                links.open(pairing, &url, &access_token, roots.into_vec()).await;
            }
            FromEnclave::LinkClose { pairing } => links.close(pairing).await,
            FromEnclave::LinkSend { pairing, frame } => links.send(pairing, frame.into_vec()),
            FromEnclave::Admin { connection, packet } => session.admin.deliver(connection, packet.into_vec()),
            FromEnclave::AdminClose { connection } => session.admin.close(connection),
            FromEnclave::Report { ready, counters } => control.metrics.reported(ready, &counters),
            FromEnclave::Stopping { why } => {
                tracing::error!(why = why.as_str(), "the enclave ends");
                control.metrics.enclave_stopped(why.as_str());
            }
        }
    }
    Ok(())
}
