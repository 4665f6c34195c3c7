//! What an `add-user` says about the pairing and the user: checked, taken over, or compared with what is there.

use super::token::TokenClaims;
use crate::state::{Pairing, Secret};
use countersign_token::PublicKey;
use countersign_wire::command::{AddUser, Initiator};
use countersign_wire::limits::MAX_INITIATORS;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{List, Text};

fn check_initiators(initiators: &[Initiator]) -> Result<(), Refusal> {
    for initiator in initiators {
        let key = PublicKey::from_spki_der(&initiator.public_key);
        let detail = match key {
            Ok(key) if key.algorithm() == countersign_token::Algorithm::Rs256 => continue,
            Ok(_) => "expected an RSA key: clients sign their requests with RS256".to_owned(),
            Err(error) => error.to_string(),
        };
        return Err(Refusal::new(Code::Malformed, format!("public key of initiator {}: {detail}", initiator.user)));
    }
    Ok(())
}

/// Initiators with `new` ones added or replaced, sorted by id.
pub(crate) fn merged_initiators(
    known: &[Initiator],
    new: &[Initiator],
) -> Result<List<Initiator, MAX_INITIATORS>, Refusal> {
    check_initiators(new)?;
    let mut all: Vec<Initiator> = known.iter().filter(|k| new.iter().all(|n| n.user != k.user)).cloned().collect();
    all.extend(new.iter().cloned());
    all.sort_by(|a, b| a.user.cmp(&b.user));
    List::new(all).map_err(|e| Refusal::new(Code::Busy, format!("initiators: {e}")))
}

/// Whether two lists say the same, in whatever order.
fn same_set<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.iter().all(|x| b.contains(x)) && b.iter().all(|x| a.contains(x))
}

/// A second API user shares the pairing, so what belongs to the pairing must be the same: what the command says
/// otherwise would not be done.
pub(super) fn check_same_pairing(known: &Pairing, add: &AddUser, claims: &TokenClaims) -> Result<(), Refusal> {
    let differing = [
        ("workspace URL", known.url.as_str() == claims.url),
        ("role", known.role == add.role),
        ("require-intent setting", known.require_intent == add.require_intent),
        ("workspace root certificate", known.root == add.workspace_root),
        ("set of workspace networks", same_set(&known.networks, &add.workspace_networks)),
        ("set of peer measurements", same_set(&known.peer_measurements, &add.peer_measurements)),
    ];
    match differing.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((what, _)) => {
            let detail = format!(
                "the workspace is paired here with another {what}, and all API users of a pairing share it: give the same \
                 as with the first one"
            );
            Err(Refusal::new(Code::Conflict, detail))
        }
    }
}

/// Whether an API user that is there already has exactly the settings that `add` gives.
pub(super) fn is_added_as_asked(known: &Pairing, add: &AddUser, claims: &TokenClaims) -> bool {
    let user = known.user(&claims.user);
    user.is_some_and(|user| user.approval == add.approval && user.allow_raw == add.allow_raw)
        && add.initiators.iter().all(|initiator| known.initiators.contains(initiator))
        && check_same_pairing(known, add, claims).is_ok()
}

/// What an operator's command says about an unconfirmed pairing.
pub(super) fn take_settings(pairing: &mut Pairing, add: &AddUser, claims: &TokenClaims) {
    pairing.role = add.role;
    pairing.url = Text::cut(claims.url.clone());
    pairing.root = add.workspace_root.clone();
    pairing.networks = add.workspace_networks.clone();
    pairing.require_intent = add.require_intent;
    pairing.peer_measurements = add.peer_measurements.clone();
}

/// A pairing of which the workspace knows nothing yet.
pub(super) fn new_pairing(
    id: countersign_wire::ids::PairingId,
    add: &AddUser,
    claims: &TokenClaims,
    identity: Secret,
    callback_key: Secret,
    now: u64,
) -> Pairing {
    Pairing {
        id,
        identity,
        role: add.role,
        workspace: claims.workspace,
        fingerprint: add.workspace,
        message_key: [0; 32],
        url: Text::cut(claims.url.clone()),
        root: add.workspace_root.clone(),
        networks: add.workspace_networks.clone(),
        offered: false,
        refresh_token: Secret::default(),
        require_intent: add.require_intent,
        peer_measurements: add.peer_measurements.clone(),
        callback_key,
        users: List::default(),
        initiators: List::default(),
        groups: List::default(),
        intent_floor_ms: now.saturating_sub(crate::limits::INTENT_MAX_AGE_MS),
    }
}
