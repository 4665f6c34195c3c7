//! A signing group on its way to READY: proposed → accepted by the operators of all → auxiliary information.

use super::agreement::Agreement;
use super::context::{Ceremony, Context, list_parties};
use super::parties::Parties;
use super::record::{AgreementPhase, GroupRecord, GroupStatus, Record};
use super::retry::Retry;
use super::settings::Settings;
use super::timers::Owner;
use countersign_wire::Message;
use countersign_wire::agreement::Subject;
use countersign_wire::ceremony::{CosignerMessage, GroupState, Work, WorkspaceMessage};
use countersign_wire::group::Group;
use countersign_wire::ids::PartyId;
use countersign_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;

pub(super) struct GroupCeremony {
    group: Group,
    status: GroupStatus,
    accepted: Vec<PartyId>,
    reason: Option<Refusal>,
    aux: Agreement,
    proposals: BTreeMap<PartyId, Retry>,
    /// When the parties are asked although no Hello says that they are ready: Hellos may be lost.
    poll_at_ms: Option<u64>,
    changed: bool,
}

impl GroupCeremony {
    pub fn propose(group: Group, settings: &Settings) -> Self {
        Self { changed: true, ..Self::restore(GroupRecord::proposed(group), settings) }
    }

    pub fn restore(record: GroupRecord, settings: &Settings) -> Self {
        let id = record.group.id;
        let aux = Agreement::new(
            Owner::Group(id),
            Subject::Aux(id),
            record.group.clone(),
            Work::Aux { group: id },
            settings.aux_session_ms,
            settings.aux_retry_longest_ms,
            record.aux,
        );
        Self {
            group: record.group,
            status: record.status,
            accepted: record.accepted,
            reason: record.reason,
            aux,
            proposals: BTreeMap::new(),
            poll_at_ms: None,
            changed: false,
        }
    }

    pub fn group(&self) -> &Group {
        &self.group
    }

    pub fn agreement(&self) -> &Agreement {
        &self.aux
    }

    fn accept(&mut self, party: PartyId) {
        if self.group.index_of(&party).is_some() && !self.accepted.contains(&party) {
            self.accepted.push(party);
            self.accepted.sort();
            self.changed = true;
        }
    }

    fn set_status(&mut self, status: GroupStatus) {
        if self.status != status {
            self.status = status;
            self.changed = true;
        }
    }

    /// Auxiliary information is made only when every party waits for it; one that still holds a dropped session's
    /// outcome is told to discard it by the Prepare itself.
    fn all_await_aux(&self, parties: &Parties) -> bool {
        self.status == GroupStatus::Preparing
            && self.group.parties.iter().all(|p| match parties.group_state(&p.id, &self.group.id) {
                Some(GroupState::AwaitingAux) => true,
                Some(GroupState::AuxPending) => self.aux.record.dropped.is_some(),
                _ => false,
            })
    }

    fn is_time_to_poll(&mut self, ctx: &Context<'_>) -> bool {
        if self.status != GroupStatus::Preparing || !self.aux.is_idle() {
            return false;
        }
        let poll_at_ms = self.poll_at_ms.get_or_insert(ctx.now_ms.saturating_add(ctx.settings.aux_poll_ms));
        ctx.now_ms >= *poll_at_ms
    }

    fn propose_due(&mut self, ctx: &mut Context<'_>) {
        let missing: Vec<PartyId> =
            self.group.parties.iter().map(|p| p.id).filter(|id| !self.accepted.contains(id)).collect();
        for id in &missing {
            let due = self.proposals.get(id).is_none_or(|retry| retry.is_due(ctx.now_ms));
            if due && ctx.send(*id, WorkspaceMessage::ProposeGroup(self.group.clone())) {
                self.proposals.entry(*id).or_insert_with(Retry::now).sent(ctx.now_ms, ctx.settings);
            }
        }
        let sentence =
            format!("waiting for operators to accept the group at co-signer {}", list_parties(missing.iter()));
        let reason = Refusal::new(Code::GroupNotAccepted, sentence);
        if self.reason.as_ref().is_none_or(|r| r.code == Code::GroupNotAccepted && *r != reason) {
            self.reason = Some(reason);
            self.changed = true;
        }
    }

