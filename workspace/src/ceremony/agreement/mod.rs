//! How a session of key generation or auxiliary information becomes an outcome that all parties hold, or is dropped by
//! all: see [`countersign_wire::agreement`].
//!
//! Once a Start may have been sent, only the parties' own signed words end a session: `Held` of all leads on, one
//! `NeverHeld` leads to a new session. A deadline alone leads to questions, never to a decision.

mod words;

pub(super) use words::subject_of;

use super::context::{Context, list_parties, named, subject_kind, subject_text};
use super::messages::Report;
use super::parties::Parties;
use super::record::{AgreementPhase, AgreementRecord};
use super::retry::{Retry, jittered, wait_before_attempt};
use super::timers::Owner;
use countersign_wire::agreement::{Acknowledgement, Acknowledgements, Subject};
use countersign_wire::ceremony::{Ready, Work, WorkspaceMessage};
use countersign_wire::group::Group;
use countersign_wire::ids::{PartyId, SessionId};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{List, Message, Signed};
use std::collections::{BTreeMap, BTreeSet};

/// How often a Discard is repeated to a party that says nothing about it, between two of its greetings.
const MAX_DISCARDS: u32 = 6;

pub(super) struct Agreement {
    owner: Owner,
    subject: Subject,
    group: Group,
    work: Work,
    session_ms: u64,
    retry_longest_ms: u64,
    pub record: AgreementRecord,
    /// The last trouble.
    pub trouble: Option<Refusal>,
    /// Whether the last session that failed had been started: all parties had consented, so that no refusal which came
    /// after that, perhaps of a delayed Prepare, says anything about the work itself.
    pub was_started: bool,
    /// Whether `record` or `trouble` changed since it was stored.
    pub changed: bool,
    /// Parties that hold the published outcome, as the owner of this agreement learnt.
    pub told: BTreeSet<PartyId>,
    /// A session that was prepared before a restart.
    abandoned: Option<SessionId>,
    readies: BTreeMap<PartyId, Signed<Ready>>,
    held: BTreeMap<PartyId, (Signed<Acknowledgement>, [u8; 32])>,
    durable: BTreeMap<PartyId, Signed<Acknowledgement>>,
    retries: BTreeMap<PartyId, Retry>,
    discards: BTreeMap<PartyId, u32>,
    prepare_until_ms: u64,
    until_ms: u64,
    resolve_at_ms: u64,
    resolving: bool,
    not_before_ms: u64,
}

impl Agreement {
    /// A new one, or one that a restart interrupted.
    pub fn new(
        owner: Owner,
        subject: Subject,
        group: Group,
        work: Work,
        session_ms: u64,
        retry_longest_ms: u64,
        record: AgreementRecord,
    ) -> Self {
        let mut this = Self {
            owner,
            subject,
            group,
            work,
            session_ms,
            retry_longest_ms,
            record,
            trouble: None,
            was_started: false,
            changed: false,
            told: BTreeSet::new(),
            abandoned: None,
            readies: BTreeMap::new(),
            held: BTreeMap::new(),
            durable: BTreeMap::new(),
            retries: BTreeMap::new(),
            discards: BTreeMap::new(),
            prepare_until_ms: 0,
            until_ms: 0,
            resolve_at_ms: 0,
            // The Readies of a started session died with the last run: nothing is left but to ask.
            resolving: true,
            not_before_ms: 0,
        };
        if let AgreementPhase::Preparing { session } = this.record.phase {
            this.abandoned = Some(session);
            this.record.phase = AgreementPhase::Idle;
            this.changed = true;
        }
        this
    }

    fn party_ids(&self) -> Vec<PartyId> {
        self.group.parties.iter().map(|p| p.id).collect()
    }

    /// The session that runs, if one does.
    pub fn session(&self) -> Option<SessionId> {
        match &self.record.phase {
            AgreementPhase::Idle => None,
            AgreementPhase::Preparing { session }
            | AgreementPhase::Started { session }
            | AgreementPhase::Committed { session, .. }
            | AgreementPhase::Published { session, .. }
            | AgreementPhase::Contradicted { session } => Some(*session),
        }
    }

    /// Whether no party can be in a session now.
    pub fn is_idle(&self) -> bool {
        self.record.phase == AgreementPhase::Idle
    }

    /// Unix time in ms before which no new session is opened.
    pub fn not_before_ms(&self) -> u64 {
        self.not_before_ms
    }

    /// Starts counting attempts again.
    pub fn begin_again(&mut self) {
        self.record.attempts = 0;
        self.not_before_ms = 0;
        self.trouble = None;
        self.changed = true;
    }

