//! The JSON forms of what a co-signer says. Scripts rely on these members: add, never rename.

use crate::commands::App;
use crate::commands::list_users::{self, Raw};
use crate::failure::Failure;
use crate::measurements::Measurements;
use crate::text_forms::role_name;
use countersign_wire::Message;
use countersign_wire::callback::Attempt;
use countersign_wire::ceremony::GroupState;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::host_link::HostHealth;
use countersign_wire::ids::PartyId;
use countersign_wire::refusal::Code;
use countersign_wire::status::{ApprovalKind, Description, GroupStatus, KeyEntry, PairingStatus, Status, UserStatus};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Which co-signers of this workstation the parties of groups are.
pub type KnownParties = BTreeMap<PartyId, String>;

/// Every party that is pinned here, by its co-signer's name.
pub fn known_parties(app: &App) -> Result<KnownParties, Failure> {
    let pins = app.all_pins()?;
    let all = pins.iter().flat_map(|(name, pin)| pin.pairings.iter().map(move |p| (p.party, name.clone())));
    Ok(all.collect())
}

/// A group's state.
pub fn group_state(state: GroupState) -> &'static str {
    match state {
        GroupState::Proposed => "proposed",
        GroupState::FindingPrimes => "finding_primes",
        GroupState::AwaitingAux => "awaiting_aux",
        GroupState::AuxPending => "aux_pending",
        GroupState::Ready => "ready",
    }
}

/// How a user's requests are approved.
pub fn approval(kind: ApprovalKind) -> &'static str {
    match kind {
        ApprovalKind::None => "none",
        ApprovalKind::Handler => "handler",
        ApprovalKind::Auto => "auto",
    }
}

/// How a setting has requests approved.
pub fn kind_of(setting: &ApprovalSetting) -> ApprovalKind {
    match setting {
        ApprovalSetting::None => ApprovalKind::None,
        ApprovalSetting::Handler(_) => ApprovalKind::Handler,
        ApprovalSetting::Auto => ApprovalKind::Auto,
    }
}

/// A call of a handler.
pub fn attempt(attempt: &Attempt) -> Value {
    let steps = attempt.steps;
    json!({
        "number": attempt.number,
        "started_at_ms": attempt.started_at_ms,
        "waited_ms": attempt.waited_ms,
        "took_us": attempt.took_us,
        "steps": {
            "resolve_us": steps.resolve_us,
            "connect_us": steps.connect_us,
            "tls_us": steps.tls_us,
            "answer_us": steps.answer_us,
        },
        "reused": attempt.reused,
        "result": attempt.result.as_str(),
        "code": attempt.code.map(Code::as_str),
        "detail": &*attempt.detail,
        "next_at_ms": attempt.next_at_ms,
    })
}

/// What a host says about itself.
pub fn host(host: Option<&(HostHealth, u64)>) -> Value {
    let Some((health, at_ms)) = host else { return Value::Null };
    json!({
        "at_ms": at_ms,
        "version": &*health.version,
        "clock_ms": health.clock_ms,
        "disk_free_bytes": health.disk_free_bytes,
        "disk_total_bytes": health.disk_total_bytes,
        "blobs": health.blobs,
        "stored_bytes": health.stored_bytes,
        "commit_us": health.commit_us,
        "proxied": health.proxied,
    })
}

/// A description.
pub fn description(description: &Description) -> Value {
    let operators = description.operators.iter().map(|(id, name)| json!({ "name": &**name, "key": id.to_string() }));
    json!({
        "instance": description.instance.to_string(),
        "boot": description.boot.to_string(),
        "version": &*description.version,
        "name": &*description.name,
        "operators": operators.collect::<Vec<_>>(),
        "required": description.required,
        "sealing_key": &*description.sealing_key,
        "settings_epoch": description.settings_epoch,
        "pending_changes": description.pending_changes,
        "measurements": Measurements::from(&description.measurements),
    })
}

/// A group of a pairing. The hash is computed here, never taken over.
pub fn group(pairing: &PairingStatus, status: &GroupStatus, known: &KnownParties) -> Value {
    let parties = status.group.parties.iter().map(|party| {
        json!({
            "id": party.id.to_string(),
            "role": role_name(party.role),
            "self": party.id == pairing.party,
            "cosigner": known.get(&party.id),
        })
    });
    json!({
        "group": status.group.id.to_string(),
        "pairing": pairing.pairing.to_string(),
        "workspace": status.group.workspace.to_string(),
        "threshold": status.group.threshold,
        "parties": parties.collect::<Vec<_>>(),
        "hash": hex::encode(status.group.digest()),
        "state": group_state(status.state),
        "primes_found": status.primes_found,
    })
}

/// A pairing.
pub fn pairing(status: &PairingStatus, known: &KnownParties) -> Value {
    json!({
        "pairing": status.pairing.to_string(),
        "workspace": status.workspace.to_string(),
        "workspace_key": status.fingerprint.to_string(),
        "url": &*status.url,
        "party": status.party.to_string(),
        "role": role_name(status.role),
        "link_up": status.link_up,
        "link_trouble": &*status.link_trouble,
        "require_intent": status.require_intent,
        "users": status.users,
        "initiators": status.initiators,
        "groups": status.groups.iter().map(|g| group(status, g, known)).collect::<Vec<_>>(),
        "keys_ready": status.keys_ready,
        "keys_suspended": status.keys_suspended,
    })
}

/// An API user.
pub fn user(status: &UserStatus, whole: &Status) -> Value {
    let raw = match list_users::raw(whole, status) {
        Raw::Allowed => "allowed",
        Raw::Refused => "refused",
        Raw::NotApplicable => "not_applicable",
    };
    // From before calls had results of their own; scripts rely on it.
    let last = status
        .last_attempt
        .as_ref()
        .map(|last| json!({ "result": last.code.map_or("approved", Code::as_str), "at_ms": last.started_at_ms }));
    json!({
        "user": status.user.as_str(),
        "pairing": status.pairing.to_string(),
        "workspace": status.workspace.to_string(),
        "approval": approval(status.approval),
        "handler_url": if status.handler_url.is_empty() { None } else { Some(&*status.handler_url) },
        "allow_raw": status.allow_raw,
        "raw": raw,
        "require_intent": list_users::requires_intent(whole, status),
        "last_callback": last,
        "approved": status.approved,
        "rejected": status.rejected,
        "failed": status.failed,
        "handler_mode": if status.handler_mode.is_empty() { None } else { Some(&*status.handler_mode) },
        "confirmed": status.confirmed,
        "last_attempt": status.last_attempt.as_ref().map(attempt),
        "retried": status.retried,
        "waiting": status.waiting,
        "retrying": status.retrying,
        "certificate_expires_at_ms": status.certificate_expires_at_ms,
    })
}

/// A key.
pub fn key(entry: &KeyEntry) -> Value {
    json!({
        "key": entry.key.to_string(),
        "pairing": entry.pairing.to_string(),
        "status": entry.status.as_str(),
        "algorithm": entry.purpose.algorithm.as_str(),
        "coin_type": entry.purpose.coin_type,
        "operations": entry.purpose.operations.iter().map(|o| o.as_str()).collect::<Vec<_>>(),
        "signer": entry.purpose.signer.as_str(),
        "public_key": entry.public_key.map(hex::encode),
        "detail": &*entry.detail,
    })
}
