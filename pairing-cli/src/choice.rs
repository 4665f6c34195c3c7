//! Which pairing or API user a flag or an argument means.

use crate::failure::Failure;
use countersign_wire::ids::{ApiUserId, PairingId};
use countersign_wire::status::{PairingStatus, Status, UserStatus};

/// The pairing that a flag names, or the only one.
pub fn choose_pairing(status: &Status, wanted: Option<PairingId>) -> Result<&PairingStatus, Failure> {
    let list = || {
        let shown = status.pairings.iter().map(|p| format!("{} (workspace {})", p.pairing, p.workspace));
        shown.collect::<Vec<_>>().join(", ")
    };
    match (wanted, &status.pairings[..]) {
        (_, []) => Err(Failure::not_found("this co-signer is not paired", "pair it with `cosigner add-user`")),
        (None, [only]) => Ok(only),
        (None, _) => {
            Err(Failure::usage(format!("this co-signer has several pairings: {}", list()), "name one with --pairing"))
        }
        (Some(id), all) => all.iter().find(|p| p.pairing == id).ok_or_else(|| {
            Failure::not_found(format!("there is no pairing {id}"), format!("these are there: {}", list()))
        }),
    }
}

/// The API user that an argument names, in the pairing that a flag names or the only one that has it.
pub fn choose_user<'u>(
    users: &'u [UserStatus],
    user: &ApiUserId,
    wanted: Option<PairingId>,
) -> Result<&'u UserStatus, Failure> {
    let found: Vec<&UserStatus> =
        users.iter().filter(|u| u.user == *user && wanted.is_none_or(|p| p == u.pairing)).collect();
    match found.as_slice() {
        [only] => Ok(only),
        [] => {
            let place = wanted.map_or_else(|| "this co-signer".to_owned(), |p| format!("pairing {p}"));
            Err(Failure::not_found(format!("there is no API user {user} in {place}"), "see `cosigner list-users`"))
        }
        several => {
            let all: Vec<String> =
                several.iter().map(|u| format!("{} (workspace {})", u.pairing, u.workspace)).collect();
            Err(Failure::usage(
                format!("API user {user} is in several pairings: {}", all.join(", ")),
                "name one with --pairing",
            ))
        }
    }
}

/// That the pairing which a list is limited to exists: an empty list would say something else.
pub fn check_pairing(status: &Status, wanted: Option<PairingId>) -> Result<(), Failure> {
    if wanted.is_some() { choose_pairing(status, wanted).map(drop) } else { Ok(()) }
}
