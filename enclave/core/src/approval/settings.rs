//! What operators say about API users: how their requests are approved, and that one is removed.

use super::series::only_adds_keys;
use crate::callback::check_handler;
use crate::effect::Effect;
use crate::events::Fields;
use crate::limits::{MAX_PAIRING_RECORD_BYTES, MAX_REMOVED_RECORDS};
use crate::serving::{Cx, PairingState, Serving, blobs};
use crate::state::{Pairing, Secret, User};
use countersign_wire::admin::Done;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::group::Role;
use countersign_wire::ids::{ApiUserId, PairingId};
use countersign_wire::limits::MAX_HANDLERS;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::status::Severity;
use countersign_wire::{Bytes, List, Message};

/// API users of all pairings that have a handler.
pub(crate) fn count_handlers(serving: &Serving) -> usize {
    let users = serving.pairings.values().flat_map(|pairing| pairing.record.users.iter());
    users.filter(|user| matches!(user.approval, ApprovalSetting::Handler(_))).count()
}

impl Serving {
    /// Whether `approval` may be the setting of an API user of this role.
    pub(crate) fn check_approval(&self, role: Role, approval: &ApprovalSetting) -> Result<(), Refusal> {
        match approval {
            ApprovalSetting::None => Ok(()),
            _ if role == Role::Cloud => {
                Err(Refusal::new(Code::NotAllowed, "a cloud co-signer has neither handler nor auto-approve"))
            }
            ApprovalSetting::Auto => Ok(()),
            ApprovalSetting::Handler(_) if count_handlers(self) >= MAX_HANDLERS => {
                let detail = format!("this co-signer has {MAX_HANDLERS} callback handlers, as many as it can have");
                Err(Refusal::new(Code::Busy, detail))
            }
            ApprovalSetting::Handler(handler) => check_handler(handler),
        }
    }

    /// Sets how an API user's requests are approved. Everything that waits for its handler ends, unless there are only keys or
    /// pins in addition.
    pub(crate) fn set_approval(
        &mut self,
        cx: &mut Cx<'_>,
        pairing: &PairingId,
        user: &ApiUserId,
        approval: ApprovalSetting,
        spare_key: &mut Option<Secret>,
    ) -> Result<Done, Refusal> {
        let (role, has_handler) = {
            let pairing = self.pairing(pairing)?;
            let known = pairing.record.user(user).ok_or_else(|| no_user(user))?;
            (pairing.record.role, matches!(known.approval, ApprovalSetting::Handler(_)))
        };
        match &approval {
            ApprovalSetting::Handler(handler) if has_handler => check_handler(handler)?,
            approval => self.check_approval(role, approval)?,
        }
        let name = self.settings.name.clone();
        let pairing = self.pairing_mut(pairing)?;
        pairing.check_fits(user, &approval)?;
        let ended = match pairing.record.user(user) {
            Some(known) if known.approval != approval && !only_adds_keys(&known.approval, &approval) => {
                pairing.end_askings(cx, user)
            }
            _ => 0,
        };
        let wants_own = matches!(&approval, ApprovalSetting::Handler(handler) if handler.own_request_key);
        let known = pairing.record.users.iter_mut().find(|known| known.id == *user).ok_or_else(|| no_user(user))?;
        if wants_own && known.request_key.expose().is_empty() {
            known.request_key = spare_key.take().ok_or_else(|| {
                Refusal::new(Code::NotYet, "the request key is still being made; try again in a few seconds")
            })?;
        }
        known.approval = approval;
        pairing.proposals.retain(|whose, (_, proposed)| {
            whose != user || pairing.record.users.iter().all(|known| known.id != *user || known.approval != *proposed)
        });
        pairing.request_keys.forget();
        if let Some(history) = pairing.callbacks.get_mut(user) {
            history.certificate_expires_at_ms = None;
        }
        pairing.save(cx);
        pairing.tell_users(cx, &name);
        let mut fields = Fields::default();
        fields.add("user", user).add("pairing", pairing.record.id).add("ended", ended);
        fields.add("setting", setting_name(&pairing.record, user));
        cx.event(Severity::Info, "approval", fields, "operators set how this API user's requests are approved");
        Ok(Done::ApprovalSet { request_key: pairing.request_public_key(user)?, ended })
    }