    /// Does whatever is due. `may_begin` says whether a new session may be opened.
    pub fn advance(&mut self, ctx: &mut Context<'_>, may_begin: bool) {
        if self.is_idle() && may_begin && ctx.now_ms >= self.not_before_ms {
            self.begin(ctx);
        }
        if let AgreementPhase::Preparing { session } = self.record.phase {
            if self.readies.len() == self.group.parties.len() {
                self.enter(AgreementPhase::Started { session });
                self.record.dropped = None;
                self.abandoned = None;
                self.resolving = false;
            } else if ctx.now_ms >= self.prepare_until_ms {
                let missing = self.group.parties.iter().map(|p| &p.id).filter(|id| !self.readies.contains_key(id));
                let sentence = format!("no consent in time from co-signer {}", list_parties(missing));
                let last = self.trouble.take();
                self.give_up(ctx, last.unwrap_or_else(|| Refusal::new(Code::Timeout, sentence)), None);
            }
        }
        if let AgreementPhase::Started { session } = self.record.phase {
            self.started(ctx, session);
        }
        if let AgreementPhase::Committed { session, held } = &self.record.phase
            && self.durable.len() == self.group.parties.len()
        {
            let (session, held) = (*session, held.clone());
            let durable = List::cut(self.durable.iter().map(|(id, word)| (*id, word.clone())).collect());
            self.told.clear();
            self.trouble = None;
            self.enter(AgreementPhase::Published { session, held, durable });
            ctx.close_session(&session);
            ctx.report(Report::Succeeded { kind: subject_kind(&self.subject), subject: subject_text(&self.subject) });
        }
        self.send_due(ctx);
    }

    fn begin(&mut self, ctx: &mut Context<'_>) {
        let away: Vec<PartyId> = self.party_ids().into_iter().filter(|id| !ctx.parties.is_connected(id)).collect();
        if !away.is_empty() {
            let sentence = format!("waiting for co-signer {} to connect", list_parties(away.iter()));
            self.note(Refusal::new(Code::Timeout, sentence));
            return;
        }
        let session = ctx.open_session(self.owner.clone());
        self.readies.clear();
        self.held.clear();
        self.durable.clear();
        self.until_ms = ctx.now_ms.saturating_add(self.session_ms);
        self.resolve_at_ms = self.until_ms.saturating_add(ctx.settings.resolve_margin_ms);
        self.prepare_until_ms = ctx.now_ms.saturating_add(self.session_ms / 2);
        self.trouble = None;
        self.enter(AgreementPhase::Preparing { session });
        ctx.report(Report::Began { kind: subject_kind(&self.subject), subject: subject_text(&self.subject) });
    }

    fn started(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        if self.held.len() == self.group.parties.len() {
            let outcomes: BTreeSet<[u8; 32]> = self.held.values().map(|(_, outcome)| *outcome).collect();
            if outcomes.len() == 1 {
                let held = self.held.iter().map(|(id, (word, _))| (*id, word.clone())).collect();
                self.enter(AgreementPhase::Committed { session, held: Acknowledgements::cut(held) });
            } else {
                ctx.close_session(&session);
                self.note(Refusal::new(
                    Code::Mismatch,
                    "the co-signers hold different outcomes of one session; their operators have to look into it",
                ));
                self.enter(AgreementPhase::Contradicted { session });
            }
        } else if !self.resolving && ctx.now_ms >= self.resolve_at_ms {
            self.resolve(ctx, session);
        }
    }

    /// From now on the parties are asked what they hold.
    fn resolve(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        if self.resolving {
            return;
        }
        self.resolving = true;
        for id in self.party_ids() {
            if !self.held.contains_key(&id) {
                ctx.send(id, WorkspaceMessage::Cancel { session });
            }
        }
        self.retries.clear();
    }

    fn enter(&mut self, phase: AgreementPhase) {
        self.record.phase = phase;
        self.retries.clear();
        self.discards.clear();
        self.changed = true;
    }

    /// Ends a session that was never started: nobody can hold anything of it.
    fn give_up(&mut self, ctx: &mut Context<'_>, refusal: Refusal, blamed: Option<PartyId>) {
        if let Some(session) = self.session() {
            ctx.close_session(&session);
            for id in self.party_ids() {
                ctx.send(id, WorkspaceMessage::Cancel { session });
            }
        }
        self.attempt_failed(ctx, refusal, blamed);
    }

    fn attempt_failed(&mut self, ctx: &mut Context<'_>, refusal: Refusal, blamed: Option<PartyId>) {
        self.record.attempts = self.record.attempts.saturating_add(1);
        let wait = wait_before_attempt(self.record.attempts, ctx.settings.retry_first_ms, self.retry_longest_ms);
        self.not_before_ms = ctx.now_ms.saturating_add(jittered(wait, ctx.entropy));
        self.was_started = !matches!(self.record.phase, AgreementPhase::Preparing { .. });
        ctx.report(Report::Failed {
            kind: subject_kind(&self.subject),
            subject: subject_text(&self.subject),
            refusal: refusal.clone(),
            blamed,
        });
        self.note(refusal);
        self.enter(AgreementPhase::Idle);
    }

