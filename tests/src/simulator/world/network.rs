//! The links of the hosts and the relay between co-signers and workspace: what is lost, changed, doubled, delayed or
//! delivered to another.

use super::{Event, FaultKind, Input, LinkDown, Notice, World, between};
use countersign_wire::ceremony::{CosignerMessage, ToCosigner, WorkspaceMessage};
use countersign_wire::ids::PartyId;
use countersign_wire::relay::{RelayDown, RelayUp};
use countersign_wire::signed::sign_bytes;
use countersign_wire::{Bytes, Message, Signed};
use rand_core::RngCore;

impl World {
    /// A link breaks. The host opens it again, unless the workspace refused the token: then the co-signer gets a new one.
    pub fn break_link(&mut self, i: usize) {
        let Some(pairing) = self.cosigners[i].pairing.filter(|_| self.cosigners[i].link_open) else { return };
        self.note("link down", &[i as u8]);
        self.hang_up(i);
        if self.rng.next_u32().is_multiple_of(4) {
            return self.input(i, 1, Input::LinkDown { pairing, reason: LinkDown::Unauthorised });
        }
        self.input(i, 1, Input::LinkDown { pairing, reason: LinkDown::Connection });
        let (pause, connection) = (1 + between(&mut self.rng, 3_000), self.cosigners[i].connection);
        self.at(pause, Event::LinkBack { cosigner: i, connection });
    }

    pub(super) fn hang_up(&mut self, i: usize) {
        if std::mem::take(&mut self.cosigners[i].link_open) {
            self.disconnected(i);
        }
    }

    pub(super) fn link_opened(&mut self, i: usize) {
        let Some(pairing) = self.cosigners[i].pairing else { return };
        self.cosigners[i].link_open = true;
        self.input(i, 5, Input::LinkUp { pairing });
        if let Some(party) = self.cosigners[i].party {
            self.notify(Notice::Connected { party });
        }
    }

    fn disconnected(&mut self, i: usize) {
        if let Some(party) = self.cosigners[i].party {
            self.notify(Notice::Disconnected { party });
        }
    }

    pub(super) fn link_send(&mut self, i: usize, mut frame: Vec<u8>) {
        if !self.cosigners[i].link_open {
            return;
        }
        self.note("up", &[&[i as u8][..], &frame.len().to_be_bytes()].concat());
        if self.happens(FaultKind::Drop) {
            return;
        }
        self.said.push_back(frame.clone());
        if self.said.len() > 64 {
            self.said.pop_front();
        }
        if self.happens(FaultKind::Impersonate) {
            let (pick, delay) = (self.rng.next_u32() as usize % self.said.len(), self.delay());
            let frame = self.said[pick].clone();
            self.at(delay, Event::Up { cosigner: i, frame });
        }
        if self.happens(FaultKind::Tamper) {
            let bit = self.rng.next_u32() as usize % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        if self.happens(FaultKind::Duplicate) {
            let delay = self.delay();
            self.at(delay, Event::Up { cosigner: i, frame: frame.clone() });
        }
        let delay = self.delay();
        self.at(delay, Event::Up { cosigner: i, frame });
    }

    pub(super) fn up(&mut self, i: usize, frame: &[u8]) {
        if self.happens(FaultKind::WorkspaceCrash) {
            self.restart_workspace();
        }
        match RelayUp::decode(frame) {
            Ok(RelayUp::Workspace(bytes)) => {
                let Some(from) = self.cosigners[i].party else { return };
                let message =
                    borsh::from_slice::<Signed<CosignerMessage>>(&bytes).ok().and_then(|s| s.open(&from.0).ok());
                if let Some(message) = message {
                    self.workspace.heard.push((from, message.clone()));
                    self.notify(Notice::Message { from, message: Box::new(message) });
                }
            }
            Ok(RelayUp::Peer { to, packet }) => {
                let Some(mut from) = self.cosigners[i].party else { return };
                if self.happens(FaultKind::Impersonate) {
                    let pick = self.rng.next_u32() as usize % self.cosigners.len();
                    from = self.cosigners[pick].party.unwrap_or(from);
                }
                let mut packet = packet.into_vec();
                if let Some(look) = self.on_peer.as_mut() {
                    match look(from, to, packet) {
                        Some(changed) => packet = changed,
                        None => return,
                    }
                }
                let receiver = match self.on_route.as_mut() {
                    Some(route) => route(i, to),
                    None => self.cosigners.iter().position(|c| c.party == Some(to)),
                };
                let Some(receiver) = receiver else { return };
                let frame = RelayDown::Peer { from, packet: Bytes::new(packet).expect("as long as before") }.encode();
                self.down(receiver, frame);
            }
            Err(_) => {}
        }
    }

    /// A frame for a co-signer, through its hostile host.
    pub(super) fn down(&mut self, mut i: usize, mut frame: Vec<u8>) {
        self.note("down", &[&[i as u8][..], &frame.len().to_be_bytes()].concat());
        if self.happens(FaultKind::Drop) {
            return;
        }
        if self.happens(FaultKind::CrossWire) {
            i = self.rng.next_u32() as usize % self.cosigners.len();
        }
        let seen = &mut self.cosigners[i].seen;
        seen.push_back(frame.clone());
        if seen.len() > 64 {
            seen.pop_front();
        }
        if self.happens(FaultKind::Tamper) {
            let bit = self.rng.next_u32() as usize % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        let mut copies = vec![frame];
        if self.happens(FaultKind::Duplicate) {
            copies.push(copies[0].clone());
        }
        if self.happens(FaultKind::Replay) {
            let pick = self.rng.next_u32() as usize % self.cosigners[i].seen.len();
            copies.push(self.cosigners[i].seen[pick].clone());
        }
        for frame in copies {
            let Some(pairing) = self.cosigners[i].pairing.filter(|_| self.cosigners[i].link_open) else { continue };
            let delay = self.delay();
            self.input(i, delay, Input::LinkData { pairing, frame });
        }
    }

    /// The workspace says something to a co-signer.
    pub fn say(&mut self, to: PartyId, message: WorkspaceMessage) {
        self.say_bytes(to, &ToCosigner { to, message }.encode());
    }

    /// The workspace signs any bytes as a message to a co-signer.
    pub fn say_bytes(&mut self, to: PartyId, body: &[u8]) {
        let signature = sign_bytes(ToCosigner::NAME, body, &self.workspace.keys.message);
        let bytes = borsh::to_vec(&(body, signature)).expect("encodes");
        self.deliver(to, RelayDown::Workspace(Bytes::new(bytes).expect("small")).encode());
    }

    /// The relay delivers a frame to a co-signer, through its host.
    pub fn deliver(&mut self, to: PartyId, frame: Vec<u8>) {
        let receivers: Vec<usize> =
            (0..self.cosigners.len()).filter(|i| self.cosigners[*i].party == Some(to)).collect();
        for i in receivers {
            self.down(i, frame.clone());
        }
    }
}
