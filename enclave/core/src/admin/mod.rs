//! The admin channel: end to end between an operator's CLI and this enclave. The host carries ciphertext.

mod apply;
pub(crate) mod command;
mod report;
mod rotation;

use crate::effect::Effect;
use crate::limits::{ADMIN_IDLE_MS, MAX_ADMIN_CONNECTIONS};
use crate::serving::Cx;
use countersign_channel::{StaticKey, Transport};
use countersign_wire::admin::{AdminPacket, AdminRequest, AdminResponse};
use countersign_wire::ids::InstanceId;
use countersign_wire::{Bytes, Message, SigningIdentity};
use std::collections::BTreeMap;

pub(crate) use rotation::Rotation;

/// All admin connections.
pub(crate) struct Admins {
    key: StaticKey,
    connections: BTreeMap<u64, Connection>,
    /// The highest number of a connection of this host.
    newest: u64,
}

struct Connection {
    transport: Option<Transport>,
    /// The nonce that the next command on this connection must carry.
    nonce: Option<[u8; 32]>,
    /// A request whose answer is under way: no other is read before that.
    waiting: bool,
    last_seen_ms: u64,
}

impl Admins {
    pub(crate) fn new(key: StaticKey) -> Self {
        Self { key, connections: BTreeMap::new(), newest: 0 }
    }

    /// An admin connected. A number serves once: what an admin waits for is never told to another one.
    pub(crate) fn opened(&mut self, cx: &mut Cx<'_>, id: u64) {
        if self.connections.len() >= MAX_ADMIN_CONNECTIONS || id <= self.newest {
            cx.out.push(Effect::AdminClose { connection: id });
            return;
        }
        self.newest = id;
        let connection = Connection { transport: None, nonce: None, waiting: false, last_seen_ms: cx.now };
        self.connections.insert(id, connection);
    }

    pub(crate) fn closed(&mut self, id: u64) {
        self.connections.remove(&id);
    }

    /// The host is gone, and with it whatever was for its connections. The next one numbers anew.
    pub(crate) fn close_all(&mut self) {
        self.connections.clear();
        self.newest = 0;
    }

    pub(crate) fn close_idle(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        let idle: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, c)| !c.waiting && now.saturating_sub(c.last_seen_ms) > ADMIN_IDLE_MS)
            .map(|(id, _)| *id)
            .collect();
        for id in idle {
            self.close(cx, id);
        }
    }

    /// Hangs up.
    pub(crate) fn close(&mut self, cx: &mut Cx<'_>, id: u64) {
        self.connections.remove(&id);
        cx.out.push(Effect::AdminClose { connection: id });
    }

    /// A packet came. Returns the request inside, if it makes one complete.
    pub(crate) fn packet(
        &mut self,
        cx: &mut Cx<'_>,
        identity: &SigningIdentity,
        id: u64,
        packet: &[u8],
    ) -> Option<AdminRequest> {
        let request = self.read(cx, identity, id, packet);
        if request.is_err() {
            // Whatever it was, it was not made for this channel: the admin connects again.
            self.close(cx, id);
        }
        request.unwrap_or_default()
    }

    fn read(
        &mut self,
        cx: &mut Cx<'_>,
        identity: &SigningIdentity,
        id: u64,
        packet: &[u8],
    ) -> Result<Option<AdminRequest>, ()> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(None) };
        connection.last_seen_ms = cx.now;
        match AdminPacket::decode(packet).map_err(drop)? {
            AdminPacket::Handshake1 { noise } => {
                if connection.transport.is_some() {
                    return Err(());
                }
                let (entropy, attestor) = (&mut *cx.caps.entropy, &mut *cx.caps.attestor);
                let (transport, message2) =
                    countersign_channel::admin::respond(identity, &self.key, cx.boot, entropy, attestor, &noise)
                        .map_err(drop)?;
                connection.transport = Some(transport);
                let noise = Bytes::new(message2).map_err(drop)?;
                let packet = AdminPacket::Handshake2 { instance: InstanceId(identity.public()), noise }.encode();
                cx.out.push(Effect::Admin { connection: id, packet });
                Ok(None)
            }
            AdminPacket::Data { counter, sealed } => {
                let transport = connection.transport.as_mut().ok_or(())?;
                let Some(plaintext) = transport.open(counter, &sealed).map_err(drop)? else { return Ok(None) };
                if connection.waiting {
                    return Err(());
                }
                connection.waiting = true;
                AdminRequest::decode(&plaintext).map(Some).map_err(drop)
            }
            AdminPacket::Handshake2 { .. } => Err(()),
        }
    }

    /// A fresh nonce for the next command on a connection.
    pub(crate) fn new_nonce(&mut self, cx: &mut Cx<'_>, id: u64) -> [u8; 32] {
        let nonce = cx.random();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.nonce = Some(nonce);
        }
        nonce
    }

    /// Takes the nonce that the connection was given: it serves one command.
    pub(crate) fn take_nonce(&mut self, id: u64) -> Option<[u8; 32]> {
        self.connections.get_mut(&id).and_then(|c| c.nonce.take())
    }

    /// Answers the request of a connection.
    pub(crate) fn answer(&mut self, cx: &mut Cx<'_>, id: u64, response: &AdminResponse) {
        if matches!(response, AdminResponse::Refused(_)) {
            cx.counts.admin_refused += 1;
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.waiting = false;
        let Some(transport) = connection.transport.as_mut() else { return };
        match transport.seal(&response.encode()) {
            Ok(packets) => {
                for (counter, sealed) in packets {
                    if let Ok(sealed) = Bytes::new(sealed) {
                        let packet = AdminPacket::Data { counter, sealed }.encode();
                        cx.out.push(Effect::Admin { connection: id, packet });
                    }
                }
            }
            Err(_) => self.close(cx, id),
        }
    }
}
