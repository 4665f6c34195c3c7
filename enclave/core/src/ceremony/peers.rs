//! Channels to the other co-signers of a pairing: opened when they are needed, opened again when a peer restarted. The
//! party with the lower id begins. Nothing here proves a fault of a peer: the host carries every packet (threat T16).

use crate::limits::{DOCUMENT_MAX_AGE_MS, HANDSHAKE_RETRY_MS, MAX_EARLY_MESSAGES, MAX_QUEUED_PEER_MESSAGES};
use crate::serving::{Cx, PairingState};
use countersign_channel::peer::{PeerChannel, PeerInitiator, PeerPair, PeerResponder};
use countersign_channel::{AttestationPolicy, StaticKey, Transport, accepted_measurements};
use countersign_wire::ids::{BootId, PartyId};
use countersign_wire::peer::{ChannelId, Packet, PeerMessage};
use countersign_wire::relay::RelayUp;
use countersign_wire::{Bytes, Message};
use std::collections::{BTreeMap, VecDeque};

/// Shortest time between two handshakes with one peer: each costs an attestation document.
const HANDSHAKE_GAP_MS: u64 = 50;

/// All channels of a pairing.
pub(crate) struct Peers {
    key: StaticKey,
    links: BTreeMap<PartyId, PeerLink>,
}

#[derive(Default)]
struct PeerLink {
    open: Option<Open>,
    /// The channel before, with the same boot of the peer: what was on its way when a handshake replaced it is still read.
    previous: Option<Open>,
    initiating: Option<Initiating>,
    responding: Option<Responding>,
    queue: VecDeque<Vec<u8>>,
    last_handshake_ms: u64,
    last_knock_ms: u64,
}

struct Open {
    id: ChannelId,
    transport: Transport,
    boot: BootId,
    /// The third handshake message, until something proves that the peer has it.
    message3: Option<Vec<u8>>,
}

struct Initiating {
    id: ChannelId,
    handshake: PeerInitiator,
}

struct Responding {
    id: ChannelId,
    handshake: PeerResponder,
    message2: Vec<u8>,
    early: Vec<(u64, Vec<u8>)>,
    since_ms: u64,
}

impl Responding {
    /// Whether the peer has used its channel for so long that the third message must have come.
    fn is_stale(&self, now: u64) -> bool {
        now.saturating_sub(self.since_ms) >= 2 * HANDSHAKE_RETRY_MS
    }
}

impl Peers {
    pub(crate) fn new(key: StaticKey) -> Self {
        Self { key, links: BTreeMap::new() }
    }
}

impl PairingState {
    fn is_peer(&self, peer: &PartyId) -> bool {
        *peer != self.party() && self.record.groups.iter().any(|g| g.accepted && g.group.index_of(peer).is_some())
    }

    fn send_packet(&self, cx: &mut Cx<'_>, to: PartyId, packet: &Packet) {
        if let Ok(packet) = Bytes::new(packet.encode()) {
            self.send(cx, &RelayUp::Peer { to, packet });
        }
    }

    /// Makes sure that there is a channel to this boot of the peer, or that one is on its way.
    pub(super) fn reach(&mut self, cx: &mut Cx<'_>, peer: PartyId, boot: BootId) {
        let link = self.ceremonies.peers.links.entry(peer).or_default();
        if link.open.as_ref().is_some_and(|open| open.boot != boot) {
            (link.open, link.previous) = (None, None);
        }
        if link.open.is_none() {
            self.connect(cx, peer);
        }
    }

    /// Sends a message, now or when the channel is open.
    pub(super) fn send_peer(&mut self, cx: &mut Cx<'_>, peer: PartyId, message: &PeerMessage) {
        let link = self.ceremonies.peers.links.entry(peer).or_default();
        let bytes = message.encode();
        if link.open.is_some() {
            self.seal_and_send(cx, peer, &bytes);
        } else if link.queue.len() < MAX_QUEUED_PEER_MESSAGES {
            link.queue.push_back(bytes);
            self.connect(cx, peer);
        }
    }