    /// Removes an API user; with the last one the pairing, unless that holds what must not be lost.
    pub(crate) fn remove_user(
        &mut self,
        cx: &mut Cx<'_>,
        pairing: &PairingId,
        user: &ApiUserId,
    ) -> Result<Done, Refusal> {
        if self.add.as_ref().is_some_and(|flow| flow.is_for(pairing)) {
            return Err(Refusal::new(
                Code::Busy,
                "an API user is being added to this pairing; try again when that is done",
            ));
        }
        let state = self.pairings.get_mut(pairing).ok_or_else(|| no_user(user))?;
        if !state.record.users.iter().any(|known| known.id == *user) {
            return Err(no_user(user));
        }
        state.end_askings(cx, user);
        let mut users: Vec<User> = std::mem::take(&mut state.record.users).into_vec();
        users.retain(|known| known.id != *user);
        state.record.users = List::cut(users);
        state.proposals.remove(user);
        state.callbacks.remove(user);
        state.request_keys.forget();
        let pairing_removed = state.record.users.is_empty() && state.is_empty();
        let mut fields = Fields::default();
        fields.add("user", user).add("pairing", pairing).add("pairing_removed", pairing_removed);
        cx.event(Severity::Info, "user-removed", fields, "operators removed an API user");
        state.tell_users(cx, &self.settings.name);
        if pairing_removed {
            state.delete(cx);
            self.pairings.remove(pairing);
        } else {
            state.save(cx);
        }
        Ok(Done::UserRemoved { pairing_removed })
    }
}

/// In a word, for the log.
fn setting_name(record: &Pairing, user: &ApiUserId) -> &'static str {
    match record.user(user).map(|known| &known.approval) {
        Some(ApprovalSetting::Handler(handler)) => handler.mode().map_or("handler", |mode| mode.as_str()),
        Some(ApprovalSetting::Auto) => "auto-approve",
        Some(ApprovalSetting::None) | None => "none",
    }
}

fn no_user(user: &ApiUserId) -> Refusal {
    Refusal::new(
        Code::NotFound,
        format!("this co-signer has no API user {user} in that pairing: see `cosigner list-users`"),
    )
}

impl PairingState {
    /// Whether the pairing can be sealed with this setting of an API user, who may be new.
    pub(crate) fn check_fits(&self, user: &ApiUserId, approval: &ApprovalSetting) -> Result<(), Refusal> {
        let bytes = |approval: &ApprovalSetting| borsh::object_length(approval).unwrap_or(usize::MAX);
        let before = self.record.user(user).map_or(0, |known| bytes(&known.approval));
        let pairing = self.record.encode().len().saturating_sub(before).saturating_add(bytes(approval));
        if bytes(approval) > before && pairing > MAX_PAIRING_RECORD_BYTES {
            let detail = "the settings of this pairing's API users are as large as they may be together: give a shorter URL, \
                          fewer networks, or a certificate's pin instead of a root";
            return Err(Refusal::new(Code::Busy, detail));
        }
        Ok(())
    }

    /// Whether nothing would be lost with it: no share, no decision, and little else.
    fn is_empty(&self) -> bool {
        let little = self.primes.len().saturating_add(self.aux.len()).saturating_add(self.changes.len());
        let waiting = self.askings.len().saturating_add(self.askings.sealed());
        self.keys.is_empty()
            && self.vaults.is_empty()
            && self.ledger.len() == 0
            && little.saturating_add(waiting) <= MAX_REMOVED_RECORDS
    }

    /// Deletes every record of a pairing that is empty. All of them go in one batch.
    fn delete(&mut self, cx: &mut Cx<'_>) {
        let id = self.record.id;
        self.end_all_sessions(cx);
        self.primes.keys().for_each(|group| cx.delete(blobs::primes(id, *group)));
        self.aux.keys().for_each(|group| cx.delete(blobs::aux(id, *group)));
        self.changes.keys().for_each(|change| cx.delete(blobs::change(id, *change)));
        self.askings.stale.drain(..).for_each(|blob| cx.delete(blob));
        cx.delete(blobs::pairing(id));
        cx.out.push(Effect::LinkClose { pairing: id });
    }

    /// The key that signs requests to the handler of `user`, SubjectPublicKeyInfo DER.
    pub(crate) fn request_public_key<const N: usize>(&mut self, user: &ApiUserId) -> Result<Bytes<N>, Refusal> {
        let key = self.request_keys.of_user(&self.record, user)?;
        Bytes::new(key.public().spki_der()).map_err(|e| Refusal::new(Code::Internal, e.to_string()))
    }
}
