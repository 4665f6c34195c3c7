//! A key on its way to READY, or to ERROR with a reason, from which asking again leads on.

use super::agreement::Agreement;
use super::context::{Ceremony, Context};
use super::parties::Parties;
use super::record::{AgreementPhase, KeyRecord, Record};
use super::settings::Settings;
use super::timers::Owner;
use countersign_wire::agreement::Subject;
use countersign_wire::ceremony::{CosignerMessage, Work};
use countersign_wire::group::Group;
use countersign_wire::ids::{GroupId, KeyId, PartyId};
use countersign_wire::key::{KeyPurpose, KeyStatus, PublicKey};
use countersign_wire::refusal::{Code, Refusal};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct KeyCeremony {
    key: KeyId,
    group: Group,
    purpose: KeyPurpose,
    status: KeyStatus,
    agreement: Agreement,
    public_key: Option<PublicKey>,
    wanted_since_ms: u64,
    give_up_at_ms: u64,
    reason: Option<Refusal>,
    published: BTreeMap<PartyId, PublicKey>,
    group_ready: bool,
    changed: bool,
}

impl KeyCeremony {
    pub fn begin(key: KeyId, group: Group, purpose: KeyPurpose, now_ms: u64, settings: &Settings) -> Self {
        let record = KeyRecord::wanted(key, group.id, purpose, now_ms);
        Self { changed: true, ..Self::restore(record, group, settings) }
    }

    pub fn restore(record: KeyRecord, group: Group, settings: &Settings) -> Self {
        let KeyRecord { key, purpose, status, agreement, public_key, wanted_since_ms, reason, .. } = record;
        let agreement = Agreement::new(
            Owner::Key(key),
            Subject::Key(key),
            group.clone(),
            Work::Keygen { group: group.id, key, purpose: purpose.clone() },
            settings.keygen_session_ms,
            settings.retry_longest_ms,
            agreement,
        );
        Self {
            key,
            group,
            purpose,
            status,
            agreement,
            public_key,
            wanted_since_ms,
            give_up_at_ms: wanted_since_ms.saturating_add(settings.keygen_give_up_ms),
            reason,
            published: BTreeMap::new(),
            group_ready: false,
            changed: false,
        }
    }

    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// Whether anything is left to be done.
    pub fn is_open(&self) -> bool {
        self.status != KeyStatus::Ready
    }

    pub fn group_id(&self) -> GroupId {
        self.group.id
    }

    /// Whether this is what somebody asks for.
    pub fn is(&self, group: &GroupId, purpose: &KeyPurpose) -> bool {
        self.group.id == *group && self.purpose == *purpose
    }

    fn on_published(&mut self, ctx: &mut Context<'_>, from: PartyId, public_key: PublicKey) {
        if !matches!(self.agreement.record.phase, AgreementPhase::Published { .. }) {
            return ctx.bad_message(from, "expected a public key after all parties' Durable, got one before");
        }
        self.published.insert(from, public_key);
        self.agreement.told.insert(from);
    }

    fn end(&mut self, status: KeyStatus, reason: Option<Refusal>) {
        self.status = status;
        self.reason = reason;
        self.changed = true;
    }

    /// A key generation that could not even start ends after so many attempts or so long.
    fn give_up_if_hopeless(&mut self, ctx: &Context<'_>) {
        let late = ctx.now_ms >= self.give_up_at_ms;
        let lasting = self.agreement.record.attempts > 0
            && !self.agreement.was_started
            && self.agreement.trouble.as_ref().is_some_and(is_lasting);
        if self.agreement.is_idle()
            && (late || lasting || self.agreement.record.attempts >= ctx.settings.keygen_attempts)
        {
            let reason = self.agreement.trouble.clone().or_else(|| self.reason.clone());
            let unknown = || Refusal::new(Code::Timeout, "the key could not be generated in time; ask again");
            self.end(KeyStatus::Error, Some(reason.unwrap_or_else(unknown)));
        }
    }
}