    fn note(&mut self, refusal: Refusal) {
        if self.trouble.as_ref() != Some(&refusal) {
            self.trouble = Some(refusal);
            self.changed = true;
        }
    }

    /// Whether this party has nothing to answer in this phase.
    fn has_answered(&self, id: &PartyId) -> bool {
        match &self.record.phase {
            AgreementPhase::Idle => match &self.record.dropped {
                None => true,
                Some(d) => d.party == *id || self.discards.get(id).is_some_and(|sent| *sent >= MAX_DISCARDS),
            },
            AgreementPhase::Preparing { .. } => self.readies.contains_key(id),
            AgreementPhase::Started { .. } => self.held.contains_key(id),
            AgreementPhase::Committed { .. } => self.durable.contains_key(id),
            AgreementPhase::Published { .. } => self.told.contains(id),
            AgreementPhase::Contradicted { .. } => true,
        }
    }

    fn send_due(&mut self, ctx: &mut Context<'_>) {
        for id in self.party_ids() {
            let due = self.retries.get(&id).is_none_or(|retry| retry.is_due(ctx.now_ms));
            if !due || self.has_answered(&id) || !ctx.parties.is_connected(&id) {
                continue;
            }
            for message in self.messages_for(ctx.now_ms, &id) {
                if matches!(message, WorkspaceMessage::Discard { .. }) {
                    let sent = self.discards.entry(id).or_default();
                    *sent = sent.saturating_add(1);
                }
                ctx.send(id, message);
            }
            self.retries.entry(id).or_insert_with(Retry::now).sent(ctx.now_ms, ctx.settings);
        }
    }

    fn discard_for(&self, id: &PartyId) -> Option<WorkspaceMessage> {
        let dropped = self.record.dropped.as_ref().filter(|d| d.party != *id)?;
        Some(WorkspaceMessage::Discard {
            subject: self.subject,
            session: dropped.session,
            party: dropped.party,
            never: dropped.never.clone(),
        })
    }

    fn messages_for(&self, now_ms: u64, id: &PartyId) -> Vec<WorkspaceMessage> {
        let (subject, group) = (self.subject, self.group.id);
        match &self.record.phase {
            AgreementPhase::Idle => self.discard_for(id).into_iter().collect(),
            AgreementPhase::Preparing { session } => {
                let deadline_ms = u32::try_from(self.until_ms.saturating_sub(now_ms)).unwrap_or(u32::MAX);
                let cancel = self.abandoned.map(|session| WorkspaceMessage::Cancel { session });
                let prepare = WorkspaceMessage::Prepare { session: *session, deadline_ms, work: self.work.clone() };
                cancel.into_iter().chain(self.discard_for(id)).chain([prepare]).collect()
            }
            AgreementPhase::Started { session } if self.resolving => {
                vec![WorkspaceMessage::Query { group, subject, session: *session }]
            }
            AgreementPhase::Started { session } => vec![self.start(*session)],
            AgreementPhase::Committed { session, held } => {
                vec![WorkspaceMessage::Commit { subject, session: *session, held: held.clone() }]
            }
            AgreementPhase::Published { session, durable, .. } => {
                vec![WorkspaceMessage::Publish { subject, session: *session, durable: durable.clone() }]
            }
            AgreementPhase::Contradicted { .. } => Vec::new(),
        }
    }

    fn start(&self, session: SessionId) -> WorkspaceMessage {
        let readies = self.group.parties.iter().filter_map(|p| self.readies.get(&p.id).cloned()).collect();
        WorkspaceMessage::Start {
            session,
            signers: List::cut((0..self.group.size()).collect()),
            readies: List::cut(readies),
        }
    }

    /// When [`Self::advance`] has to be called next.
    pub fn next_wake_ms(&self, parties: &Parties, may_begin: bool) -> Option<u64> {
        let resend = self
            .group
            .parties
            .iter()
            .filter(|p| parties.is_connected(&p.id) && !self.has_answered(&p.id))
            .map(|p| self.retries.get(&p.id).map_or(0, |retry| retry.at_ms))
            .min();
        let deadline = match &self.record.phase {
            // Without all links up nothing begins; a link that comes up calls `advance`.
            AgreementPhase::Idle => {
                let all_up = self.group.parties.iter().all(|p| parties.is_connected(&p.id));
                (may_begin && all_up).then_some(self.not_before_ms)
            }
            AgreementPhase::Preparing { .. } => Some(self.prepare_until_ms),
            AgreementPhase::Started { .. } if !self.resolving => Some(self.resolve_at_ms),
            _ => None,
        };
        [resend, deadline].into_iter().flatten().min()
    }

    /// What a co-signer's refusal or abort means for people.
    fn named(from: &PartyId, refusal: &Refusal) -> Refusal {
        named(from, refusal)
    }

    fn work_hash(&self) -> [u8; 32] {
        self.work.digest()
    }
}
