//! What a malicious workspace may say, and what real cores answer: no word of it leads to a signature that the customer's
//! side did not ask for and approve. Each test carries the number of its statement in `docs/threat-model.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod approvals;
mod authorisations;
mod initiators;
mod keys;
mod one_signature;
mod pairings;
mod requests;
mod sessions;

use cosigner_workspace::ceremony::Input as Notice;
use countersign_tests::simulator::{Base, Faults, GROUP, Setting, World, purpose};
use countersign_wire::Text;
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::ids::{ApiUserId, KeyId, PartyId, SessionId};
use countersign_wire::key::{EcdsaSignature, KeyPurpose, Operation};
use countersign_wire::refusal::Refusal;
use countersign_wire::transaction::TransactionRequest;

/// The customer's co-signer.
pub const CUSTOMER: usize = 0;
/// The cloud co-signers.
pub const CLOUDS: [usize; 2] = [1, 2];
/// All three.
pub const ALL: [usize; 3] = [0, 1, 2];
/// A second key.
pub const SECOND_KEY: KeyId = KeyId([10; 16]);
/// The vault account that it serves.
pub const SECOND_VAULT: u32 = 5;

/// A world in which the workspace is hostile.
pub fn hostile(setting: Setting) -> World {
    Base::connected_of(setting, 1, Faults::none()).hostile()
}

/// Two of three sign.
pub fn two_of_three() -> Setting {
    Setting { threshold: 2, ..Setting::default() }
}

/// Nobody demands a client's own request.
pub fn without_intent() -> Setting {
    Setting { require_intent: false, ..Setting::default() }
}

/// The same, with a second key that serves a vault account of its own.
pub fn with_second_key(setting: Setting, operations: &[Operation]) -> World {
    let world = Base::connected_of(setting, 1, Faults::none());
    let user = world.base.signer_user.clone();
    second_key(world, operations, user)
}

/// Makes the second key, for this API user.
pub fn second_key(mut world: World, operations: &[Operation], user: ApiUserId) -> World {
    let operations = countersign_wire::List::new(operations.to_vec()).unwrap();
    let purpose = KeyPurpose { operations, ..purpose(&user) };
    world.notify(Notice::GenerateKey { key: SECOND_KEY, group: GROUP, purpose });
    assert!(world.run(120_000, |w| w.key_is_ready(&SECOND_KEY)));
    let path = countersign_wire::key::DerivationPath::vault(60, SECOND_VAULT, 0, 0).unwrap();
    world.notify(Notice::Certify {
        key: SECOND_KEY,
        vault_account: SECOND_VAULT,
        asset: Text::new("ETH").unwrap(),
        path,
    });
    assert!(world.run(60_000, |w| w.workspace.store.certificates.contains_key(&SECOND_KEY)));
    world.run(5_000, |_| false);
    world.hostile()
}

/// Signs a digest with all three, as an honest workspace does it.
pub fn sign(world: &mut World, id: SessionId, request: &TransactionRequest) -> EcdsaSignature {
    let authorisation = world.authorise(CUSTOMER, request).expect("authorised");
    let said = world.session_of(id, &[0, 1, 2], &World::signing(request, &authorisation, 0));
    signatures(&said).first().copied().unwrap_or_else(|| panic!("no signature: {said:?}"))
}

/// Every signature among what co-signers said.
pub fn signatures(said: &[Vec<CosignerMessage>]) -> Vec<EcdsaSignature> {
    let signature = |m: &CosignerMessage| match m {
        CosignerMessage::SignatureDone { signature, .. } => Some(*signature),
        _ => None,
    };
    said.iter().flatten().filter_map(signature).collect()
}

/// Every abort among what co-signers said.
pub fn aborts(said: &[Vec<CosignerMessage>]) -> Vec<(Refusal, Option<PartyId>)> {
    let abort = |m: &CosignerMessage| match m {
        CosignerMessage::Aborted { refusal, blamed, .. } => Some((refusal.clone(), *blamed)),
        _ => None,
    };
    said.iter().flatten().filter_map(abort).collect()
}
