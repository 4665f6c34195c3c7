//! Takes the place of a workspace whose process was ended: under its address, its certificate and its message key it serves
//! the co-signers' links, and says to the customer's what the bench wants.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Json};
use axum::routing::{get, post};
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use countersign_wire::ceremony::{CosignerMessage, ToCosigner, WorkspaceMessage};
use countersign_wire::ids::PartyId;
use countersign_wire::relay::{RelayDown, RelayUp};
use countersign_wire::{Bytes, Message, Signed, SigningIdentity};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a co-signer may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

struct Shared {
    customer: PartyId,
    /// The customer's link, when it is up.
    down: Mutex<Option<mpsc::UnboundedSender<Vec<u8>>>>,
    up: mpsc::UnboundedSender<CosignerMessage>,
}

/// The workspace of the bench.
pub struct BenchWorkspace {
    shared: Arc<Shared>,
    key: SigningIdentity,
    /// What the customer's co-signer says.
    pub said: mpsc::UnboundedReceiver<CosignerMessage>,
}

impl BenchWorkspace {
    /// Serves at `address` and waits until the customer's co-signer is back.
    pub async fn start(address: SocketAddr, folder: &Path, customer: PartyId) -> Self {
        let stored: Value = serde_json::from_slice(&std::fs::read(folder.join("workspace.db.keys")).unwrap()).unwrap();
        let mut secret = [0u8; 32];
        hex::decode_to_slice(stored["message_key"].as_str().unwrap(), &mut secret).unwrap();
        let (up, said) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { customer, down: Mutex::default(), up });
        let app = Router::new()
            .route("/v1/access_token", post(|| async { Json(json!({"accessToken": "bench", "expiresIn": 900})) }))
            .route("/v1/relay", get(relay))
            .with_state(shared.clone());
        let tls = RustlsConfig::from_pem_file(folder.join("tls.crt"), folder.join("tls.key")).await.unwrap();
        let acceptor = RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor::new());
        tokio::spawn(axum_server::bind(address).acceptor(acceptor).serve(app.into_make_service()));
        let back = async {
            while shared.down.lock().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(BACK_WITHIN, back).await.expect("the customer's co-signer comes back");
        Self { shared, key: SigningIdentity::from_secret(&secret), said }
    }

    /// Says something to the customer's co-signer.
    pub fn say(&self, message: WorkspaceMessage) {
        let signed = Signed::sign(&ToCosigner { to: self.shared.customer, message }, &self.key);
        let frame = RelayDown::Workspace(Bytes::new(borsh::to_vec(&signed).unwrap()).unwrap()).encode();
        self.shared.down.lock().unwrap().as_ref().expect("a link").send(frame).expect("a link");
    }
}

async fn relay(State(shared): State<Arc<Shared>>, socket: WebSocketUpgrade) -> impl IntoResponse {
    socket.on_upgrade(move |socket| carry(shared, socket))
}

/// Whose link it is shows with the first message that opens under the customer's key; others are kept open, and silent.
async fn carry(shared: Arc<Shared>, socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    let (down, mut frames) = mpsc::unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        while let Some(frame) = frames.recv().await {
            if sink.send(Frame::Binary(frame.into())).await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(frame)) = stream.next().await {
        let Frame::Binary(bytes) = frame else { continue };
        let Ok(RelayUp::Workspace(bytes)) = RelayUp::decode(&bytes) else { continue };
        let opened = borsh::from_slice::<Signed<CosignerMessage>>(&bytes).ok();
        let Some(message) = opened.and_then(|signed| signed.open(&shared.customer.0).ok()) else { continue };
        shared.down.lock().unwrap().get_or_insert_with(|| down.clone());
        let _ = shared.up.send(message);
    }
}