    fn seal_and_send(&mut self, cx: &mut Cx<'_>, peer: PartyId, plaintext: &[u8]) {
        let Some(link) = self.ceremonies.peers.links.get_mut(&peer) else { return };
        let Some(open) = link.open.as_mut() else { return };
        let channel = open.id;
        match open.transport.seal(plaintext) {
            Ok(packets) => {
                for (counter, sealed) in packets {
                    if let Ok(sealed) = Bytes::new(sealed) {
                        self.send_packet(cx, peer, &Packet::Data { channel, counter, sealed });
                    }
                }
            }
            Err(_) => {
                link.open = None;
                cx.counts.channel_errors += 1;
            }
        }
    }

    fn connect(&mut self, cx: &mut Cx<'_>, peer: PartyId) {
        let own = self.party();
        let now = cx.now;
        let pair = PeerPair { workspace: self.record.workspace, initiator: own, responder: peer };
        let peers = &mut self.ceremonies.peers;
        let link = peers.links.entry(peer).or_default();
        if own > peer {
            if now.saturating_sub(link.last_knock_ms) >= HANDSHAKE_GAP_MS {
                link.last_knock_ms = now;
                if link.responding.is_some() {
                    self.ask_message3(cx, peer);
                }
                self.send_packet(cx, peer, &Packet::Knock);
            }
            return;
        }
        let pause = if link.initiating.is_some() { HANDSHAKE_RETRY_MS } else { HANDSHAKE_GAP_MS };
        if now.saturating_sub(link.last_handshake_ms) < pause {
            return;
        }
        link.last_handshake_ms = now;
        let mut id = [0u8; 16];
        cx.caps.entropy.fill_bytes(&mut id);
        match PeerInitiator::start(pair, &peers.key, cx.boot, &mut *cx.caps.entropy) {
            Ok((handshake, message1)) => {
                link.initiating = Some(Initiating { id, handshake });
                if let Ok(noise) = Bytes::new(message1) {
                    self.send_packet(cx, peer, &Packet::Handshake1 { channel: id, noise });
                }
            }
            Err(_) => cx.counts.channel_errors += 1,
        }
    }

    /// Begins handshakes again that were not answered, while something waits for them.
    pub(crate) fn retry_handshakes(&mut self, cx: &mut Cx<'_>) {
        let waiting: Vec<PartyId> = {
            let wanted = self.running_peers();
            let links = &self.ceremonies.peers.links;
            let idle = |p: &PartyId| links.get(p).is_none_or(|l| l.open.is_none());
            wanted.into_iter().filter(idle).collect()
        };
        let now = cx.now;
        for peer in waiting {
            let due = self
                .ceremonies
                .peers
                .links
                .get(&peer)
                .is_none_or(|l| now.saturating_sub(l.last_handshake_ms.max(l.last_knock_ms)) >= HANDSHAKE_RETRY_MS);
            if due {
                self.connect(cx, peer);
            }
        }
    }

    /// Nothing that waits is for a session any more.
    pub(super) fn forget_queued(&mut self) {
        let wanted = self.running_peers();
        for (peer, link) in &mut self.ceremonies.peers.links {
            if !wanted.contains(peer) {
                link.queue.clear();
            }
        }
    }

    /// A packet that the relay says is from `peer`.
    pub(super) fn peer_packet(&mut self, cx: &mut Cx<'_>, peer: PartyId, packet: Packet) {
        if !self.is_peer(&peer) {
            cx.counts.channel_errors += 1;
            return;
        }
        match packet {
            Packet::Handshake1 { channel, noise } => self.handshake1(cx, peer, channel, &noise),
            Packet::Handshake2 { channel, noise } => self.handshake2(cx, peer, channel, &noise),
            Packet::Handshake3 { channel, noise } => self.handshake3(cx, peer, channel, &noise),
            Packet::Data { channel, counter, sealed } => self.data(cx, peer, channel, counter, &sealed),
            Packet::Unknown { channel } => {
                let link = self.ceremonies.peers.links.entry(peer).or_default();
                if link.open.as_ref().is_some_and(|open| open.id == channel) {
                    link.open = None;
                    if self.running_peers().contains(&peer) {
                        self.connect(cx, peer);
                    }
                }
            }
            Packet::Knock => {
                if self.party() < peer {
                    self.connect(cx, peer);
                }
            }
        }
    }

