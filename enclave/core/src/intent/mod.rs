//! What a client asked for: its request's body decoded into what would be signed, and the proof that the client asked.

mod asset;
mod body;
mod eip191;
mod token;

pub use asset::{asset, ethereum_address};
pub use body::{Decoded, ShownMessage, decode};
pub use token::{verify_initiator, verify_intent};
