//! One attempt to sign one digest: Prepare to all parties, Start with the customer's co-signer and the first others that
//! are Ready, Cancel to the rest.

use super::context::{Context, list_parties};
use super::parties::Parties;
use super::retry::Retry;
use super::suspicion::Suspicion;
use countersign_wire::ceremony::{Ready, Work, WorkspaceMessage};
use countersign_wire::group::Group;
use countersign_wire::ids::{PartyId, SessionId};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{List, Message, Signed};
use std::collections::BTreeMap;

/// What all signers of a session have to agree on beside the work itself.
type Terms = (Option<[u8; 32]>, u32, Option<[u8; 32]>);

pub(super) struct Attempt {
    pub session: SessionId,
    work: Work,
    work_hash: [u8; 32],
    authorisation_hash: [u8; 32],
    may_start: bool,
    prepare_until_ms: u64,
    until_ms: u64,
    fails_at_ms: u64,
    /// In the order in which they came.
    readies: Vec<(u16, Signed<Ready>, Terms)>,
    refused: BTreeMap<PartyId, Refusal>,
    suspicion: Suspicion,
    /// Whether a better set of signers is waited for, and until when.
    patient: bool,
    patient_until_ms: u64,
    signers: Option<Vec<u16>>,
    retries: BTreeMap<PartyId, Retry>,
}

/// What an attempt comes to.
pub(super) enum Turn {
    /// It goes on.
    Goes,
    /// The signers are chosen: their Start leaves with this step.
    Starts,
    /// It is over without a signature; `last` means that another attempt cannot do better.
    Over { refusal: Refusal, last: bool },
}

impl Attempt {
    /// `may_start` is false where only stored signatures are asked for, because the Authorisation ran out.
    pub fn new(
        ctx: &Context<'_>,
        session: SessionId,
        work: Work,
        authorisation_hash: [u8; 32],
        may_start: bool,
        suspicion: Suspicion,
    ) -> Self {
        let until_ms = ctx.now_ms.saturating_add(ctx.settings.sign_session_ms);
        Self {
            session,
            work_hash: work.digest(),
            work,
            authorisation_hash,
            may_start,
            prepare_until_ms: ctx.now_ms.saturating_add(ctx.settings.sign_session_ms / 2),
            until_ms,
            fails_at_ms: until_ms.saturating_add(ctx.settings.resolve_margin_ms),
            readies: Vec::new(),
            refused: BTreeMap::new(),
            patient: !suspicion.is_empty(),
            suspicion,
            patient_until_ms: ctx.now_ms.saturating_add(ctx.settings.sign_session_ms / 4),
            signers: None,
            retries: BTreeMap::new(),
        }
    }

    pub fn on_ready(&mut self, ctx: &mut Context<'_>, group: &Group, from: PartyId, signed: &Signed<Ready>) {
        let Some(index) = group.index_of(&from) else { return };
        if self.signers.is_some() {
            // Too late: others were chosen. A chosen one repeats its Ready until it has its Start.
            if !self.is_signer(index) {
                ctx.send(from, WorkspaceMessage::Cancel { session: self.session });
            }
            return;
        }
        if self.readies.iter().any(|(known, _, _)| *known == index) {
            return;
        }
        let ready = match signed.open(&from.0) {
            Ok(ready) => ready,
            Err(e) => return ctx.bad_message(from, e.to_string()),
        };
        if !ctx.parties.may_be_boot(&from, &ready.boot) {
            return ctx.bad_message(from, "expected a Ready of the current boot, got one of an earlier boot");
        }
        let fits = ready.session == self.session
            && ready.work_hash == self.work_hash
            && ready.group_hash == group.digest()
            && ready.authorisation_hash == Some(self.authorisation_hash)
            && ready.signers_wanted == group.threshold;
        if fits {
            self.readies.push((index, signed.clone(), (ready.aux_outcome, ready.epoch, ready.presignature)));
        } else {
            let why = "it consented to something else than it was asked";
            self.refused.insert(from, Refusal::new(Code::Mismatch, why));
        }
    }

