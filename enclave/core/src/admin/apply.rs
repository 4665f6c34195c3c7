//! What operators' commands do, and what admins may read.

use crate::pairing::merged_initiators;
use crate::serving::{Cx, PairingState, Serving, blobs};
use crate::state::Secret;
use countersign_token::SigningKey;
use countersign_wire::admin::{AdminResponse, Done};
use countersign_wire::command::Change;
use countersign_wire::ids::PairingId;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::status::{Description, Status};
use countersign_wire::{Bytes, List, Text};

fn no_pairing(id: &PairingId) -> Refusal {
    Refusal::new(Code::NotFound, format!("this co-signer has no pairing {id}"))
}

impl Serving {
    pub(crate) fn pairing(&self, id: &PairingId) -> Result<&PairingState, Refusal> {
        self.pairings.get(id).filter(|p| p.record.is_confirmed()).ok_or_else(|| no_pairing(id))
    }

    pub(crate) fn pairing_mut(&mut self, id: &PairingId) -> Result<&mut PairingState, Refusal> {
        self.pairings.get_mut(id).filter(|p| p.record.is_confirmed()).ok_or_else(|| no_pairing(id))
    }

    /// Carries out a change that enough operators signed. `None`: the result comes later.
    pub(crate) fn apply(
        &mut self,
        cx: &mut Cx<'_>,
        connection: u64,
        change: Change,
        callback_key: &mut Option<Secret>,
    ) -> Result<Option<Done>, Refusal> {
        let done = match change {
            Change::Claim { .. } => {
                return Err(Refusal::new(Code::AlreadyClaimed, "this co-signer has operators already"));
            }
            // A command that was taken counts in the epoch, also where only its answer had been lost: the operator's side counts it.
            Change::AddUser(add) => match self.begin_add_user(cx, connection, *add, callback_key)? {
                Some(done) => done,
                None => return Ok(None),
            },
            Change::AddInitiator { pairing, initiator } => {
                let pairing = self.pairing_mut(&pairing)?;
                pairing.record.initiators = merged_initiators(&pairing.record.initiators, &[initiator])?;
                pairing.save(cx);
                Done::InitiatorAdded
            }
            Change::RemoveInitiator { pairing, user } => {
                let pairing = self.pairing_mut(&pairing)?;
                if !pairing.record.initiators.iter().any(|i| i.user == user) {
                    return Err(Refusal::new(Code::NotFound, format!("{user} is not an initiator of this pairing")));
                }
                pairing.record.initiators.retain(|i| i.user != user);
                pairing.save(cx);
                Done::InitiatorRemoved
            }
            Change::AcceptGroup { pairing, group } => {
                self.pairing_mut(&pairing)?.accept_group(cx, &group)?;
                Done::GroupAccepted { group: group.id }
            }
            Change::ClearQuarantine { pairing, key } => {
                self.pairing_mut(&pairing)?.clear_quarantine(cx, key)?;
                Done::QuarantineCleared
            }
            Change::Rename { name } => {
                self.settings.name = name;
                self.pairings.values().for_each(|p| p.tell_users(cx, &self.settings.name));
                Done::Renamed
            }
            Change::SetApproval { pairing, user, approval } => {
                self.set_approval(cx, &pairing, &user, approval, callback_key)?
            }
            Change::RemoveUser { pairing, user } => self.remove_user(cx, &pairing, &user)?,
            Change::RotateSealingKey { sealing_key } => {
                self.begin_rotation(cx, connection, sealing_key)?;
                return Ok(None);
            }
            Change::TestCallback { pairing, user } => {
                self.test_callback(cx, connection, &pairing, &user)?;
                self.count_command(cx);
                return Ok(None);
            }
        };
        self.count_command(cx);
        Ok(Some(done))
    }

    /// A command was carried out: the next one names the next epoch.
    pub(super) fn count_command(&mut self, cx: &mut Cx<'_>) {
        self.settings.epoch = self.settings.epoch.saturating_add(1);
        cx.save(blobs::settings(), &self.settings);
    }

    pub(crate) fn describe(&self, cx: &Cx<'_>, nonce: [u8; 32]) -> Description {
        Description {
            instance: self.instance,
            boot: cx.boot,
            version: Text::cut(cx.caps.version),
            name: self.settings.name.clone(),
            operators: self.settings.operators.clone(),
            required: self.settings.required,
            sealing_key: self.settings.sealing_key.clone(),
            settings_epoch: self.settings.epoch,
            pending_changes: 0,
            nonce,
            measurements: cx.caps.measurements.clone(),
        }
    }

    pub(crate) fn status(
        &self,
        cx: &Cx<'_>,
        nonce: [u8; 32],
        booted_at_ms: u64,
        primes_found: u8,
        unstored: usize,
    ) -> Status {
        let sessions: usize = self.pairings.values().map(|p| p.ceremonies.sessions.len()).sum();
        let confirmed = self.pairings.values().filter(|p| p.record.is_confirmed());
        Status {
            description: self.describe(cx, nonce),
            now_ms: cx.now,
            booted_at_ms,
            pairings: List::cut(confirmed.map(|p| p.status(primes_found)).collect()),
            signatures: cx.counts.signatures,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            unstored: u32::try_from(unstored).unwrap_or(u32::MAX),
            host: cx.counts.host.clone(),
        }
    }

    pub(crate) fn initiators(&self, pairing: &PairingId) -> AdminResponse {
        match self.pairing(pairing) {
            Ok(pairing) => AdminResponse::Initiators(pairing.record.initiators.clone()),
            Err(refusal) => AdminResponse::Refused(refusal),
        }
    }

    pub(crate) fn callback_public_key(&self, pairing: &PairingId) -> AdminResponse {
        let key = self.pairing(pairing).and_then(|p| {
            let internal = |e: String| Refusal::new(Code::Internal, e);
            let key =
                SigningKey::from_pkcs8_der(p.record.callback_key.expose()).map_err(|e| internal(e.to_string()))?;
            Bytes::new(key.public().spki_der()).map_err(|e| internal(e.to_string()))
        });
        key.map_or_else(AdminResponse::Refused, AdminResponse::PublicKey)
    }
}
