//! A link while it is up: messages both ways, pings, and the ways in which it ends.

use super::LinkSettings;
use super::connect::Socket;
use super::queue::Waiting;
use crate::metrics::{DOWN, Metrics, UP};
use crate::outbox::Outbox;
use crate::share::Share;
use countersign_wire::Bytes;
use countersign_wire::host_link::FromHost;
use countersign_wire::ids::PairingId;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::{self, Message};

/// Close codes of the IANA WebSocket registry with which a workspace takes the access token back.
const CLOSE_UNAUTHORISED: [u16; 2] = [3000, 3003];

/// Why a link is no longer up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The workspace takes the access token back.
    #[error("the workspace closed it: the access token is no longer good")]
    Unauthorised,
    /// The workspace closed it.
    #[error("the workspace closed it")]
    Closed,
    /// Nothing came for too long, or nothing could be written.
    #[error("silence")]
    Silence,
    /// The connection broke, or the workspace sent what no workspace sends.
    #[error("{0}")]
    Broken(String),
}

impl End {
    /// One of [`super::LINK_FAILURES`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorised => "unauthorised",
            Self::Closed => "closed",
            Self::Silence => "silence",
            Self::Broken(_) => "websocket",
        }
    }
}

impl From<tungstenite::Error> for End {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Self::Closed,
            // Never the message itself.
            other => Self::Broken(other.to_string()),
        }
    }
}

/// One link that is up.
pub struct Connection<'a> {
    /// Whose.
    pub pairing: PairingId,
    /// Where messages from the workspace go.
    pub outbox: &'a Outbox,
    /// This link's share of that queue.
    pub share: &'a Share,
    /// Limits.
    pub settings: &'a LinkSettings,
    /// Counts.
    pub metrics: &'a Metrics,
}

impl Connection<'_> {
    /// Carries messages until the link ends.
    pub async fn run(&self, socket: &mut Socket, queue: &mut mpsc::Receiver<Waiting>) -> End {
        let (sink, stream) = socket.split();
        tokio::select! {
            end = self.read(stream) => end,
            end = self.write(sink, queue) => end,
        }
    }

    async fn read(&self, mut stream: SplitStream<&mut Socket>) -> End {
        loop {
            let message = match timeout(self.settings.config.silence_timeout_ms.into(), stream.next()).await {
                Err(_) => return End::Silence,
                Ok(None) => return End::Closed,
                Ok(Some(Err(error))) => return error.into(),
                Ok(Some(Ok(message))) => message,
            };
            match message {
                Message::Binary(frame) => self.pass_down(frame.into()),
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(Some(frame)) if CLOSE_UNAUTHORISED.contains(&u16::from(frame.code)) => {
                    return End::Unauthorised;
                }
                Message::Close(_) => return End::Closed,
                Message::Text(_) | Message::Frame(_) => return End::Broken("expected binary messages only".into()),
            }
        }
    }

    fn pass_down(&self, frame: Vec<u8>) {
        let Some(place) = self.share.try_take(frame.len()) else {
            return self.metrics.link_dropped(self.pairing, DOWN, 1);
        };
        let Ok(frame) = Bytes::new(frame) else {
            return self.metrics.link_dropped(self.pairing, DOWN, 1);
        };
        let data = FromHost::LinkData { pairing: self.pairing, frame };
        match self.outbox.try_send_in(data, place) {
            Ok(()) => self.metrics.link_carried(self.pairing, DOWN),
            Err(_) => self.metrics.link_dropped(self.pairing, DOWN, 1),
        }
    }

    async fn write(&self, mut sink: SplitSink<&mut Socket, Message>, queue: &mut mpsc::Receiver<Waiting>) -> End {
        let config = &self.settings.config;
        let mut ping = interval(config.ping_interval_ms.into());
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (message, _place) = tokio::select! {
                waiting = queue.recv() => match waiting {
                    Some(Waiting { frame, place }) => (Message::Binary(frame.into()), Some(place)),
                    None => return End::Closed,
                },
                _ = ping.tick() => (Message::Ping(Vec::new().into()), None),
            };
            let is_frame = message.is_binary();
            match timeout(config.write_timeout_ms.into(), sink.send(message)).await {
                Err(_) => return End::Silence,
                Ok(Err(error)) => return error.into(),
                Ok(Ok(())) if is_frame => self.metrics.link_carried(self.pairing, UP),
                Ok(Ok(())) => {}
            }
        }
    }
}
