//! The control connection: kept open for ever, with reconnect and back-off.

use crate::event::Event;
use crate::frames::{LinkError, read_message, write_message};
use crate::limits::{
    FIRST_RECONNECT_PAUSE, HOST_WRITE_TIMEOUT, MAX_RECONNECT_PAUSE, MAX_WAITING_HOST_MESSAGES, MAX_WRITE_BYTES,
    STABLE_CONNECTION, WELCOME_TIMEOUT,
};
use crate::transport::{Transport, connect};
use cosigner_core::Input;
use countersign_wire::Text;
use countersign_wire::host_link::{FromEnclave, FromHost, Opening};
use countersign_wire::ids::BootId;
use std::future::{Future, pending};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;

/// Keeps the control connection open until nobody takes events any more.
pub async fn run<T: Transport>(transport: &T, boot: BootId, version: &str, events: mpsc::Sender<Event>) {
    let opening = Opening::Control { boot, version: Text::cut(version) };
    let mut pause = FIRST_RECONNECT_PAUSE;
    let mut last_reason = String::new();
    while !events.is_closed() {
        let since = Instant::now();
        let error = connection(transport, &opening, &events).await;
        if events.send(Event::HostGone).await.is_err() {
            return;
        }
        if since.elapsed() >= STABLE_CONNECTION {
            pause = FIRST_RECONNECT_PAUSE;
        }
        // A host that is away for hours is worth one line, not thousands.
        let reason = error.to_string();
        if reason != last_reason {
            tracing::warn!(%reason, "no control connection to the host; trying again");
            last_reason = reason;
        }
        tokio::time::sleep(pause).await;
        pause = next_pause(pause);
    }
}

fn next_pause(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(MAX_RECONNECT_PAUSE)
}

/// One connection, from opening to its end.
async fn connection<T: Transport>(transport: &T, opening: &Opening, events: &mpsc::Sender<Event>) -> LinkError {
    let stream = match connect(transport).await {
        Ok(stream) => stream,
        Err(error) => return error.into(),
    };
    let (mut reader, writer) = tokio::io::split(stream);
    let mut writer = BufWriter::with_capacity(MAX_WRITE_BYTES, writer);
    let host_version = match greet(&mut reader, &mut writer, opening).await {
        Ok(version) => version,
        Err(error) => return error,
    };
    tracing::info!(%host_version, "connected to the host");
    let (queue, outgoing) = mpsc::channel(MAX_WAITING_HOST_MESSAGES);
    if events.send(Event::HostConnected(queue)).await.is_err() {
        return LinkError::Closed;
    }
    tokio::select! {
        error = receive(&mut reader, events) => error,
        error = send(&mut writer, outgoing) => error,
    }
}

async fn greet(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    opening: &Opening,
) -> Result<Text<32>, LinkError> {
    let greeting = async {
        write_message(writer, opening).await?;
        writer.flush().await?;
        read_message(reader).await
    };
    match within("answer the opening", WELCOME_TIMEOUT, greeting).await? {
        FromHost::Welcome { version } => Ok(version),
        other => Err(LinkError::Unexpected { expected: "Welcome", got: name_of(&other) }),
    }
}

/// Passes on what the host sends. Reads no further while the core is behind.
async fn receive(reader: &mut (impl AsyncRead + Unpin), events: &mpsc::Sender<Event>) -> LinkError {
    loop {
        let input = match read_message(reader).await.and_then(input_of) {
            Ok(input) => input,
            Err(error) => return error,
        };
        if events.send(Event::Input(input)).await.is_err() {
            // Nobody takes inputs any more. What there is to send decides how long this goes on.
            return pending().await;
        }
    }
}

/// Writes what the core sends.
async fn send(writer: &mut (impl AsyncWrite + Unpin), mut outgoing: mpsc::Receiver<FromEnclave>) -> LinkError {
    while let Some(message) = outgoing.recv().await {
        let last = outgoing.is_empty();
        let writing = async {
            write_message(writer, &message).await?;
            if last {
                writer.flush().await?;
            }
            Ok(())
        };
        if let Err(error) = within("take a message", HOST_WRITE_TIMEOUT, writing).await {
            return error;
        }
    }
    LinkError::Closed
}

async fn within<T>(
    what: &'static str,
    within: Duration,
    work: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, LinkError> {
    tokio::time::timeout(within, work).await.unwrap_or(Err(LinkError::Timeout { what, within }))
}

fn input_of(message: FromHost) -> Result<Input, LinkError> {
    Ok(match message {
        FromHost::Welcome { .. } => {
            return Err(LinkError::Unexpected { expected: "anything but a second Welcome", got: "Welcome" });
        }
        FromHost::Blob { name, value } => Input::Blob { name, value: value.into_vec() },
        FromHost::BlobsEnd { count } => Input::BlobsEnd { count },
        FromHost::Persisted { sequence } => Input::Persisted { sequence },
        FromHost::PersistFailed { sequence, detail } => {
            Input::PersistFailed { sequence, detail: detail.as_str().to_owned() }
        }
        FromHost::LinkUp { pairing } => Input::LinkUp { pairing },
        FromHost::LinkDown { pairing, reason } => Input::LinkDown { pairing, reason },
        FromHost::LinkData { pairing, frame } => Input::LinkData { pairing, frame: frame.into_vec() },
        FromHost::AdminOpened { connection } => Input::AdminOpened { connection },
        FromHost::Admin { connection, packet } => Input::Admin { connection, packet: packet.into_vec() },
        FromHost::AdminClosed { connection } => Input::AdminClosed { connection },
        FromHost::Health(health) => Input::HostHealth(health),
    })
}

fn name_of(message: &FromHost) -> &'static str {
    match message {
        FromHost::Welcome { .. } => "Welcome",
        FromHost::Blob { .. } => "Blob",
        FromHost::BlobsEnd { .. } => "BlobsEnd",
        FromHost::Persisted { .. } => "Persisted",
        FromHost::PersistFailed { .. } => "PersistFailed",
        FromHost::LinkUp { .. } => "LinkUp",
        FromHost::LinkDown { .. } => "LinkDown",
        FromHost::LinkData { .. } => "LinkData",
        FromHost::AdminOpened { .. } => "AdminOpened",
        FromHost::Admin { .. } => "Admin",
        FromHost::AdminClosed { .. } => "AdminClosed",
        FromHost::Health(_) => "Health",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = vec![FIRST_RECONNECT_PAUSE];
        for _ in 0..10 {
            pauses.push(next_pause(pauses[pauses.len() - 1]));
        }
        assert_eq!(pauses[1], FIRST_RECONNECT_PAUSE * 2);
        assert_eq!(pauses[10], MAX_RECONNECT_PAUSE);
    }
}
