//! What a co-signer tells about itself. Nothing here is secret.

use crate::serving::{Cx, PairingState, Serving};
use crate::state::{Agreed, User};
use countersign_wire::admin::AdminResponse;
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::command::{ApprovalSetting, Handler};
use countersign_wire::ids::{ApiUserId, ChangeId, PairingId};
use countersign_wire::key::KeyStatus;
use countersign_wire::limits::MAX_NAME_BYTES;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::status::{
    ApprovalKind, CallbackStatus, GroupStatus, KeyEntry, Keys, PairingStatus, UserStatus, Users,
};
use countersign_wire::{List, Message, SigningIdentity, Text};
use zeroize::Zeroizing;

fn count(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

impl PairingState {
    fn key_status(key: &crate::state::KeyRecord) -> KeyStatus {
        match (&key.suspended, key.agreed) {
            (Some(_), _) => KeyStatus::Error,
            (None, Agreed::Held) => KeyStatus::Pending,
            (None, Agreed::Durable | Agreed::Published) => KeyStatus::Ready,
        }
    }

    pub(crate) fn status(&self, primes_found: u8) -> PairingStatus {
        let ready = self.keys.values().filter(|k| Self::key_status(k) == KeyStatus::Ready).count();
        let suspended = self.keys.values().filter(|k| k.suspended.is_some()).count();
        let groups = self.record.groups.iter().map(|g| {
            let state = self.group_state(&g.group.id);
            let finding = matches!(
                state,
                countersign_wire::ceremony::GroupState::FindingPrimes
                    | countersign_wire::ceremony::GroupState::Proposed
            );
            GroupStatus {
                hash: g.group.digest(),
                state,
                primes_found: if finding { primes_found } else { 4 },
                group: g.group.clone(),
            }
        });
        PairingStatus {
            pairing: self.record.id,
            workspace: self.record.workspace,
            fingerprint: self.record.fingerprint,
            url: self.record.url.clone(),
            party: self.party(),
            role: self.record.role,
            link_up: self.link.is_up,
            link_trouble: self.link.trouble.as_ref().map(|r| Text::cut(r.to_string())).unwrap_or_default(),
            require_intent: self.record.require_intent,
            users: count(self.record.users.len()),
            initiators: count(self.record.initiators.len()),
            groups: List::cut(groups.collect()),
            keys_ready: u32::try_from(ready).unwrap_or(u32::MAX),
            keys_suspended: u32::try_from(suspended).unwrap_or(u32::MAX),
        }
    }
}

impl PairingState {
    fn user(&self, user: &User) -> UserStatus {
        let (approval, handler) = match &user.approval {
            ApprovalSetting::None => (ApprovalKind::None, None),
            ApprovalSetting::Auto => (ApprovalKind::Auto, None),
            ApprovalSetting::Handler(handler) => (ApprovalKind::Handler, Some(handler)),
        };
        let seen = self.callbacks.get(&user.id).cloned().unwrap_or_default();
        let (retrying, waiting): (Vec<_>, Vec<_>) = self.askings.of_user(&user.id).partition(|a| a.is_retrying());
        UserStatus {
            pairing: self.record.id,
            workspace: self.record.workspace,
            user: user.id.clone(),
            approval,
            handler_url: handler.map(|handler| handler.url.clone()).unwrap_or_default(),
            handler_mode: handler.and_then(Handler::mode).map(|mode| Text::cut(mode.as_str())).unwrap_or_default(),
            allow_raw: user.allow_raw,
            confirmed: user.unconfirmed.is_none(),
            last_attempt: seen.last().cloned(),
            approved: seen.approved,
            rejected: seen.rejected,
            retried: seen.retried,
            failed: seen.failed,
            waiting: u32::try_from(waiting.len()).unwrap_or(u32::MAX),
            retrying: u32::try_from(retrying.len()).unwrap_or(u32::MAX),
            certificate_expires_at_ms: seen.certificate_expires_at_ms,
        }
    }

    fn callback_status(&mut self, id: &ApiUserId) -> Result<CallbackStatus, Refusal> {
        let no_user = || Refusal::new(Code::NotFound, format!("API user {id} is not paired with this co-signer"));
        let request_key = self.request_public_key(id)?;
        let user = self.record.user(id).ok_or_else(no_user)?;
        let seen = self.callbacks.get(id);
        Ok(CallbackStatus {
            user: self.user(user),
            approval: user.approval.clone(),
            request_key,
            own_request_key: user.signs_own_requests(),
            approval_key: self.approval_public_key(id).ok_or_else(no_user)?,
            attempts: List::cut(seen.map(|seen| seen.attempts.iter().cloned().collect()).unwrap_or_default()),
            proposal: self.proposals.get(id).cloned(),
        })
    }

    /// The public half of the key that signs an API user's word about configuration changes.
    pub(crate) fn approval_public_key(&self, id: &ApiUserId) -> Option<[u8; 32]> {
        let user = self.record.users.iter().find(|user| user.id == *id)?;
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(user.approval_key.expose().try_into().ok()?);
        Some(SigningIdentity::from_secret(&secret).public())
    }

    /// Tells the workspace how its API users' requests are approved here.
    pub(crate) fn tell_users(&self, cx: &mut Cx<'_>, name: &Text<MAX_NAME_BYTES>) {
        let confirmed = self.record.users.iter().filter(|user| user.unconfirmed.is_none());
        let users = confirmed.map(|user| (user.id.clone(), self.user(user).approval, user.approval.digest()));
        let users = List::cut(users.collect());
        self.tell(cx, &CosignerMessage::Users { name: name.clone(), users });
    }

    /// The workspace would have an API user's requests approved in another way. Operators may look at it, and nothing else
    /// follows (threat T57).
    pub(crate) fn propose_approval(&mut self, change: ChangeId, user: ApiUserId, approval: ApprovalSetting) {
        match self.record.user(&user) {
            Some(known) if known.approval != approval => {
                self.proposals.insert(user, (change, approval));
            }
            Some(_) | None => {
                self.proposals.remove(&user);
            }
        }
    }
}

impl Serving {
    pub(crate) fn users(&self) -> Users {
        let users =
            self.pairings.values().flat_map(|pairing| pairing.record.users.iter().map(|user| pairing.user(user)));
        List::cut(users.collect())
    }

    /// Everything about how an API user's requests are approved.
    pub(crate) fn callback_status(&mut self, pairing: &PairingId, user: &ApiUserId) -> AdminResponse {
        let status = self.pairing_mut(pairing).and_then(|pairing| pairing.callback_status(user));
        status.map_or_else(AdminResponse::Refused, |status| AdminResponse::Callback(Box::new(status)))
    }

    pub(crate) fn keys(&self) -> Keys {
        let keys = self.pairings.values().flat_map(|pairing| {
            pairing.keys.values().map(|key| KeyEntry {
                pairing: pairing.record.id,
                key: key.key,
                status: PairingState::key_status(key),
                purpose: key.purpose.clone(),
                public_key: (key.agreed == Agreed::Published).then_some(key.public_key),
                detail: key.suspended.as_ref().map(|r| Text::cut(r.to_string())).unwrap_or_default(),
            })
        });
        List::cut(keys.collect())
    }
}
