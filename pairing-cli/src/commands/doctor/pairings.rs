//! Checks of links, groups and keys.

use super::check::{Area, Check};
use crate::commands::views::group_state;
use countersign_wire::ceremony::GroupState;
use countersign_wire::key::KeyStatus;
use countersign_wire::status::{KeyEntry, PairingStatus, Status};

/// Links and groups.
pub fn pairings(status: &Status) -> Vec<Check> {
    if status.pairings.is_empty() {
        return vec![Check::warning(Area::Links, "paired with no workspace yet", "`cosigner add-user`")];
    }
    let mut checks: Vec<Check> = status.pairings.iter().map(link).collect();
    for pairing in &status.pairings {
        if pairing.groups.is_empty() {
            checks.push(Check::warning(
                Area::Groups,
                format!("workspace {} has no signing group with this co-signer yet", pairing.workspace),
                "the workspace proposes one once all its co-signers are paired",
            ));
        }
        checks.extend(groups(pairing));
    }
    checks
}

fn link(pairing: &PairingStatus) -> Check {
    let workspace = format!("{} ({})", pairing.workspace, &*pairing.url);
    match (pairing.link_up, pairing.link_trouble.as_str()) {
        (true, "") => Check::passed(Area::Links, format!("up: workspace {workspace}")),
        (true, trouble) => Check::passed(Area::Links, format!("up: workspace {workspace}; last trouble: {trouble}")),
        (false, trouble) => Check::failed(
            Area::Links,
            format!("DOWN: workspace {workspace}: {}", if trouble.is_empty() { "no reason is known" } else { trouble }),
            "check that the co-signer's host reaches this URL (firewall, proxy, name servers), and that the workspace is up",
        ),
    }
}

fn groups(pairing: &PairingStatus) -> impl Iterator<Item = Check> {
    pairing.groups.iter().map(|group| {
        let id = group.group.id;
        let says = format!("{id} of workspace {}: {}", pairing.workspace, group_state(group.state).replace('_', " "));
        match group.state {
            GroupState::Ready => Check::passed(Area::Groups, says),
            GroupState::Proposed => Check::warning(
                Area::Groups,
                says,
                format!("look at it with `cosigner group list`, then `cosigner group accept --group {id}`"),
            ),
            GroupState::FindingPrimes | GroupState::AwaitingAux | GroupState::AuxPending => {
                Check::warning(Area::Groups, says, "wait: it is being prepared, together with its other co-signers")
            }
        }
    })
}

/// Keys.
pub fn keys(status: &Status, keys: &[KeyEntry]) -> Vec<Check> {
    let suspended = keys.iter().filter(|k| k.status == KeyStatus::Error).map(|key| {
        Check::failed(
            Area::Keys,
            format!("key {} is suspended: {}", key.key, &*key.detail),
            format!("find the cause; once it is gone: `cosigner key clear-quarantine --key {}`", key.key),
        )
    });
    let mut checks: Vec<Check> = suspended.collect();
    // The list has a limit; the counts have none.
    let counted: u32 = status.pairings.iter().map(|p| p.keys_suspended).fold(0, u32::saturating_add);
    let listed = u32::try_from(checks.len()).unwrap_or(u32::MAX);
    if counted > listed {
        checks.push(Check::failed(
            Area::Keys,
            format!("{} more keys are suspended", counted - listed),
            "see `cosigner list-keys --pairing ID`",
        ));
    }
    if checks.is_empty() {
        let ready: u32 = status.pairings.iter().map(|p| p.keys_ready).fold(0, u32::saturating_add);
        checks.push(Check::passed(Area::Keys, format!("{ready} ready, none suspended")));
    }
    checks
}
