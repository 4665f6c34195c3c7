//! A co-signer with its link: pairs like an enclave, then carries a simulated party's messages.

use super::client::{Answer, Client, ok};
use super::running::Running;
use crate::ceremony::tests::handler::Control;
use crate::ceremony::tests::party::{Out, Party, Wish};
use cosigner_dev::{DocumentContent, DocumentSigner};
use countersign_token::{Claims, unverified_payload};
use countersign_wire::ceremony::ToCosigner;
use countersign_wire::group::Role;
use countersign_wire::ids::{PartyId, SessionId, WorkspaceId};
use countersign_wire::pairing_http::{
    ACCESS_TOKEN_PATH, CHALLENGE_PATH, PAIR_PATH, PairingBinding, RELAY_PATH, pairing_binding,
};
use countersign_wire::relay::{RelayDown, RelayUp};
use countersign_wire::status::ApprovalKind;
use countersign_wire::{Bytes, Message, Signed};
use futures_util::{SinkExt, StreamExt};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

pub const OPERATOR: [u8; 32] = [0x0e; 32];
pub const INSTANCE: [u8; 32] = [0x11; 32];

/// What an enclave would send to `/v1/pair_device`, ready to be made wrong.
pub struct Attempt {
    pub party: [u8; 32],
    pub role: &'static str,
    pub token: String,
    pub pcr0: [u8; 48],
    /// The binding's party, where it is to differ.
    pub bound_party: [u8; 32],
    pub nonce: Option<Vec<u8>>,
    pub operators: Vec<[u8; 32]>,
    pub required: u16,
    pub auto_approve: bool,
    pub require_intent: bool,
    pub approval_key: [u8; 32],
}

impl Attempt {
    pub fn new(party: PartyId, role: Role, token: &str) -> Self {
        let role = crate::store::cosigners::role_str(role);
        Self {
            party: party.0,
            role,
            token: token.to_owned(),
            pcr0: [1; 48],
            bound_party: party.0,
            nonce: None,
            operators: vec![OPERATOR],
            required: 1,
            auto_approve: false,
            require_intent: true,
            approval_key: [0xa9; 32],
        }
    }

    fn claims(&self) -> (String, String) {
        let claims = Claims::parse(&unverified_payload(&self.token).unwrap()).unwrap();
        (claims.string("sub").unwrap().to_owned(), claims.string("jti").unwrap().to_owned())
    }

    pub async fn challenge(&self, client: &Client) -> String {
        let challenge = ok(client.post_bare(CHALLENGE_PATH, &json!({"user_id": self.claims().0})).await);
        challenge["challenge"].as_str().unwrap().to_owned()
    }

    pub fn request(&self, running: &Running, challenge: &str) -> Value {
        let (user, jti) = self.claims();
        let workspace: WorkspaceId = running.made.workspace_id.parse().unwrap();
        let binding = PairingBinding {
            party: self.bound_party,
            instance: INSTANCE,
            operators: &self.operators,
            required: self.required,
            workspace: workspace.0,
            user: &user,
            jti: &jti,
            role: self.role,
            approval_key: self.approval_key,
        };
        let now_ms = crate::clock::now_ms();
        let signer = DocumentSigner::issue(&running.root, "i-1-enc1", now_ms).unwrap();
        let content = DocumentContent {
            module_id: "i-1-enc1".into(),
            timestamp_ms: now_ms,
            pcrs: BTreeMap::from([(0, self.pcr0), (1, [2; 48]), (2, [3; 48])]),
            public_key: Some(self.party.to_vec()),
            user_data: Some(pairing_binding(&binding).to_vec()),
            nonce: Some(self.nonce.clone().unwrap_or_else(|| hex::decode(challenge).unwrap())),
        };
        use base64::Engine;
        json!({
            "token": self.token, "challenge": challenge,
            "document": base64::engine::general_purpose::STANDARD.encode(signer.document(&content).unwrap()),
            "party": hex::encode(self.party), "instance": hex::encode(INSTANCE), "role": self.role,
            "operators": self.operators.iter().map(hex::encode).collect::<Vec<_>>(), "required": self.required,
            "auto_approve": self.auto_approve, "require_intent": self.require_intent,
            "version": "0.1.0", "approval_key": hex::encode(self.approval_key),
        })
    }

    pub async fn pair(&self, running: &Running) -> Answer {
        let challenge = self.challenge(&running.owner).await;
        running.owner.post_bare(PAIR_PATH, &self.request(running, &challenge)).await
    }
}

pub async fn access_token(client: &Client, refresh_token: &str) -> Answer {
    client.post_bare(ACCESS_TOKEN_PATH, &json!({"refreshToken": refresh_token})).await
}

/// A paired co-signer. Its link is kept up until it is dropped.
pub struct Cosigner {
    pub party: PartyId,
    pub device: String,
    pub refresh_token: String,
    /// Has its handler and its operators do something.
    pub control: Arc<Mutex<Control>>,
    task: JoinHandle<()>,
}

impl Drop for Cosigner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cosigner {
    /// Pairs a party for a user and opens its link.
    pub async fn paired(running: &Running, secret: u8, role: Role, user: &str) -> Self {
        Self::paired_with(running, secret, role, user, |_| {}).await
    }

