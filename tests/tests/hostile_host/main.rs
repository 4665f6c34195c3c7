//! What a hostile host may do around real cores, and what one malicious co-signer of the group may: the outcome is an
//! error or a correct signature, and nobody is blamed who did nothing. Each test carries the number of its statement in
//! `docs/threat-model.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod admin;
mod canary;
mod network;
mod peers;
mod storage;
mod verdicts;

use countersign_tests::simulator::{World, eip191};
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::ids::{PartyId, TransactionId};
use countersign_wire::key::Operation;
use countersign_wire::refusal::Refusal;

/// The customer's co-signer.
pub const CUSTOMER: usize = 0;
/// All three.
pub const ALL: [usize; 3] = [0, 1, 2];

/// Hands a message to the workspace's coordinator and runs until the transaction is over, for `limit_ms` at most.
pub fn submit(world: &mut World, n: u8, text: &str, limit_ms: u64) -> bool {
    world.submit(world.request(n, text, "fine"), eip191(text), Operation::TypedMessage);
    world.run(limit_ms, |w| w.workspace.store.transactions[&TransactionId([n; 16])].status.is_final())
}

/// Every abort that the workspace heard of, with who said it.
pub fn aborts(world: &World) -> Vec<(PartyId, Refusal, Option<PartyId>)> {
    let abort = |(from, m): &(PartyId, CosignerMessage)| match m {
        CosignerMessage::Aborted { refusal, blamed, .. } => Some((*from, refusal.clone(), *blamed)),
        _ => None,
    };
    world.workspace.heard.iter().filter_map(abort).collect()
}