    fn handshake1(&mut self, cx: &mut Cx<'_>, peer: PartyId, channel: ChannelId, noise: &[u8]) {
        let own = self.party();
        let pair = PeerPair { workspace: self.record.workspace, initiator: peer, responder: own };
        let peers = &mut self.ceremonies.peers;
        let link = peers.links.entry(peer).or_default();
        if own < peer {
            cx.counts.channel_errors += 1;
            return;
        }
        let again = link.responding.as_ref().filter(|r| r.id == channel).and_then(|r| r.handshake.answer_again(noise));
        let message2 = match again {
            Some(message2) => message2.to_vec(),
            None => {
                if cx.now.saturating_sub(link.last_handshake_ms) < HANDSHAKE_GAP_MS {
                    return;
                }
                link.last_handshake_ms = cx.now;
                let (entropy, attestor) = (&mut *cx.caps.entropy, &mut *cx.caps.attestor);
                match PeerResponder::respond(pair, &peers.key, cx.boot, entropy, &self.identity, attestor, noise) {
                    Ok((handshake, message2)) => {
                        let responding = Responding {
                            id: channel,
                            handshake,
                            message2: message2.clone(),
                            early: Vec::new(),
                            since_ms: cx.now,
                        };
                        link.responding = Some(responding);
                        message2
                    }
                    Err(_) => {
                        cx.counts.channel_errors += 1;
                        return;
                    }
                }
            }
        };
        if let Ok(noise) = Bytes::new(message2) {
            self.send_packet(cx, peer, &Packet::Handshake2 { channel, noise });
        }
    }

    /// The third message is late or lost: the second one, sent again, asks for it.
    fn ask_message3(&self, cx: &mut Cx<'_>, peer: PartyId) {
        let responding = self.ceremonies.peers.links.get(&peer).and_then(|l| l.responding.as_ref());
        if let Some((channel, noise)) = responding.and_then(|r| Some((r.id, Bytes::new(r.message2.clone()).ok()?))) {
            self.send_packet(cx, peer, &Packet::Handshake2 { channel, noise });
        }
    }

    fn handshake2(&mut self, cx: &mut Cx<'_>, peer: PartyId, channel: ChannelId, noise: &[u8]) {
        let accepted = self.accepted_measurements(cx);
        let link = self.ceremonies.peers.links.entry(peer).or_default();
        if let Some(open) = link.open.as_ref().filter(|open| open.id == channel) {
            // The peer still waits for the third message.
            if let Some(noise) = open.message3.clone().and_then(|m| Bytes::new(m).ok()) {
                self.send_packet(cx, peer, &Packet::Handshake3 { channel, noise });
            }
            return;
        }
        let Some(initiating) = link.initiating.as_mut().filter(|i| i.id == channel) else { return };
        let verifier = AttestationPolicy {
            anchor: &cx.caps.anchor,
            now_ms: cx.now,
            max_age_ms: DOCUMENT_MAX_AGE_MS,
            measurements: &accepted,
        };
        match initiating.handshake.finish(noise, &verifier, &self.identity, &mut *cx.caps.attestor) {
            Ok((open, message3)) => {
                link.initiating = None;
                if let Ok(noise) = Bytes::new(message3.clone()) {
                    self.send_packet(cx, peer, &Packet::Handshake3 { channel, noise });
                }
                self.opened(cx, peer, channel, open, Some(message3));
            }
            Err(error) => {
                tracing::warn!(%peer, %error, "handshake refused");
                cx.counts.channel_errors += 1;
            }
        }
    }

