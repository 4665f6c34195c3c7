//! One admin connection.

use crate::activity::Activity;
use crate::config;
use crate::control::Session;
use crate::framing::{FramingError, ReadLimits, read_frame, write_frame};
use crate::metrics::Metrics;
use crate::outbox::NotTaken;
use crate::rate::Rate;
use crate::share::Share;
use countersign_wire::Bytes;
use countersign_wire::host_link::FromHost;
use countersign_wire::limits::MAX_ADMIN_BYTES;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Packets of one connection on their way to the enclave.
const PACKETS_UNDER_WAY: usize = 1;
const BYTES_UNDER_WAY: u32 = 1024 * 1024;

const _: () = assert!(MAX_ADMIN_BYTES <= 1024 * 1024);

/// One connection, before it is served.
pub struct AdminConnection {
    /// Its number.
    pub number: u64,
    /// The session that it belongs to.
    pub session: Session,
    /// Limits.
    pub config: Arc<config::Admin>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the other side closed it")]
    ByOperator,
    #[error("the enclave closed it, or its reader fell behind")]
    ByEnclave,
    #[error("nothing moved for too long")]
    Idle,
    #[error("the enclave is gone")]
    EnclaveGone,
    #[error(transparent)]
    Framing(#[from] FramingError),
}

impl Ended {
    fn code(&self) -> &'static str {
        match self {
            Self::ByOperator => "operator",
            Self::ByEnclave => "enclave",
            Self::Idle => "idle",
            Self::EnclaveGone => "enclave_gone",
            Self::Framing(e) => e.code(),
        }
    }
}

impl From<NotTaken> for Ended {
    fn from(_: NotTaken) -> Self {
        Self::EnclaveGone
    }
}

impl AdminConnection {
    /// Serves the connection until either side closes it. The enclave hears of its opening first and of its end last.
    pub async fn run(self, stream: UnixStream) {
        let _open = self.metrics.admin_connection();
        let connection = self.number;
        let packets = self.session.admin.open(connection, self.config.queue_packets);
        let ended = match self.session.outbox.send(FromHost::AdminOpened { connection }).await {
            Ok(()) => self.serve(stream, packets).await,
            Err(NotTaken) => Ended::EnclaveGone,
        };
        self.session.admin.close(connection);
        let _ = self.session.outbox.send(FromHost::AdminClosed { connection }).await;
        self.metrics.admin_closed(ended.code());
        tracing::debug!(connection, reason = %ended, "an admin connection is closed");
    }

    async fn serve(&self, stream: UnixStream, packets: mpsc::Receiver<Vec<u8>>) -> Ended {
        let (reader, writer) = stream.into_split();
        let activity = Activity::new();
        tokio::select! {
            ended = self.read(reader, &activity) => ended,
            ended = self.write(writer, packets, &activity) => ended,
            () = activity.idle_for(self.config.idle_timeout_ms.into()) => Ended::Idle,
            () = self.session.closing.cancelled() => Ended::EnclaveGone,
        }
    }

    async fn read(&self, mut reader: OwnedReadHalf, activity: &Activity) -> Ended {
        match self.read_all(&mut reader, activity).await {
            Ok(()) => Ended::ByOperator,
            Err(ended) => ended,
        }
    }

    async fn read_all(&self, reader: &mut OwnedReadHalf, activity: &Activity) -> Result<(), Ended> {
        let connection = self.number;
        let rest = self.config.frame_timeout_ms.into();
        let limits = ReadLimits { max_bytes: MAX_ADMIN_BYTES, first_byte: None, rest };
        let share = Share::new(PACKETS_UNDER_WAY, BYTES_UNDER_WAY);
        let mut rate = Rate::new(self.config.max_packets_per_second);
        loop {
            rate.take().await;
            let Some(packet) = read_frame(reader, limits).await? else { return Ok(()) };
            activity.touch();
            let place = share.take(packet.len()).await.ok_or(Ended::EnclaveGone)?;
            let max = MAX_ADMIN_BYTES;
            let packet = Bytes::new(packet).map_err(|e| FramingError::TooLarge { max, got: e.got })?;
            self.session.outbox.send_in(FromHost::Admin { connection, packet }, place).await?;
            self.metrics.admin_packet(true);
        }
    }

    async fn write(
        &self,
        mut writer: OwnedWriteHalf,
        mut packets: mpsc::Receiver<Vec<u8>>,
        activity: &Activity,
    ) -> Ended {
        let limit = self.config.write_timeout_ms.into();
        while let Some(packet) = packets.recv().await {
            if let Err(error) = write_frame(&mut writer, &packet, limit).await {
                return error.into();
            }
            activity.touch();
            self.metrics.admin_packet(false);
        }
        let _ = timeout(limit, writer.shutdown()).await;
        Ended::ByEnclave
    }
}
