//! `cosigner group`: the workspace proposes who holds shares together, operators accept exactly that.

use super::{App, get_status, views};
use crate::admin_channel::unexpected;
use crate::choice::{check_pairing, choose_pairing};
use crate::console::Report;
use crate::failure::Failure;
use crate::prompt;
use crate::session::{Session, Trusted};
use crate::table::{Table, plain};
use crate::text_forms::role_name;
use countersign_wire::Message;
use countersign_wire::admin::Done;
use countersign_wire::ceremony::GroupState;
use countersign_wire::command::Change;
use countersign_wire::ids::{GroupId, PairingId};
use countersign_wire::status::{GroupStatus, PairingStatus};
use serde_json::json;
use views::KnownParties;

/// Signing groups that a workspace proposes.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List groups with each party's identity and role
    List(ListArgs),
    /// Accept a proposed group
    Accept(AcceptArgs),
}

/// Flags of `list`.
#[derive(clap::Args)]
pub struct ListArgs {
    /// Only of this pairing
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
}

/// Flags of `accept`.
#[derive(clap::Args)]
pub struct AcceptArgs {
    /// Which group
    #[arg(long, value_name = "ID")]
    group: GroupId,
    /// Of which pairing; not needed where there is only one
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
    /// The group's hash, as the other operators see it: only exactly that group is accepted
    #[arg(long, value_name = "HEX", value_parser = hash)]
    hash: Option<[u8; 32]>,
    /// Accept without asking
    #[arg(long)]
    yes: bool,
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "expected 64 hexadecimal digits".to_owned())?;
    Ok(bytes)
}

/// Lists.
pub async fn list(app: &App, args: &ListArgs) -> Result<Report, Failure> {
    let mut session = Session::open_to_read(app).await?;
    let status = session.status().await?;
    check_pairing(&status, args.pairing)?;
    let known = views::known_parties(app)?;
    let pairings = status.pairings.iter().filter(|p| args.pairing.is_none_or(|wanted| wanted == p.pairing));
    let mut texts = Vec::new();
    let mut items = Vec::new();
    for (pairing, group) in pairings.flat_map(|p| p.groups.iter().map(move |g| (p, g))) {
        texts.push(show(pairing, group, &known, app.console.colour));
        items.push(views::group(pairing, group, &known));
    }
    if texts.is_empty() {
        texts.push("no groups: the workspace proposes one when all its co-signers are paired".to_owned());
    }
    Ok(Report::new(texts.join("\n\n"), json!({ "groups": items })))
}

/// Accepts.
pub async fn accept(app: &App, args: AcceptArgs) -> Result<Report, Failure> {
    app.socket()?;
    let keys = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let status = cosigner.session().status().await?;
    let pairing = choose_pairing(&status, args.pairing)?;
    let proposed = pairing.groups.iter().find(|g| g.group.id == args.group).ok_or_else(|| {
        Failure::not_found(
            format!("no group {} is proposed in pairing {}", args.group, pairing.pairing),
            "see `cosigner group list`; the workspace proposes one when all its co-signers are paired",
        )
    })?;
    let known = views::known_parties(app)?;
    check(pairing, proposed, args.hash)?;
    let already = proposed.state != GroupState::Proposed;
    if !already {
        if args.hash.is_none() && !args.yes {
            app.console.say(&show(pairing, proposed, &known, app.console.colour_stderr()));
        }
        prompt::confirm(args.yes || args.hash.is_some(), "accept this group", "--hash HEX or --yes")?;
        let change = Change::AcceptGroup { pairing: pairing.pairing, group: proposed.group.clone() };
        match cosigner.change(&keys, change).await? {
            Done::GroupAccepted { group } if group == args.group => {}
            _ => return Err(unexpected("the confirmation of this group")),
        }
    }
    let text = if already { "accepted before" } else { "accepted" };
    Ok(Report::new(
        format!("{text}: group {} with hash {}", args.group, hex::encode(proposed.group.digest())),
        json!({
            "pairing": pairing.pairing.to_string(),
            "group": args.group.to_string(),
            "hash": hex::encode(proposed.group.digest()),
            "already_accepted": already,
        }),
    ))
}

