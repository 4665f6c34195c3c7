//! Packets between co-signers, and what is inside of them.

use crate::agreement::Subject;
use crate::ids::{PartyId, SessionId};
use crate::limits::{MAX_PACKET_BYTES, MAX_SCHEME_MESSAGE_BYTES};
use crate::{Bytes, List, message};
use borsh::{BorshDeserialize, BorshSerialize};

/// Random id of one handshake and of the channel that it opens.
pub type ChannelId = [u8; 16];

/// A packet as the relay carries it. Everything but the ids is authenticated by the Noise channel.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Packet {
    /// First handshake message; the party with the lower id sends it.
    Handshake1 {
        /// The new channel.
        channel: ChannelId,
        /// Noise message.
        noise: Bytes<MAX_PACKET_BYTES>,
    },
    /// Second handshake message.
    Handshake2 {
        /// The channel.
        channel: ChannelId,
        /// Noise message.
        noise: Bytes<MAX_PACKET_BYTES>,
    },
    /// Third handshake message.
    Handshake3 {
        /// The channel.
        channel: ChannelId,
        /// Noise message.
        noise: Bytes<MAX_PACKET_BYTES>,
    },
    /// A sealed message or a part of one.
    Data {
        /// The channel.
        channel: ChannelId,
        /// Its explicit counter.
        counter: u64,
        /// Noise ciphertext.
        sealed: Bytes<MAX_PACKET_BYTES>,
    },
    /// The receiver knows no such channel (it restarted). A hint without authority: it leads to a new handshake at most.
    Unknown {
        /// The channel.
        channel: ChannelId,
    },
    /// The party with the higher id asks the other one to open a channel. A hint without authority.
    Knock,
}

message!(Packet, "countersign/packet", 1, MAX_PACKET_BYTES + 64);

/// Most broadcasts of one session that evidence lists.
pub const MAX_WORDS: usize = 128;

/// What a party signs about each of its broadcasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Broadcast {
    /// The execution id.
    pub execution: [u8; 32],
    /// Position among the sender's broadcasts, from 0.
    pub position: u32,
    /// SHA-256 of the bytes.
    pub hash: [u8; 32],
}

message!(Broadcast, "countersign/broadcast", 1, 128);

/// A broadcast that somebody received, with its sender's signature over [`Broadcast`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BroadcastWord {
    /// Who sent it.
    pub sender: PartyId,
    /// What the sender signed.
    pub broadcast: Broadcast,
    /// Its Ed25519 signature.
    pub signature: [u8; 64],
}

/// What one party's machine says to others' within a session; the plaintext of a channel.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum PeerMessage {
    /// A message of the threshold scheme.
    Round {
        /// The session.
        session: SessionId,
        /// The execution id: a message of another execution is dropped.
        execution: [u8; 32],
        /// Counts the sender's messages to this receiver in this session, from 0: order and duplicates show.
        sequence: u32,
        /// For broadcasts: position and the sender's Ed25519 signature over [`Broadcast`], so that two different broadcasts
        /// at one position convict it. `None`: a message for the receiver alone.
        broadcast: Option<(u32, [u8; 64])>,
        /// The scheme's bytes.
        bytes: Bytes<MAX_SCHEME_MESSAGE_BYTES>,
    },
    /// After an abort for inconsistent broadcasts: what the sender received, so that whoever said different things to
    /// different parties is convicted by its own signatures.
    Evidence {
        /// The session.
        session: SessionId,
        /// The execution id.
        execution: [u8; 32],
        /// The broadcasts that the sender received.
        words: List<BroadcastWord, MAX_WORDS>,
    },
    /// The sender gave up.
    Abort {
        /// The session.
        session: SessionId,
        /// The execution id.
        execution: [u8; 32],
        /// What the session was for, in logs.
        subject: Option<Subject>,
    },
}

message!(PeerMessage, "countersign/peer-message", 1, MAX_SCHEME_MESSAGE_BYTES + 512);
