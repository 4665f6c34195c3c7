//! The rules of an enclave: what it answers, and what commands do.

use super::{CALLBACK_KEY, Callback, Fault, OWN_CALLBACK_KEY, PAIRING, State, USER, WORKSPACE, now_ms, pairing_status};
use countersign_attest::Measurements;
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::command::{ApprovalSetting, Change, Command, Measurements as WireMeasurements, SignedCommand};
use countersign_wire::ids::{ApiUserId, OperatorId, PairingId};
use countersign_wire::limits::{MAX_DER_BYTES, MAX_LISTED_EVENTS};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::signed::verify_bytes;
use countersign_wire::status::{ApprovalKind, CallbackStatus, Description, Event, Events, Status, UserStatus};
use countersign_wire::{Bytes, List, Message, Text};
use rand_core::{OsRng, RngCore};

impl State {
    pub(super) fn describe(&self, nonce: [u8; 32]) -> Description {
        let Measurements { pcr0, pcr1, pcr2, pcr8 } = self.measurements;
        Description {
            instance: self.instance,
            boot: self.boot,
            version: Text::new("0.1.0").unwrap(),
            name: Text::new(self.name.clone()).unwrap(),
            operators: List::new(self.operators.clone()).unwrap(),
            required: self.required,
            sealing_key: Text::new(self.sealing_key.clone()).unwrap(),
            settings_epoch: self.settings_epoch,
            pending_changes: self.pending_changes,
            nonce,
            measurements: WireMeasurements { pcr0, pcr1, pcr2, pcr8 },
        }
    }

    pub(super) fn answer(&mut self, request: AdminRequest, nonce: &mut Option<[u8; 32]>) -> AdminResponse {
        match request {
            AdminRequest::Describe => {
                let mut fresh = [0u8; 32];
                OsRng.fill_bytes(&mut fresh);
                *nonce = Some(fresh);
                AdminResponse::Described(self.describe(fresh))
            }
            AdminRequest::Command(signed) => match self.command(&signed, nonce.take()) {
                Ok(done) => AdminResponse::Done(done),
                Err(code) => AdminResponse::Refused(Refusal::new(code, self.refusal_detail.clone())),
            },
            _ if self.operators.is_empty() => {
                AdminResponse::Refused(Refusal::new(Code::NotClaimed, "`cosigner init` first"))
            }
            AdminRequest::Status => AdminResponse::Status(Box::new(Status {
                description: self.describe([0; 32]),
                now_ms: now_ms() - self.clock_behind_ms,
                booted_at_ms: now_ms() - self.clock_behind_ms - 60_000,
                pairings: List::new(self.pairings.clone()).unwrap(),
                signatures: 3,
                sessions: 1,
                unstored: self.unstored,
                host: self.host.clone(),
            })),
            AdminRequest::Users => AdminResponse::Users(List::new(self.users.clone()).unwrap()),
            AdminRequest::Keys => AdminResponse::Keys(List::new(self.keys.clone()).unwrap()),
            AdminRequest::Initiators { pairing } if self.pairings.iter().any(|p| p.pairing == pairing) => {
                AdminResponse::Initiators(List::new(self.initiators.clone()).unwrap())
            }
            AdminRequest::CallbackPublicKey { pairing } if self.pairings.iter().any(|p| p.pairing == pairing) => {
                AdminResponse::PublicKey(Bytes::new(CALLBACK_KEY).unwrap())
            }
            AdminRequest::Callback { pairing, user } => self.callback(pairing, &user),
            AdminRequest::Events { after } => {
                let lines = self.events.iter().filter(|line| line.number > after).take(MAX_LISTED_EVENTS);
                AdminResponse::Events(Events {
                    boot: self.boot,
                    lines: List::new(lines.cloned().collect::<Vec<Event>>()).unwrap(),
                    newest: self.events.last().map_or(0, |line| line.number),
                })
            }
            AdminRequest::Initiators { .. } | AdminRequest::CallbackPublicKey { .. } => {
                AdminResponse::Refused(Refusal::new(Code::NotFound, "no such pairing"))
            }
        }
    }

    fn callback(&mut self, pairing: PairingId, user: &ApiUserId) -> AdminResponse {
        let status = self.users.iter().find(|u| u.user == *user && u.pairing == pairing).cloned();
        let (Some(status), Some(callback)) = (status, self.callbacks.get(user).cloned()) else {
            return AdminResponse::Refused(Refusal::new(Code::NotFound, "no such API user"));
        };
        match self.fault.clone() {
            Fault::SettingsChangeMeanwhile => self.settings_epoch += 1,
            Fault::ProposalChangesMeanwhile(other) => {
                let callback = self.callbacks.get_mut(user).unwrap();
                callback.proposal = callback.proposal.take().map(|(change, _)| (change, other));
            }
            _ => {}
        }
        AdminResponse::Callback(Box::new(CallbackStatus {
            user: status,
            request_key: request_key(&callback.setting),
            own_request_key: request_key(&callback.setting).first() == OWN_CALLBACK_KEY.first(),
            approval: callback.setting,
            approval_key: [0x0a; 32],
            attempts: List::new(callback.attempts).unwrap(),
            proposal: callback.proposal,
        }))
    }