    /// Parties that say READY hold the published outcome, once it was published to them.
    fn note_told(&mut self, ctx: &Context<'_>) {
        if matches!(self.aux.record.phase, AgreementPhase::Published { .. }) {
            for party in self.group.parties.iter() {
                if ctx.parties.group_state(&party.id, &self.group.id) == Some(GroupState::Ready) {
                    self.aux.told.insert(party.id);
                }
            }
        }
    }
}

impl Ceremony for GroupCeremony {
    fn concerns(&self, party: &PartyId) -> bool {
        self.group.index_of(party).is_some()
    }

    fn greeted(&mut self, ctx: &mut Context<'_>, party: PartyId) {
        self.proposals.remove(&party);
        self.aux.greeted(party);
        match ctx.parties.group_state(&party, &self.group.id) {
            None | Some(GroupState::Proposed) => {}
            Some(state) => {
                self.accept(party);
                if state != GroupState::Ready {
                    self.aux.told.remove(&party);
                }
            }
        }
    }

    fn rebooted(&mut self, ctx: &mut Context<'_>, party: PartyId) {
        self.aux.rebooted(ctx, party);
    }

    fn receive(&mut self, ctx: &mut Context<'_>, from: PartyId, message: &CosignerMessage) {
        match message {
            CosignerMessage::GroupAccepted { hash, .. } if *hash == self.group.digest() => self.accept(from),
            CosignerMessage::GroupAccepted { .. } => {
                let sentence = format!("the operators of co-signer {from} accepted another group under this id");
                self.reason = Some(Refusal::new(Code::Mismatch, sentence));
                self.changed = true;
            }
            _ => self.aux.receive(ctx, from, message),
        }
    }

    fn advance(&mut self, ctx: &mut Context<'_>) {
        if self.status == GroupStatus::Proposed {
            if self.accepted.len() == self.group.parties.len() {
                self.reason = None;
                self.set_status(GroupStatus::Preparing);
            } else {
                self.propose_due(ctx);
            }
        }
        if matches!(self.status, GroupStatus::Preparing | GroupStatus::Ready) {
            let was_published = matches!(self.aux.record.phase, AgreementPhase::Published { .. });
            if was_published {
                self.note_told(ctx);
            }
            let may_begin = self.all_await_aux(ctx.parties) || self.is_time_to_poll(ctx);
            self.aux.advance(ctx, may_begin);
            if !self.aux.is_idle() {
                self.poll_at_ms = None;
            }
            match self.aux.record.phase {
                AgreementPhase::Published { .. } => {
                    self.reason = None;
                    self.set_status(GroupStatus::Ready);
                }
                AgreementPhase::Contradicted { .. } => self.set_status(GroupStatus::Error),
                _ => {}
            }
        }
        if self.aux.changed && self.aux.trouble.is_some() {
            self.reason = self.aux.trouble.clone();
        }
    }

    fn next_wake_ms(&self, parties: &Parties) -> Option<u64> {
        match self.status {
            GroupStatus::Proposed => self
                .group
                .parties
                .iter()
                .filter(|p| parties.is_connected(&p.id) && !self.accepted.contains(&p.id))
                .map(|p| self.proposals.get(&p.id).map_or(0, |retry| retry.at_ms))
                .min(),
            GroupStatus::Preparing | GroupStatus::Ready => {
                let aux = self.aux.next_wake_ms(parties, self.all_await_aux(parties));
                let all_up = self.group.parties.iter().all(|p| parties.is_connected(&p.id));
                let polls = self.status == GroupStatus::Preparing && self.aux.is_idle() && all_up;
                let poll = polls.then(|| self.poll_at_ms.unwrap_or(0).max(self.aux.not_before_ms()));
                [aux, poll].into_iter().flatten().min()
            }
            GroupStatus::Error => None,
        }
    }

    fn take_record(&mut self) -> Option<Record> {
        if !self.changed && !self.aux.changed {
            return None;
        }
        self.changed = false;
        self.aux.changed = false;
        Some(Record::Group(GroupRecord {
            group: self.group.clone(),
            status: self.status,
            accepted: self.accepted.clone(),
            aux: self.aux.record.clone(),
            reason: self.reason.clone(),
        }))
    }
}
