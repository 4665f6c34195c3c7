//! What goes between co-signers: altered, repeated, dropped, reordered, misdelivered.

use crate::Scene;
use crate::broker::{Said, Script};
use countersign_wire::host_link::{FromEnclave, FromHost};
use countersign_wire::ids::PartyId;
use countersign_wire::peer::Packet;
use countersign_wire::relay::{RelayDown, RelayUp};
use countersign_wire::{Bytes, Message};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A packet between co-signers, and how to put another in its place.
struct Letter {
    party: PartyId,
    packet: Packet,
    said: Said,
}

impl Letter {
    /// Of a message of the relay, if it is one.
    fn of(said: &Said) -> Option<Self> {
        let (party, packet) = match said {
            Said::Up(FromEnclave::LinkSend { frame, .. }) => match RelayUp::decode(frame).ok()? {
                RelayUp::Peer { to, packet } => (to, packet),
                RelayUp::Workspace(_) => return None,
            },
            Said::Down(FromHost::LinkData { frame, .. }) => match RelayDown::decode(frame).ok()? {
                RelayDown::Peer { from, packet } => (from, packet),
                RelayDown::Workspace(_) => return None,
            },
            _ => return None,
        };
        Some(Self { party, packet: Packet::decode(&packet).ok()?, said: said.clone() })
    }

    /// The message with this party and packet.
    fn with(self, party: PartyId, packet: &Packet) -> Said {
        let packet = Bytes::new(packet.encode()).unwrap();
        match self.said {
            Said::Up(FromEnclave::LinkSend { pairing, .. }) => {
                let frame = Bytes::new(RelayUp::Peer { to: party, packet }.encode()).unwrap();
                Said::Up(FromEnclave::LinkSend { pairing, frame })
            }
            Said::Down(FromHost::LinkData { pairing, .. }) => {
                let frame = Bytes::new(RelayDown::Peer { from: party, packet }.encode()).unwrap();
                Said::Down(FromHost::LinkData { pairing, frame })
            }
            other => other,
        }
    }
}

/// A script that does something to a letter where it can, at most `times`, and counts how often it did.
fn script(
    times: u32,
    done: &Arc<AtomicU32>,
    mut disturb: impl FnMut(Letter) -> Option<Vec<Said>> + Send + 'static,
) -> Script {
    let done = Arc::clone(done);
    Box::new(move |said| {
        let letter = Letter::of(&said).filter(|_| done.load(Ordering::SeqCst) < times);
        match letter.and_then(&mut disturb) {
            Some(instead) => {
                done.fetch_add(1, Ordering::SeqCst);
                instead
            }
            None => vec![said],
        }
    })
}

/// A sealed packet with one bit flipped, or under another counter.
fn altered(packet: &Packet, counter_too: bool) -> Option<Packet> {
    let Packet::Data { channel, counter, sealed } = packet else { return None };
    if counter_too {
        return Some(Packet::Data { channel: *channel, counter: counter + 1, sealed: sealed.clone() });
    }
    let mut bytes = sealed.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Some(Packet::Data { channel: *channel, counter: *counter, sealed: Bytes::new(bytes).unwrap() })
}

/// Each way to disturb, the most and the fewest times that it happens, and what it does.
type Way = (&'static str, u32, u32, Box<dyn FnMut(Letter) -> Option<Vec<Said>> + Send>);

fn ways() -> Vec<Way> {
    let mut turn = false;
    let mut old: Vec<Said> = Vec::new();
    let mut nth = 0u32;
    let mut held: Option<Said> = None;
    let mut first = None;
    vec![
        (
            "alters",
            4,
            2,
            Box::new(move |letter| {
                let packet = altered(&letter.packet, turn)?;
                turn = !turn;
                let party = letter.party;
                Some(vec![letter.with(party, &packet)])
            }),
        ),
        (
            "repeats",
            40,
            10,
            Box::new(move |letter| {
                old.push(letter.said.clone());
                let again = old[old.len() / 2].clone();
                Some(vec![letter.said.clone(), letter.said, again])
            }),
        ),
        (
            "drops",
            3,
            1,
            Box::new(move |letter| {
                nth += 1;
                (nth.is_multiple_of(4) && matches!(letter.packet, Packet::Data { .. })).then(Vec::new)
            }),
        ),
        (
            "reorders",
            6,
            2,
            Box::new(move |letter| match held.take() {
                None => {
                    held = Some(letter.said);
                    Some(vec![])
                }
                Some(earlier) => Some(vec![letter.said, earlier]),
            }),
        ),
        (
            "misdelivers",
            4,
            1,
            Box::new(move |letter| {
                let elsewhere = *first.get_or_insert(letter.party);
                (elsewhere != letter.party).then(|| {
                    let packet = letter.packet.clone();
                    vec![letter.with(elsewhere, &packet)]
                })
            }),
        ),
    ]
}

pub async fn disturbs_packets(scene: &Scene) {
    for (what, most, fewest, disturb) in ways() {
        let done = Arc::new(AtomicU32::new(0));
        scene.broker.set(script(most, &done, disturb));
        let signed = scene.asks(&format!("a host that {what} packets")).await;
        let count = done.load(Ordering::SeqCst);
        assert!(count >= fewest, "a host that {what} packets did so {count} times only; signed: {signed}");
        scene.is_well(&format!("a host that {what} packets")).await;
    }
}
