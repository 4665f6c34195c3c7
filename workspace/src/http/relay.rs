//! `GET /v1/relay`: a co-signer's host opens a WebSocket with its access token and keeps it open.

use super::App;
use super::errors::ApiError;
use crate::ceremony::Input;
use crate::clock::now_ms;
use crate::hub::LinkEnd;
use crate::service::{Stopped, opened};
use crate::store::{StoreError, cosigners, pairing};
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use countersign_wire::Message;
use countersign_wire::ids::PartyId;
use countersign_wire::refusal::Code;
use countersign_wire::relay::RelayUp;
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How long a link may take to accept a frame.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A link that is silent for so many pings is closed.
const SILENT_PINGS: u32 = 3;

/// `GET /v1/relay`
pub async fn open(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    socket: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let unauthorised = || {
        app.metrics.refusal("relay_token");
        let message = "the access token is missing, unknown or expired: exchange the refresh token for another one";
        ApiError::new(StatusCode::UNAUTHORIZED, Code::TokenExpired.as_str(), message)
    };
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(unauthorised)?;
    let party = pairing::access(&mut *app.store.read().await?, token, now_ms()).await?.ok_or_else(unauthorised)?;
    app.connections.link(peer).map_err(|full| {
        app.metrics.refusal("too_many_links");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, Code::Busy.as_str(), full.to_string())
    })?;
    let socket = socket.max_message_size(RelayUp::MAX_BYTES).max_frame_size(RelayUp::MAX_BYTES);
    Ok(socket.on_upgrade(move |socket| serve(app, party, socket)))
}

/// Why a link ended that the hub let go.
const REPLACED: &str = "a newer link of the same co-signer came, or its approval was withdrawn";

async fn serve(app: Arc<App>, party: PartyId, socket: WebSocket) {
    let end = app.hub.connect(party);
    let (number, over) = (end.number, end.over());
    tracing::info!(%party, "a co-signer's link came up");
    if let Err(error) = seen(&app, &party).await {
        tracing::warn!(%error, "the time of a link could not be stored");
    }
    let why = match may_stay(&app, party).await {
        Ok(()) => tokio::select! {
            why = carry(&app, party, socket, end) => why,
            // Also where the other side reads slowly what waits for it.
            () = over => REPLACED,
            () = stops(app.stopping.clone()) => "the workspace is stopping",
        },
        Err(why) => why,
    };
    tracing::info!(%party, why, "a co-signer's link ended");
    if app.hub.disconnect(&party, number) {
        // The coordinator may be gone: the process is stopping then.
        let _ = app.service.tell(Input::Disconnected { party }).await;
        if app.hub.is_connected(&party) {
            // A new link came between the two lines above: it must not be taken for down.
            let _ = app.service.tell(Input::Connected { party }).await;
        } else if let Err(error) = seen(&app, &party).await {
            tracing::warn!(%error, "the time of a link could not be stored");
        }
    }
}

/// Tells the coordinator of a link, unless the approval was withdrawn since its token was looked at. A withdrawal that is
/// committed after this look finds the link in the hub and cuts it.
async fn may_stay(app: &App, party: PartyId) -> Result<(), &'static str> {
    let approved = async { cosigners::is_approved(&mut *app.store.read().await?, &party).await };
    match approved.await {
        Ok(true) => app.service.tell(Input::Connected { party }).await.map_err(|Stopped| "the workspace is stopping"),
        Ok(false) => Err("its pairing waits for an owner's approval"),
        Err(error) => {
            tracing::warn!(%error, "whether a co-signer is approved could not be read");
            Err("the database does not answer")
        }
    }
}

async fn stops(mut stopping: tokio::sync::watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop too.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn seen(app: &App, party: &PartyId) -> Result<(), StoreError> {
    let mut write = app.store.write().await?;
    cosigners::seen(&mut write, party, now_ms()).await?;
    Ok(write.commit().await?)
}

/// Carries frames until the link ends; says why it did.
async fn carry(app: &App, party: PartyId, socket: WebSocket, mut end: LinkEnd) -> &'static str {
    let (mut sink, mut stream) = socket.split();
    let ping_every = Duration::from_secs(app.deadlines.link_ping);
    let mut pings = interval(ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let outgoing = tokio::select! {
            frame = end.next() => match frame {
                Some(bytes) => Frame::Binary(bytes.into()),
                None => return REPLACED,
            },
            incoming = stream.next() => {
                heard = Instant::now();
                match incoming {
                    Some(Ok(Frame::Binary(bytes))) => match take(app, party, &bytes).await {
                        Ok(()) => continue,
                        Err(why) => return why,
                    },
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => continue,
                    Some(Ok(Frame::Text(_))) => return "expected binary messages, got text",
                    Some(Ok(Frame::Close(_))) | None => return "closed by the other side",
                    Some(Err(_)) => return "the connection broke",
                }
            }
            _ = pings.tick() => {
                if heard.elapsed() > ping_every.saturating_mul(SILENT_PINGS) {
                    return "nothing was heard for three pings";
                }
                Frame::Ping(Default::default())
            }
        };
        match timeout(WRITE_TIMEOUT, sink.send(outgoing)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return "the connection broke",
            Err(_) => return "the other side does not read",
        }
    }
}

async fn take(app: &App, from: PartyId, bytes: &[u8]) -> Result<(), &'static str> {
    app.metrics.frame("up");
    match RelayUp::decode(bytes) {
        // A packet that cannot be delivered is lost; it is counted.
        Ok(RelayUp::Peer { to, packet }) => {
            let _ = app.hub.relay(from, &to, packet);
            Ok(())
        }
        Ok(RelayUp::Workspace(bytes)) => match opened(&from, &bytes) {
            Ok(message) => {
                let input = Input::Message { from, message: Box::new(message) };
                app.service.tell(input).await.map_err(|Stopped| "the workspace is stopping")
            }
            Err(why) => {
                app.metrics.bad_message();
                tracing::warn!(%from, why, "a co-signer's message was refused");
                Ok(())
            }
        },
        Err(error) => {
            app.metrics.bad_message();
            tracing::warn!(%from, %error, "a frame was refused");
            Err("expected frames of this relay's version")
        }
    }
}
