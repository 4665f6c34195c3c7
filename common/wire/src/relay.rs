//! Frames of the outbound WebSocket between host and workspace: one binary WebSocket message carries one frame. The
//! host does not look inside.

use crate::ids::PartyId;
use crate::limits::{MAX_PACKET_BYTES, MAX_RELAY_BYTES};
use crate::{Bytes, message};
use borsh::{BorshDeserialize, BorshSerialize};

/// From a co-signer.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RelayUp {
    /// An encoded `Signed<CosignerMessage>` for the workspace.
    Workspace(Bytes<MAX_RELAY_BYTES>),
    /// An encoded [`crate::peer::Packet`] for a co-signer of a common group.
    Peer {
        /// To whom.
        to: PartyId,
        /// The packet.
        packet: Bytes<MAX_PACKET_BYTES>,
    },
}

message!(RelayUp, "countersign/relay-up", 1, MAX_RELAY_BYTES + 64);

/// To a co-signer.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RelayDown {
    /// An encoded `Signed<ToCosigner>` from the workspace.
    Workspace(Bytes<MAX_RELAY_BYTES>),
    /// An encoded [`crate::peer::Packet`]. `from` is the workspace's claim; only the channel proves it.
    Peer {
        /// From whom.
        from: PartyId,
        /// The packet.
        packet: Bytes<MAX_PACKET_BYTES>,
    },
}

message!(RelayDown, "countersign/relay-down", 1, MAX_RELAY_BYTES + 64);