    pub async fn paired_with(
        running: &Running,
        secret: u8,
        role: Role,
        user: &str,
        change: impl FnOnce(&mut Party),
    ) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(secret));
        let mut party = Party::new(secret, role, &mut rng);
        change(&mut party);
        party.workspace = running.made.workspace_id.parse().unwrap();
        let id = party.id();
        let control = Arc::clone(&party.control);
        control.lock().unwrap().users.insert(user.parse().unwrap(), (ApprovalKind::Handler, [0x5e; 32]));
        let approval_key = party.approval_key.public();
        let attempt = Attempt { approval_key, ..Attempt::new(id, role, &running.token(user).await) };
        let answer = ok(attempt.pair(running).await);
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        let message_key = ok(running.owner.post_bare(CHALLENGE_PATH, &json!({"user_id": user})).await);
        let mut key = [0; 32];
        hex::decode_to_slice(message_key["message_key"].as_str().unwrap(), &mut key).unwrap();
        let link = Link {
            client: running.owner.clone(),
            ca_pem: running.ca_pem.clone(),
            refresh_token: text("refreshToken"),
            message_key: key,
            party,
            rng,
        };
        let (device, refresh_token) = (text("deviceId"), text("refreshToken"));
        Self { party: id, device, refresh_token, control, task: tokio::spawn(link.keep_up()) }
    }
}

struct Link {
    client: Client,
    ca_pem: String,
    refresh_token: String,
    message_key: [u8; 32],
    party: Party,
    rng: ChaCha20Rng,
}

pub type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

pub async fn connect(
    base: &str,
    ca_pem: &str,
    access_token: &str,
) -> Result<Socket, Box<tokio_tungstenite::tungstenite::Error>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url = format!("{}{RELAY_PATH}", base.replacen("https", "wss", 1));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Authorization", format!("Bearer {access_token}").parse().unwrap());
    let connector = Connector::Rustls(Arc::new(config));
    let connected = connect_async_tls_with_config(request, None, false, Some(connector)).await;
    connected.map(|(socket, _)| socket).map_err(Box::new)
}

impl Link {
    async fn keep_up(mut self) {
        // Timers outlive links.
        let (later, mut wishes) = mpsc::unbounded_channel::<Wish>();
        loop {
            if let Some(socket) = self.open().await {
                self.carry(socket, &later, &mut wishes).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn open(&self) -> Option<Socket> {
        let body = json!({"refreshToken": self.refresh_token}).to_string().into_bytes();
        let request = self.client.bare(reqwest::Method::POST, ACCESS_TOKEN_PATH, body);
        let answer: Value = request.send().await.ok()?.json().await.ok()?;
        connect(&self.client.base, &self.ca_pem, answer["accessToken"].as_str()?).await.ok()
    }

    fn up(&self, message: &countersign_wire::ceremony::CosignerMessage) -> Frame {
        let signed = borsh::to_vec(&Signed::sign(message, &self.party.identity)).unwrap();
        Frame::Binary(RelayUp::Workspace(Bytes::new(signed).unwrap()).encode().into())
    }

    async fn carry(
        &mut self,
        socket: Socket,
        later: &mpsc::UnboundedSender<Wish>,
        wishes: &mut mpsc::UnboundedReceiver<Wish>,
    ) {
        let (mut sink, mut stream) = socket.split();
        let mut outs = vec![Out::Up(self.party.hello())];
        outs.extend(self.party.users().map(Out::Up));
        outs.extend(self.party.resume());
        loop {
            for out in outs.drain(..) {
                let frame = match out {
                    Out::Up(message) => self.up(&message),
                    Out::Peer(to, session) => {
                        let packet = Bytes::new(session.0.to_vec()).unwrap();
                        Frame::Binary(RelayUp::Peer { to, packet }.encode().into())
                    }
                    Out::Later(delay_ms, wish) => {
                        let later = later.clone();
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                            let _ = later.send(wish);
                        });
                        continue;
                    }
                };
                if sink.send(frame).await.is_err() {
                    return;
                }
            }
            let now_ms = crate::clock::now_ms();
            tokio::select! {
                wish = wishes.recv() => outs = self.party.wish(now_ms, wish.unwrap()),
                () = tokio::time::sleep(Duration::from_millis(100)) => outs = self.party.expire(now_ms),
                frame = stream.next() => match frame {
                    Some(Ok(Frame::Binary(bytes))) => outs = self.down(now_ms, &bytes),
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                    _ => return,
                },
            }
        }
    }

    fn down(&mut self, now_ms: u64, bytes: &[u8]) -> Vec<Out> {
        match RelayDown::decode(bytes).unwrap() {
            RelayDown::Workspace(bytes) => {
                let signed: Signed<ToCosigner> = borsh::from_slice(&bytes).unwrap();
                let word = signed.open(&self.message_key).expect("signed with the workspace's message key");
                assert_eq!(word.to, self.party.id());
                self.party.on_message(now_ms, word.message, &mut self.rng)
            }
            RelayDown::Peer { from, packet } => {
                self.party.on_peer(from, SessionId(packet.to_vec().try_into().unwrap()))
            }
        }
    }
}