    /// A party does not consent. Whether that ends the attempt at once.
    pub fn on_refused(&mut self, group: &Group, from: PartyId, refusal: &Refusal) -> bool {
        let Some(index) = group.index_of(&from) else { return false };
        if self.signers.is_some() {
            return self.is_signer(index);
        }
        self.readies.retain(|(known, _, _)| *known != index);
        self.refused.insert(from, refusal.clone());
        false
    }

    /// Whether an abort of this party ends the attempt: one that was not chosen may be told to stop at any time.
    pub fn is_ended_by(&self, group: &Group, from: &PartyId) -> bool {
        self.signers.is_none() || group.index_of(from).is_some_and(|index| self.is_signer(index))
    }

    pub fn greeted(&mut self, party: &PartyId) {
        self.retries.remove(party);
    }

    /// Whether the restart of this party ends the attempt. If not, its consent is void and asked for again.
    pub fn is_ended_by_reboot(&mut self, group: &Group, party: &PartyId) -> bool {
        self.greeted(party);
        let Some(index) = group.index_of(party) else { return false };
        self.readies.retain(|(known, _, _)| *known != index || self.signers.is_some());
        self.is_signer(index)
    }

    fn is_signer(&self, index: u16) -> bool {
        self.signers.as_ref().is_some_and(|signers| signers.contains(&index))
    }

    /// The customer's co-signer and the first others that are Ready on its terms, those that spoilt an attempt last.
    /// `None` also while one that spoilt fewer may still answer.
    fn choose(&self, ctx: &Context<'_>, group: &Group) -> Option<Vec<u16>> {
        let customer = group.customer().and_then(|id| group.index_of(&id))?;
        let (_, _, terms) = self.readies.iter().find(|(index, _, _)| *index == customer)?;
        let spoilt = |index: &u16| group.party(*index).map_or(0, |party| self.suspicion.of(&party.id));
        let mut others: Vec<u16> = self
            .readies
            .iter()
            .filter(|(index, _, theirs)| *index != customer && theirs == terms)
            .map(|(index, _, _)| *index)
            .collect();
        // Stable: among equals the first to be Ready.
        others.sort_by_key(spoilt);
        let mut signers: Vec<u16> =
            std::iter::once(customer).chain(others).take(usize::from(group.threshold)).collect();
        let worst = signers.iter().filter(|index| **index != customer).map(spoilt).max().unwrap_or(0);
        let better = self.awaited(group).any(|id| ctx.parties.is_connected(&id) && self.suspicion.of(&id) < worst);
        if better && self.patient {
            return None;
        }
        signers.sort_unstable();
        group.are_signers(&signers).then_some(signers)
    }

    /// The signers, once they are chosen.
    pub fn signers(&self) -> Option<&[u16]> {
        self.signers.as_deref()
    }

    /// Does whatever is due.
    pub fn advance(&mut self, ctx: &mut Context<'_>, group: &Group) -> Turn {
        let mut turn = Turn::Goes;
        if self.signers.is_none() {
            self.patient &= ctx.now_ms < self.patient_until_ms;
            if self.may_start
                && let Some(signers) = self.choose(ctx, group)
            {
                self.start(ctx, group, signers);
                turn = Turn::Starts;
            } else if let Some(over) = self.hopeless(ctx.now_ms, group) {
                return over;
            }
        } else if ctx.now_ms >= self.fails_at_ms {
            let sentence = "no signature before the deadline of the session";
            return Turn::Over { refusal: Refusal::new(Code::Timeout, sentence), last: false };
        }
        self.send_due(ctx, group);
        turn
    }

