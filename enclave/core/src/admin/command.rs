//! Whether a command counts: for this instance, this settings epoch and this connection, signed by enough operators. Pure.

use countersign_wire::Message;
use countersign_wire::Text;
use countersign_wire::command::{Change, Command, SignedCommand};
use countersign_wire::ids::{InstanceId, OperatorId};
use countersign_wire::limits::MAX_NAME_BYTES;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::signed::verify_bytes;
use std::collections::BTreeSet;

/// What a command is checked against.
pub(crate) struct Authority<'a> {
    pub instance: InstanceId,
    pub settings_epoch: u64,
    pub nonce: Option<[u8; 32]>,
    pub operators: &'a [(OperatorId, Text<MAX_NAME_BYTES>)],
    pub required: u16,
}

/// Verifies a command and returns its change (threats T49, T50).
pub(crate) fn verify(signed: &SignedCommand, authority: &Authority<'_>) -> Result<Change, Refusal> {
    let command = Command::decode(&signed.command).map_err(|e| Refusal::new(Code::Malformed, e.to_string()))?;
    if command.instance != authority.instance {
        let detail = format!("the command is for instance {}, this is {}", command.instance, authority.instance);
        return Err(Refusal::new(Code::NotFound, detail));
    }
    if authority.nonce != Some(command.nonce) {
        return Err(Refusal::new(
            Code::NonceUnknown,
            "the command's nonce is not the one of this connection; ask for the description first",
        ));
    }
    if command.settings_epoch != authority.settings_epoch {
        let (got, now) = (command.settings_epoch, authority.settings_epoch);
        return Err(Refusal::new(
            Code::SettingsEpoch,
            format!("the command was made for settings epoch {got}, it is {now} now; make it again"),
        ));
    }
    let claim = match (&command.change, authority.operators.is_empty()) {
        (Change::Claim { operators, required, .. }, true) => {
            check_operators(operators, *required)?;
            Some((operators.to_vec(), operators.len()))
        }
        (Change::Claim { .. }, false) => {
            return Err(Refusal::new(Code::AlreadyClaimed, "this co-signer has operators already"));
        }
        (_, true) => {
            return Err(Refusal::new(Code::NotClaimed, "this co-signer is not claimed: `cosigner init` first"));
        }
        (_, false) => None,
    };
    let (operators, required) = match &claim {
        Some((operators, all)) => (operators.as_slice(), *all),
        None => (authority.operators, usize::from(authority.required)),
    };
    let mut signers = BTreeSet::new();
    for signature in &signed.signatures {
        let known = operators.iter().any(|(id, _)| *id == signature.operator);
        let good = verify_bytes(Command::NAME, &signed.command, &signature.signature, &signature.operator.0).is_ok();
        if !known || !good {
            let detail =
                format!("{} is not an operator of this co-signer, or did not sign this command", signature.operator);
            return Err(Refusal::new(Code::OperatorsRequired, detail));
        }
        signers.insert(signature.operator);
    }
    if signers.len() < required.max(1) {
        let detail = format!("expected signatures of {} operators, got {}", required.max(1), signers.len());
        return Err(Refusal::new(Code::OperatorsRequired, detail));
    }
    Ok(command.change)
}

fn check_operators(operators: &[(OperatorId, Text<MAX_NAME_BYTES>)], required: u16) -> Result<(), Refusal> {
    let sorted = operators.windows(2).all(|w| matches!(w, [a, b] if a.0 < b.0));
    if operators.is_empty() || !sorted {
        return Err(Refusal::new(Code::Malformed, "expected at least one operator, sorted by key, each once"));
    }
    if required == 0 || usize::from(required) > operators.len() {
        let detail = format!("expected a required number from 1 to {}, got {required}", operators.len());
        return Err(Refusal::new(Code::Malformed, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::command::OperatorSignature;
    use countersign_wire::ids::{KeyId, PairingId};
    use countersign_wire::signed::sign_bytes;
    use countersign_wire::{Bytes, List, SigningIdentity};

    const NONCE: [u8; 32] = [3; 32];

    fn operator(secret: u8) -> SigningIdentity {
        SigningIdentity::from_secret(&[secret; 32])
    }

    fn entry(secret: u8) -> (OperatorId, Text<MAX_NAME_BYTES>) {
        (OperatorId(operator(secret).public()), Text::new("op").unwrap())
    }

    fn signed(command: &Command, signers: &[u8]) -> SignedCommand {
        let bytes = command.encode();
        let signature = |secret: &u8| OperatorSignature {
            operator: OperatorId(operator(*secret).public()),
            signature: sign_bytes(Command::NAME, &bytes, &operator(*secret)),
        };
        let signatures = List::new(signers.iter().map(signature).collect()).unwrap();
        SignedCommand { command: Bytes::new(bytes).unwrap(), signatures }
    }

    fn command() -> Command {
        let change = Change::ClearQuarantine { pairing: PairingId([0; 16]), key: KeyId([0; 16]) };
        Command { instance: InstanceId([1; 32]), settings_epoch: 5, nonce: NONCE, change }
    }

    fn check(signed: &SignedCommand, required: u16) -> Result<Change, Code> {
        let mut operators = vec![entry(1), entry(2)];
        operators.sort();
        let authority = Authority {
            instance: InstanceId([1; 32]),
            settings_epoch: 5,
            nonce: Some(NONCE),
            operators: &operators,
            required,
        };
        verify(signed, &authority).map_err(|r| r.code)
    }

    #[test]
    fn t49_only_enough_operators_of_this_co_signer_count() {
        assert!(check(&signed(&command(), &[1]), 1).is_ok());
        assert!(check(&signed(&command(), &[1, 2]), 2).is_ok());
        assert_eq!(check(&signed(&command(), &[]), 1), Err(Code::OperatorsRequired));
        assert_eq!(check(&signed(&command(), &[3]), 1), Err(Code::OperatorsRequired));
        assert_eq!(check(&signed(&command(), &[1]), 2), Err(Code::OperatorsRequired));
        assert_eq!(check(&signed(&command(), &[1, 1]), 2), Err(Code::OperatorsRequired));
    }

    #[test]
    fn t49_a_command_for_another_instance_epoch_or_connection_is_refused() {
        let other = Command { instance: InstanceId([9; 32]), ..command() };
        assert_eq!(check(&signed(&other, &[1]), 1), Err(Code::NotFound));
        let other = Command { settings_epoch: 4, ..command() };
        assert_eq!(check(&signed(&other, &[1]), 1), Err(Code::SettingsEpoch));
        let other = Command { nonce: [4; 32], ..command() };
        assert_eq!(check(&signed(&other, &[1]), 1), Err(Code::NonceUnknown));
    }

    #[test]
    fn t50_a_changed_command_is_refused() {
        let mut bytes = signed(&command(), &[1]);
        let mut changed = bytes.command.to_vec();
        if let Some(last) = changed.last_mut() {
            *last ^= 1;
        }
        bytes.command = Bytes::new(changed).unwrap();
        assert_eq!(check(&bytes, 1), Err(Code::OperatorsRequired));
    }

    #[test]
    fn a_claimed_co_signer_is_not_claimed_again() {
        let change =
            Change::Claim { operators: List::new(vec![entry(3)]).unwrap(), required: 1, sealing_key: Text::default() };
        assert_eq!(check(&signed(&Command { change, ..command() }, &[3]), 1), Err(Code::AlreadyClaimed));
    }
}