    fn handshake3(&mut self, cx: &mut Cx<'_>, peer: PartyId, channel: ChannelId, noise: &[u8]) {
        let accepted = self.accepted_measurements(cx);
        let link = self.ceremonies.peers.links.entry(peer).or_default();
        let Some(responding) = link.responding.as_mut().filter(|r| r.id == channel) else { return };
        let verifier = AttestationPolicy {
            anchor: &cx.caps.anchor,
            now_ms: cx.now,
            max_age_ms: DOCUMENT_MAX_AGE_MS,
            measurements: &accepted,
        };
        match responding.handshake.finish(noise, &verifier) {
            Ok(open) => {
                let early = std::mem::take(&mut responding.early);
                link.responding = None;
                self.opened(cx, peer, channel, open, None);
                for (counter, sealed) in early {
                    self.data(cx, peer, channel, counter, &sealed);
                }
            }
            Err(error) => {
                tracing::warn!(%peer, %error, "handshake refused");
                cx.counts.channel_errors += 1;
            }
        }
    }

    fn accepted_measurements(&self, cx: &Cx<'_>) -> Vec<countersign_attest::Measurements> {
        if self.record.peer_measurements.is_empty() {
            accepted_measurements(std::slice::from_ref(&cx.caps.measurements))
        } else {
            accepted_measurements(&self.record.peer_measurements)
        }
    }

    fn opened(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PartyId,
        id: ChannelId,
        channel: PeerChannel,
        message3: Option<Vec<u8>>,
    ) {
        let link = self.ceremonies.peers.links.entry(peer).or_default();
        link.previous = link.open.take().filter(|previous| previous.boot == channel.peer_boot);
        link.open = Some(Open { id, transport: channel.transport, boot: channel.peer_boot, message3 });
        let queue = std::mem::take(&mut link.queue);
        for plaintext in queue {
            self.seal_and_send(cx, peer, &plaintext);
        }
    }

    fn data(&mut self, cx: &mut Cx<'_>, peer: PartyId, channel: ChannelId, counter: u64, sealed: &[u8]) {
        let link = self.ceremonies.peers.links.entry(peer).or_default();
        // A peer that still uses the channel before may have lost the third message of the present one.
        let late = link.previous.as_ref().is_some_and(|previous| previous.id == channel);
        let missing = link.open.as_ref().filter(|_| late).and_then(|open| Some((open.id, open.message3.clone()?)));
        if let Some((channel, noise)) = missing.and_then(|(id, m)| Some((id, Bytes::new(m).ok()?))) {
            self.send_packet(cx, peer, &Packet::Handshake3 { channel, noise });
        }
        let link = self.ceremonies.peers.links.entry(peer).or_default();
        let known = link.open.iter_mut().chain(&mut link.previous).find(|open| open.id == channel);
        if let Some(open) = known {
            let opened = open.transport.open(counter, sealed);
            if opened.is_ok() {
                open.message3 = None;
            }
            match opened {
                Ok(Some(plaintext)) => match PeerMessage::decode(&plaintext) {
                    Ok(message) => self.peer_message(cx, peer, message),
                    Err(_) => cx.counts.channel_errors += 1,
                },
                Ok(None) => {}
                Err(_) => cx.counts.channel_errors += 1,
            }
        } else if link.responding.as_ref().is_some_and(|r| r.id == channel && r.is_stale(cx.now)) {
            // No third message fits: the first one was altered, or came again altered. The peer begins anew.
            link.responding = None;
            self.send_packet(cx, peer, &Packet::Unknown { channel });
        } else if let Some(responding) = link.responding.as_mut().filter(|r| r.id == channel) {
            let first = responding.early.is_empty();
            if responding.early.len() < MAX_EARLY_MESSAGES {
                responding.early.push((counter, sealed.to_vec()));
            }
            if first {
                self.ask_message3(cx, peer);
            }
        } else {
            self.send_packet(cx, peer, &Packet::Unknown { channel });
        }
    }
}