    fn hopeless(&self, now_ms: u64, group: &Group) -> Option<Turn> {
        let customer = group.customer();
        let willing = group.parties.len().saturating_sub(self.refused.len());
        let needed = if self.may_start { usize::from(group.threshold) } else { 1 };
        let by_customer = self.may_start.then(|| self.refused.iter().find(|(id, _)| Some(**id) == customer)).flatten();
        // What no retry can change is said rather than what may pass.
        let by_count = (willing < needed).then(|| {
            let lasting = self.refused.iter().find(|(_, refusal)| !super::authorisation::is_passing(refusal.code));
            lasting.or(self.refused.iter().next())
        });
        if let Some((id, refusal)) = by_customer.or(by_count.flatten()) {
            let last = !super::authorisation::is_passing(refusal.code);
            return Some(Turn::Over { refusal: super::context::named(id, refusal), last });
        }
        if now_ms < self.prepare_until_ms {
            return None;
        }
        let silent = group.parties.iter().map(|p| &p.id).filter(|id| {
            let is_ready = self.readies.iter().any(|(index, _, _)| group.index_of(id) == Some(*index));
            !is_ready && !self.refused.contains_key(id)
        });
        let sentence = format!("no consent in time from co-signer {}", list_parties(silent));
        Some(Turn::Over { refusal: Refusal::new(Code::Timeout, sentence), last: false })
    }

    fn start(&mut self, ctx: &mut Context<'_>, group: &Group, signers: Vec<u16>) {
        for party in group.parties.iter() {
            if group.index_of(&party.id).is_some_and(|index| !signers.contains(&index)) {
                ctx.send(party.id, WorkspaceMessage::Cancel { session: self.session });
            }
        }
        self.signers = Some(signers);
        self.retries.clear();
    }

    /// Ends the session at all parties.
    pub fn cancel(&self, ctx: &mut Context<'_>, group: &Group) {
        ctx.close_session(&self.session);
        for party in group.parties.iter() {
            ctx.send(party.id, WorkspaceMessage::Cancel { session: self.session });
        }
    }

    fn awaited<'g>(&'g self, group: &'g Group) -> impl Iterator<Item = PartyId> + 'g {
        group.parties.iter().map(|p| p.id).filter(move |id| {
            let index = group.index_of(id);
            match &self.signers {
                Some(signers) => index.is_some_and(|i| signers.contains(&i)),
                None => {
                    !self.refused.contains_key(id) && !self.readies.iter().any(|(known, _, _)| Some(*known) == index)
                }
            }
        })
    }

    fn send_due(&mut self, ctx: &mut Context<'_>, group: &Group) {
        let awaited: Vec<PartyId> = self.awaited(group).collect();
        for id in awaited {
            let due = self.retries.get(&id).is_none_or(|retry| retry.is_due(ctx.now_ms));
            if due && ctx.send(id, self.message(ctx.now_ms)) {
                self.retries.entry(id).or_insert_with(Retry::now).sent(ctx.now_ms, ctx.settings);
            }
        }
    }

    fn message(&self, now_ms: u64) -> WorkspaceMessage {
        let session = self.session;
        match &self.signers {
            None => {
                let deadline_ms = u32::try_from(self.until_ms.saturating_sub(now_ms)).unwrap_or(u32::MAX);
                WorkspaceMessage::Prepare { session, deadline_ms, work: self.work.clone() }
            }
            Some(signers) => {
                let ready_of = |index: &u16| self.readies.iter().find(|(known, _, _)| known == index);
                let readies = signers.iter().filter_map(ready_of).map(|(_, signed, _)| signed.clone()).collect();
                WorkspaceMessage::Start { session, signers: List::cut(signers.clone()), readies: List::cut(readies) }
            }
        }
    }

    pub fn next_wake_ms(&self, parties: &Parties, group: &Group) -> u64 {
        let deadline = match self.signers {
            Some(_) => self.fails_at_ms,
            None if self.patient => self.patient_until_ms,
            None => self.prepare_until_ms,
        };
        let resends = self.awaited(group).filter(|id| parties.is_connected(id));
        resends.map(|id| self.retries.get(&id).map_or(0, |retry| retry.at_ms)).fold(deadline, u64::min)
    }
}
