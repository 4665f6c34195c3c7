//! What stands between the crate's protocol and the wire, one for each protocol.

use crate::failure::Failure;
use round_based::ProtocolMessage;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Knows a protocol's messages: what travels, what is a broadcast, and what must hold before the protocol may see it.
pub(crate) trait Guard {
    /// The crate's message.
    type Msg: ProtocolMessage + 'static;
    /// What travels: the message and whatever we add to it.
    type Wire: Serialize + DeserializeOwned;
    /// Most bytes of one message, for the largest group.
    const MAX_BYTES: usize;

    /// The crate's message in what travels.
    fn message(wire: &Self::Wire) -> &Self::Msg;

    /// Whether this kind of message goes to all.
    fn is_broadcast(message: &Self::Msg) -> bool;

    /// The sender's hash of all broadcasts that it received, if this is that message.
    fn view(message: &Self::Msg) -> Option<&[u8]>;

    /// Prepares a message of ours for the wire.
    fn send(&mut self, message: Self::Msg) -> Result<Self::Wire, Failure>;

    /// Takes the first message of this round by the party at position `from`. Cheap checks of its form are made here;
    /// what costs time is noted for [`Self::check`].
    fn receive(&mut self, from: u16, wire: Self::Wire) -> Result<Self::Msg, &'static str>;

    /// Makes the checks that were noted. Called before the protocol sees any message that came after the last call.
    fn check(&mut self) -> Result<(), Failure>;

    /// Who made the protocol end with an error, if that can be shown: it tells nobody itself.
    fn convict(&mut self) -> Option<Failure> {
        None
    }
}
