//! What a co-signer tells about itself. Nothing here is secret.

use crate::serving::{PairingState, Serving};
use crate::state::Agreed;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::key::KeyStatus;
use countersign_wire::status::{ApprovalKind, GroupStatus, KeyEntry, Keys, PairingStatus, UserStatus, Users};
use countersign_wire::{List, Message, Text};

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

impl Serving {
    pub(crate) fn users(&self) -> Users {
        let users = self.pairings.values().flat_map(|pairing| {
            pairing.record.users.iter().filter(|u| u.unconfirmed.is_none()).map(|user| {
                let (approval, handler_url) = match &user.approval {
                    ApprovalSetting::None => (ApprovalKind::None, Text::default()),
                    ApprovalSetting::Auto => (ApprovalKind::Auto, Text::default()),
                    ApprovalSetting::Handler(handler) => (ApprovalKind::Handler, handler.url.clone()),
                };
                let seen = pairing.callbacks.get(&user.id).cloned().unwrap_or_default();
                UserStatus {
                    pairing: pairing.record.id,
                    workspace: pairing.record.workspace,
                    user: user.id.clone(),
                    approval,
                    handler_url,
                    allow_raw: user.allow_raw,
                    handler_mode: Text::default(),
                    confirmed: true,
                    last_attempt: None,
                    retried: 0,
                    waiting: 0,
                    retrying: 0,
                    certificate_expires_at_ms: None,
                    approved: seen.approved,
                    rejected: seen.rejected,
                    failed: seen.failed,
                }
            })
        });
        List::cut(users.collect())
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