/// What makes no sense is not put before a person, and what a flag names must be it.
fn check(pairing: &PairingStatus, proposed: &GroupStatus, wanted: Option<[u8; 32]>) -> Result<(), Failure> {
    const FAULTY: &str = "the workspace proposes nonsense: do not accept it";
    let group = &proposed.group;
    group.check().map_err(|e| Failure::untrusted(format!("this is no sound group: {e}"), FAULTY))?;
    let own = group.index_of(&pairing.party).and_then(|index| group.party(index));
    if group.workspace != pairing.workspace || own.is_none_or(|own| own.role != pairing.role) {
        return Err(Failure::untrusted(
            format!(
                "this co-signer is not in the group as {} of workspace {}",
                role_name(pairing.role),
                pairing.workspace
            ),
            FAULTY,
        ));
    }
    match wanted {
        Some(hash) if hash != group.digest() => Err(Failure::untrusted(
            format!("the group's hash: expected {}, got {}", hex::encode(hash), hex::encode(group.digest())),
            "the workspace shows this co-signer another group than the one you were told: compare `cosigner group list`",
        )),
        _ => Ok(()),
    }
}

fn show(pairing: &PairingStatus, status: &GroupStatus, known: &KnownParties, colour: bool) -> String {
    let group = &status.group;
    let mut head = Table::new(&[]);
    head.row(vec![plain("group"), plain(group.id)]);
    head.row(vec![plain("workspace"), plain(group.workspace)]);
    head.row(vec![plain("pairing"), plain(pairing.pairing)]);
    head.row(vec![plain("signers"), plain(format!("{} of {}", group.threshold, group.size()))]);
    head.row(vec![plain("state"), get_status::state(status.state, status.primes_found)]);
    head.row(vec![plain("hash"), plain(hex::encode(group.digest()))]);
    let mut parties = Table::new(&["party", "role", "who"]);
    for party in &group.parties {
        let name = known.get(&party.id);
        let who = match (party.id == pairing.party, name) {
            (true, _) => "this co-signer".to_owned(),
            (false, Some(name)) => format!("{name} (pinned here)"),
            (false, None) => "unknown here: compare with its operator".to_owned(),
        };
        parties.row(vec![plain(party.id), plain(role_name(party.role)), plain(who)]);
    }
    format!("{}\n{}", head.render(colour, ""), parties.render(colour, "no parties"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::group::{Group, Party, Role};
    use countersign_wire::ids::{PartyId, WorkspaceFingerprint, WorkspaceId};
    use countersign_wire::{List, Text};

    fn proposed(own: u8, own_role: Role) -> (PairingStatus, GroupStatus) {
        let other = if own_role == Role::Customer { Role::Cloud } else { Role::Customer };
        let parties =
            vec![Party { id: PartyId([own; 32]), role: own_role }, Party { id: PartyId([9; 32]), role: other }];
        let group = Group {
            workspace: WorkspaceId([1; 16]),
            id: GroupId([2; 16]),
            parties: List::new(parties).unwrap(),
            threshold: 2,
        };
        let status = GroupStatus { hash: [0; 32], group, state: GroupState::Proposed, primes_found: 0 };
        let pairing = PairingStatus {
            pairing: PairingId([3; 16]),
            workspace: WorkspaceId([1; 16]),
            fingerprint: WorkspaceFingerprint([0; 32]),
            url: Text::default(),
            party: PartyId([4; 32]),
            role: Role::Customer,
            link_up: true,
            link_trouble: Text::default(),
            require_intent: true,
            users: 0,
            initiators: 0,
            groups: List::default(),
            keys_ready: 0,
            keys_suspended: 0,
        };
        (pairing, status)
    }

    #[test]
    fn t54_a_group_without_this_co_signer_in_its_role_is_refused() {
        let (pairing, good) = proposed(4, Role::Customer);
        assert_eq!(check(&pairing, &good, None), Ok(()));
        assert_eq!(check(&pairing, &good, Some(good.group.digest())), Ok(()));
        for (own, role) in [(5, Role::Customer), (4, Role::Cloud)] {
            let (pairing, bad) = proposed(own, role);
            assert!(matches!(check(&pairing, &bad, None), Err(Failure::Untrusted { .. })));
        }
        let (mut pairing, group) = proposed(4, Role::Customer);
        pairing.workspace = WorkspaceId([8; 16]);
        assert!(matches!(check(&pairing, &group, None), Err(Failure::Untrusted { .. })));
    }

    #[test]
    fn t54_the_hash_is_computed_here_and_not_the_reported_one() {
        let (pairing, mut group) = proposed(4, Role::Customer);
        group.hash = [7; 32];
        assert!(matches!(check(&pairing, &group, Some([7; 32])), Err(Failure::Untrusted { .. })));
        group.group.threshold = 3;
        assert!(matches!(check(&pairing, &group, None), Err(Failure::Untrusted { .. })));
    }
}