    /// The rules of an enclave: instance, epoch, nonce, and enough operators.
    fn command(&mut self, signed: &SignedCommand, nonce: Option<[u8; 32]>) -> Result<Done, Code> {
        let command = Command::decode(&signed.command).map_err(|_| Code::Malformed)?;
        if command.instance != self.instance {
            return Err(Code::NotFound);
        }
        if command.settings_epoch != self.settings_epoch {
            return Err(Code::SettingsEpoch);
        }
        if Some(command.nonce) != nonce {
            return Err(Code::NonceUnknown);
        }
        let (operators, required) = match &command.change {
            Change::Claim { operators, .. } if self.operators.is_empty() => (operators.to_vec(), operators.len()),
            Change::Claim { .. } => return Err(Code::AlreadyClaimed),
            _ => (self.operators.clone(), usize::from(self.required)),
        };
        for s in &signed.signatures {
            let known = operators.iter().any(|(id, _)| *id == s.operator);
            if !known || verify_bytes(Command::NAME, &signed.command, &s.signature, &s.operator.0).is_err() {
                return Err(Code::OperatorsRequired);
            }
        }
        if signed.signatures.len() < required.max(1) {
            return Err(Code::OperatorsRequired);
        }
        if let Fault::Refuse(code) = self.fault {
            return Err(code);
        }
        let done = self.carry_out(&command.change);
        self.settings_epoch += 1;
        self.accepted.push(command);
        Ok(done)
    }

    fn carry_out(&mut self, change: &Change) -> Done {
        match change {
            Change::Claim { operators, required, sealing_key } => {
                self.operators = operators.to_vec();
                self.required = *required;
                self.sealing_key = sealing_key.to_string();
                if self.fault == Fault::ExtraOperatorAfterClaim {
                    self.operators.push((OperatorId([0xee; 32]), Text::new("eve").unwrap()));
                }
                Done::Claimed
            }
            Change::AddUser(add) => {
                let mut pairing = pairing_status(add.role);
                (pairing.fingerprint, pairing.require_intent) = (add.workspace, add.require_intent);
                let party = pairing.party;
                self.pairings.retain(|p| p.pairing != PAIRING);
                self.pairings.push(pairing);
                self.initiators.extend(add.initiators.iter().cloned());
                self.users.retain(|u| u.user.as_str() != USER);
                self.users.push(user_status(USER, add.allow_raw));
                self.put(&USER.parse().unwrap(), &add.approval);
                Done::UserAdded {
                    user: USER.parse::<ApiUserId>().unwrap(),
                    pairing: PAIRING,
                    party,
                    workspace: WORKSPACE,
                    callback_public_key: request_key(&add.approval),
                }
            }
            Change::AddInitiator { initiator, .. } => {
                self.initiators.push(initiator.clone());
                Done::InitiatorAdded
            }
            Change::RemoveInitiator { user, .. } => {
                self.initiators.retain(|i| i.user != *user);
                Done::InitiatorRemoved
            }
            Change::AcceptGroup { group, .. } => Done::GroupAccepted { group: group.id },
            Change::ClearQuarantine { .. } => Done::QuarantineCleared,
            Change::SetApproval { user, approval, .. } => {
                let ended = self.put(user, approval);
                Done::ApprovalSet { request_key: request_key(approval), ended }
            }
            Change::TestCallback { user, .. } => {
                Done::CallbackTested(Box::new(self.callbacks[user].test.clone().expect("nobody tests this one")))
            }
            Change::RemoveUser { user, .. } => {
                self.users.retain(|u| u.user != *user);
                self.callbacks.remove(user);
                let pairing_removed = self.users.is_empty() && self.keys.is_empty();
                if pairing_removed {
                    self.pairings.clear();
                }
                Done::UserRemoved { pairing_removed }
            }
            Change::Rename { name } => {
                self.name = name.to_string();
                Done::Renamed
            }
            Change::RotateSealingKey { sealing_key } => {
                self.sealing_key = sealing_key.to_string();
                Done::SealingKeyRotated
            }
        }
    }

    /// Has a user's requests approved so; how many requests that ended.
    pub fn put(&mut self, user: &ApiUserId, setting: &ApprovalSetting) -> u32 {
        let status = self.users.iter_mut().find(|u| u.user == *user).unwrap();
        (status.approval, status.handler_url, status.handler_mode) = match setting {
            ApprovalSetting::None => (ApprovalKind::None, Text::default(), Text::default()),
            ApprovalSetting::Auto => (ApprovalKind::Auto, Text::default(), Text::default()),
            ApprovalSetting::Handler(h) => {
                (ApprovalKind::Handler, h.url.clone(), Text::new(h.mode().unwrap().as_str()).unwrap())
            }
        };
        let ended = std::mem::take(&mut status.waiting) + std::mem::take(&mut status.retrying);
        let new = Callback { setting: setting.clone(), attempts: Vec::new(), proposal: None, test: None };
        let callback = self.callbacks.entry(user.clone()).or_insert(new);
        callback.setting = setting.clone();
        callback.proposal.take_if(|(_, proposed)| proposed == setting);
        ended
    }
}

fn request_key(setting: &ApprovalSetting) -> Bytes<MAX_DER_BYTES> {
    let own = matches!(setting, ApprovalSetting::Handler(handler) if handler.own_request_key);
    Bytes::new(if own { OWN_CALLBACK_KEY } else { CALLBACK_KEY }).unwrap()
}

/// A confirmed user of whom nothing is known yet.
pub fn user_status(user: &str, allow_raw: bool) -> UserStatus {
    UserStatus {
        pairing: PAIRING,
        workspace: WORKSPACE,
        user: user.parse().unwrap(),
        approval: ApprovalKind::None,
        handler_url: Text::default(),
        handler_mode: Text::default(),
        allow_raw,
        confirmed: true,
        last_attempt: None,
        approved: 0,
        rejected: 0,
        retried: 0,
        failed: 0,
        waiting: 0,
        retrying: 0,
        certificate_expires_at_ms: None,
    }
}