/// A refusal that stays until somebody changes something.
fn is_lasting(refusal: &Refusal) -> bool {
    matches!(
        refusal.code,
        Code::RawNotAllowed
            | Code::NotFound
            | Code::NotAllowed
            | Code::Malformed
            | Code::PurposeMismatch
            | Code::Conflict
            | Code::GroupNotAccepted
            | Code::PartyIndex
    )
}

impl Ceremony for KeyCeremony {
    fn concerns(&self, party: &PartyId) -> bool {
        self.group.index_of(party).is_some()
    }

    fn greeted(&mut self, _ctx: &mut Context<'_>, party: PartyId) {
        self.agreement.greeted(party);
    }

    fn rebooted(&mut self, ctx: &mut Context<'_>, party: PartyId) {
        self.agreement.rebooted(ctx, party);
    }

    fn receive(&mut self, ctx: &mut Context<'_>, from: PartyId, message: &CosignerMessage) {
        match message {
            CosignerMessage::KeyPublished { session, public_key, .. } => {
                if Some(*session) == self.agreement.session() {
                    self.on_published(ctx, from, *public_key);
                }
            }
            _ => self.agreement.receive(ctx, from, message),
        }
    }

    fn advance(&mut self, ctx: &mut Context<'_>) {
        if self.status == KeyStatus::Ready {
            return;
        }
        self.group_ready = ctx.ready_groups.contains(&self.group.id);
        let may_begin = self.status == KeyStatus::Pending
            && self.group_ready
            && self.agreement.record.attempts < ctx.settings.keygen_attempts;
        self.agreement.advance(ctx, may_begin);
        if self.status != KeyStatus::Pending {
            return;
        }
        if self.agreement.changed && self.agreement.trouble.is_some() {
            self.reason = self.agreement.trouble.clone();
        }
        self.give_up_if_hopeless(ctx);
        if matches!(self.agreement.record.phase, AgreementPhase::Contradicted { .. }) {
            self.end(KeyStatus::Error, self.agreement.trouble.clone());
        }
        if self.published.len() == self.group.parties.len() {
            let keys: BTreeSet<PublicKey> = self.published.values().copied().collect();
            match (keys.len(), keys.first()) {
                (1, Some(public_key)) => {
                    self.public_key = Some(*public_key);
                    self.end(KeyStatus::Ready, None);
                }
                _ => {
                    let sentence = "the co-signers published different public keys; never use this key";
                    self.end(KeyStatus::Error, Some(Refusal::new(Code::Mismatch, sentence)));
                }
            }
        }
    }

    fn next_wake_ms(&self, parties: &Parties) -> Option<u64> {
        if self.status == KeyStatus::Ready {
            return None;
        }
        let pending = self.status == KeyStatus::Pending;
        let agreement = self.agreement.next_wake_ms(parties, pending && self.group_ready);
        let give_up = (pending && self.agreement.is_idle()).then_some(self.give_up_at_ms);
        [agreement, give_up].into_iter().flatten().min()
    }

    fn take_record(&mut self) -> Option<Record> {
        if !self.changed && !self.agreement.changed {
            return None;
        }
        self.changed = false;
        self.agreement.changed = false;
        Some(Record::Key(KeyRecord {
            key: self.key,
            group: self.group.id,
            purpose: self.purpose.clone(),
            status: self.status,
            agreement: self.agreement.record.clone(),
            public_key: self.public_key,
            wanted_since_ms: self.wanted_since_ms,
            reason: self.reason.clone(),
        }))
    }

    fn ask_again(&mut self, ctx: &mut Context<'_>) {
        let contradicted = matches!(self.agreement.record.phase, AgreementPhase::Contradicted { .. });
        let mixed = self.published.len() == self.group.parties.len();
        if self.status == KeyStatus::Error && !contradicted && !mixed {
            self.wanted_since_ms = ctx.now_ms;
            self.give_up_at_ms = ctx.now_ms.saturating_add(ctx.settings.keygen_give_up_ms);
            self.agreement.begin_again();
            self.end(KeyStatus::Pending, None);
        }
    }
}
