//! Routes inputs to ceremonies, keeps their timers, and collects what they want done.

use super::certify::Certifying;
use super::change::{ChangeRecord, Changing};
use super::context::{Ceremony, Context, PublicChecks};
use super::group::GroupCeremony;
use super::keygen::KeyCeremony;
use super::messages::{Effect, Input, Report};
use super::parties::Parties;
use super::record::{GroupStatus, Record, Snapshot, TransactionRecord};
use super::settings::Settings;
use super::signing::Signing;
use super::timers::{Owner, Timers};
use super::users::CosignerUsers;
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::group::Group;
use countersign_wire::ids::{BootId, ChangeId, GroupId, KeyId, PartyId, SessionId, TransactionId, WorkspaceId};
use countersign_wire::key::KeyPurpose;
use rand_core::RngCore;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A stored record names a group that is not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the group {0} of a stored record to be stored too; restore the database from a sound copy")]
pub struct UnknownGroup(pub GroupId);

/// The coordinator of all ceremonies of one workspace.
pub struct Coordinator {
    settings: Settings,
    workspace: WorkspaceId,
    checks: Box<dyn PublicChecks>,
    now_ms: u64,
    parties: Parties,
    groups: BTreeMap<GroupId, GroupCeremony>,
    ready_groups: BTreeSet<GroupId>,
    keys: BTreeMap<KeyId, KeyCeremony>,
    transactions: BTreeMap<TransactionId, Signing>,
    changes: BTreeMap<ChangeId, Changing>,
    pub(super) certificates: BTreeMap<(u32, String), Certifying>,
    pub(super) sessions: BTreeMap<SessionId, Owner>,
    timers: Timers,
    free_sign_sessions: usize,
    waiting_for_session: VecDeque<TransactionId>,
}

impl Coordinator {
    /// A coordinator that goes on where the snapshot's writer stopped.
    ///
    /// # Errors
    /// A key or transaction names a group that is not in the snapshot.
    pub fn new(
        settings: Settings,
        workspace: WorkspaceId,
        checks: Box<dyn PublicChecks>,
        snapshot: Snapshot,
    ) -> Result<Self, UnknownGroup> {
        let free_sign_sessions = settings.max_sign_sessions.max(1);
        let mut this = Self {
            settings,
            workspace,
            checks,
            now_ms: 0,
            parties: Parties::default(),
            groups: BTreeMap::new(),
            ready_groups: BTreeSet::new(),
            keys: BTreeMap::new(),
            transactions: BTreeMap::new(),
            changes: BTreeMap::new(),
            certificates: BTreeMap::new(),
            sessions: BTreeMap::new(),
            timers: Timers::default(),
            free_sign_sessions,
            waiting_for_session: VecDeque::new(),
        };
        for record in snapshot.groups {
            let id = record.group.id;
            if record.status == GroupStatus::Ready {
                this.ready_groups.insert(id);
            }
            let ceremony = GroupCeremony::restore(record, &this.settings);
            this.adopt(Owner::Group(id), ceremony.agreement().session());
            this.groups.insert(id, ceremony);
        }
        for record in snapshot.keys {
            let (key, group) = (record.key, this.group_of(record.group)?);
            let ceremony = KeyCeremony::restore(record, group, &this.settings);
            this.adopt(Owner::Key(key), ceremony.agreement().session());
            this.keys.insert(key, ceremony);
        }
        for record in snapshot.transactions {
            let (id, group) = (record.request.transaction, this.group_of(record.request.group)?);
            this.adopt(Owner::Transaction(id), None);
            this.transactions.insert(id, Signing::new(record, group));
        }
        for record in snapshot.changes {
            this.submit_change(record);
        }
        Ok(this)
    }

    fn adopt(&mut self, owner: Owner, session: Option<SessionId>) {
        if let Some(session) = session {
            self.sessions.insert(session, owner.clone());
        }
        self.timers.set(&owner, Some(0));
    }

    fn group_of(&self, id: GroupId) -> Result<Group, UnknownGroup> {
        self.groups.get(&id).map(|g| g.group().clone()).ok_or(UnknownGroup(id))
    }

    /// When `step` has to be called next, in Unix ms, if nothing else happens before: with [`Input::Tick`].
    pub fn next_wake_ms(&self) -> Option<u64> {
        self.timers.first_ms()
    }

    /// Whether this transaction is in its hands: stored and not ended.
    pub fn has_transaction(&self, id: &TransactionId) -> bool {
        self.transactions.contains_key(id)
    }

    /// Whether this configuration change is in its hands: stored and not ended.
    pub fn has_change(&self, id: &ChangeId) -> bool {
        self.changes.contains_key(id)
    }

    /// What is known about the co-signers.
    pub fn parties(&self) -> &Parties {
        &self.parties
    }

    /// Takes one input at `now_ms` (Unix time; a step backwards is not believed) and says what is to be done. All
    /// [`Effect::Persist`]s come first and have to be durable before anything after them is done.
    pub fn step(&mut self, now_ms: u64, entropy: &mut dyn RngCore, input: Input) -> Vec<Effect> {
        self.now_ms = self.now_ms.max(now_ms);
        let mut effects = Vec::new();
        self.take(entropy, &mut effects, input);
        loop {
            if let Some(owner) = self.timers.due(self.now_ms) {
                self.visit(entropy, &mut effects, &owner, |ceremony, ctx| ceremony.advance(ctx));
            } else if self.free_sign_sessions > 0
                && let Some(id) = self.waiting_for_session.pop_front()
            {
                self.visit(entropy, &mut effects, &Owner::Transaction(id), |ceremony, ctx| {
                    ceremony.session_offered();
                    ceremony.advance(ctx);
                });
            } else {
                break;
            }
        }
        effects.sort_by_key(|effect| !matches!(effect, Effect::Persist(_)));
        effects
    }

    fn take(&mut self, entropy: &mut dyn RngCore, effects: &mut Vec<Effect>, input: Input) {
        match input {
            Input::Connected { party } => {
                let view = self.parties.entry(party);
                (view.connected, view.greeted) = (true, false);
                self.for_party(entropy, effects, party, |ceremony, ctx| ceremony.greeted(ctx, party));
            }
            Input::Disconnected { party } => self.parties.entry(party).connected = false,
            Input::Message { from, message } => self.receive(entropy, effects, from, &message),
            Input::ProposeGroup { group } => {
                let id = group.id;
                if !self.groups.contains_key(&id) {
                    self.groups.insert(id, GroupCeremony::propose(group, &self.settings));
                    self.timers.set(&Owner::Group(id), Some(0));
                }
            }
            Input::GenerateKey { key, group, purpose } => self.generate(entropy, effects, key, group, purpose),
            Input::Submit(record) => self.submit(effects, *record),
            Input::CancelTransaction { transaction } => {
                self.visit(entropy, effects, &Owner::Transaction(transaction), |ceremony, ctx| ceremony.cancel(ctx));
            }
            Input::SubmitChange(record) => self.submit_change(*record),
            Input::CancelChange { change } => {
                self.visit(entropy, effects, &Owner::Change(change), |ceremony, ctx| ceremony.cancel(ctx));
            }
            Input::Certify { key, vault_account, asset, path } => {
                let Some(group) = self.keys.get(&key).and_then(|k| self.groups.get(&k.group_id())) else { return };
                let at = (vault_account, asset.as_str().to_owned());
                if !self.certificates.contains_key(&at) {
                    let until_ms = self.now_ms.saturating_add(self.settings.certify_ms);
                    let group = group.group().clone();
                    let certifying = Certifying::new(key, vault_account, asset, path, group, until_ms);
                    self.timers.set(&Owner::Certificate(at.0, at.1.clone()), Some(0));
                    self.certificates.insert(at, certifying);
                }
            }
            Input::Tick => {}
        }
    }

    fn generate(
        &mut self,
        entropy: &mut dyn RngCore,
        effects: &mut Vec<Effect>,
        key: KeyId,
        group: GroupId,
        purpose: KeyPurpose,
    ) {
        match (self.keys.get(&key), self.groups.get(&group)) {
            (Some(known), _) if known.is(&group, &purpose) => {
                self.visit(entropy, effects, &Owner::Key(key), |ceremony, ctx| ceremony.ask_again(ctx));
            }
            (None, Some(g)) => {
                let begun = KeyCeremony::begin(key, g.group().clone(), purpose, self.now_ms, &self.settings);
                self.keys.insert(key, begun);
                self.timers.set(&Owner::Key(key), Some(0));
            }
            // A key id names one key for ever; whoever asks sees that from the stored record.
            _ => {}
        }
    }

    fn submit(&mut self, _effects: &mut Vec<Effect>, record: TransactionRecord) {
        let id = record.request.transaction;
        if let Ok(group) = self.group_of(record.request.group)
            && !record.status.is_final()
            && !self.transactions.contains_key(&id)
        {
            self.transactions.insert(id, Signing::new(record, group));
            self.timers.set(&Owner::Transaction(id), Some(0));
        }
    }

    fn submit_change(&mut self, record: ChangeRecord) {
        let id = record.change.id;
        if !record.status.is_final() && !self.changes.contains_key(&id) {
            self.changes.insert(id, Changing::new(record));
            self.timers.set(&Owner::Change(id), Some(0));
        }
    }

    fn receive(
        &mut self,
        entropy: &mut dyn RngCore,
        effects: &mut Vec<Effect>,
        from: PartyId,
        message: &CosignerMessage,
    ) {
        self.parties.entry(from).last_seen_ms = self.now_ms;
        if let CosignerMessage::Hello { boot, version, groups, .. } = message {
            let groups = groups.iter().copied().collect();
            let view = self.parties.entry(from);
            view.version = version.as_str().to_owned();
            // Co-signers repeat their Hello in case one was lost: it says nothing new then.
            let news = !view.greeted || view.boot != Some(*boot) || view.groups != groups;
            (view.groups, view.greeted) = (groups, true);
            if news {
                self.hello(entropy, effects, from, *boot);
            }
            return;
        }
        if let CosignerMessage::Users { name, users } = message {
            let users = users.iter().map(|(user, kind, digest)| (user.clone(), (*kind, *digest))).collect();
            let said = CosignerUsers { party: from, name: name.as_str().to_owned(), users };
            let view = self.parties.entry(from);
            if view.users.as_ref() != Some(&said) {
                view.users = Some(said.clone());
                effects.push(Effect::Persist(Box::new(Record::Users(said))));
                let concerned: Vec<ChangeId> =
                    self.changes.iter().filter(|(_, c)| c.concerns(&from)).map(|(id, _)| *id).collect();
                for id in concerned {
                    self.visit(entropy, effects, &Owner::Change(id), |ceremony, ctx| ceremony.advance(ctx));
                }
            }
            return;
        }
        let Some(owner) = self.owner_of(message) else { return };
        let Some(concerned) = self.ceremony(&owner).map(|c| c.concerns(&from)) else {
            self.withdraw_ended(effects, from, message);
            return;
        };
        if concerned {
            self.visit(entropy, effects, &owner, |ceremony, ctx| {
                ceremony.receive(ctx, from, message);
                ceremony.advance(ctx);
            });
        } else {
            let why = "expected messages about its own groups, keys and transactions, got one about others'".to_owned();
            effects.push(Effect::Report(Report::BadMessage { from, why }));
        }
    }

    /// A co-signer still asks its handler about a transaction that has ended: the word that it has was lost.
    fn withdraw_ended(&self, effects: &mut Vec<Effect>, from: PartyId, message: &CosignerMessage) {
        if let CosignerMessage::AuthorisationWaiting { transaction, .. } = *message
            && self.parties.is_connected(&from)
        {
            let message = Box::new(WorkspaceMessage::Withdraw { transaction });
            effects.push(Effect::Send { to: from, message });
        }
    }

    fn hello(&mut self, entropy: &mut dyn RngCore, effects: &mut Vec<Effect>, from: PartyId, boot: BootId) {
        let before = self.parties.entry(from).boot.replace(boot);
        let restarted = before.is_some_and(|b| b != boot);
        self.for_party(entropy, effects, from, |ceremony, ctx| {
            if restarted {
                ceremony.rebooted(ctx, from);
            }
            ceremony.greeted(ctx, from);
        });
    }

    fn ceremony(&self, owner: &Owner) -> Option<&dyn Ceremony> {
        match owner {
            Owner::Group(id) => self.groups.get(id).map(|c| c as &dyn Ceremony),
            Owner::Key(id) => self.keys.get(id).map(|c| c as &dyn Ceremony),
            Owner::Transaction(id) => self.transactions.get(id).map(|c| c as &dyn Ceremony),
            Owner::Certificate(vault, asset) => {
                self.certificates.get(&(*vault, asset.clone())).map(|c| c as &dyn Ceremony)
            }
            Owner::Change(id) => self.changes.get(id).map(|c| c as &dyn Ceremony),
        }
    }

    fn for_party(
        &mut self,
        entropy: &mut dyn RngCore,
        effects: &mut Vec<Effect>,
        party: PartyId,
        mut call: impl FnMut(&mut dyn Ceremony, &mut Context<'_>),
    ) {
        let groups = self.groups.keys().map(|id| Owner::Group(*id));
        let keys = self.keys.iter().filter(|(_, key)| key.is_open()).map(|(id, _)| Owner::Key(*id));
        let transactions = self.transactions.keys().map(|id| Owner::Transaction(*id));
        let certificates = self.certificates.keys().map(|(vault, asset)| Owner::Certificate(*vault, asset.clone()));
        let changes = self.changes.keys().map(|id| Owner::Change(*id));
        let all: Vec<Owner> = groups.chain(keys).chain(transactions).chain(certificates).chain(changes).collect();
        for owner in all {
            if self.ceremony(&owner).is_some_and(|c| c.concerns(&party)) {
                self.visit(entropy, effects, &owner, |ceremony, ctx| {
                    call(ceremony, ctx);
                    ceremony.advance(ctx);
                });
            }
        }
    }

    /// Calls one ceremony, then collects its record, sets its timer, and forgets it if it is over.
    fn visit(
        &mut self,
        entropy: &mut dyn RngCore,
        effects: &mut Vec<Effect>,
        owner: &Owner,
        call: impl FnOnce(&mut dyn Ceremony, &mut Context<'_>),
    ) {
        let mut ctx = Context {
            now_ms: self.now_ms,
            settings: &self.settings,
            workspace: self.workspace,
            checks: self.checks.as_ref(),
            parties: &self.parties,
            ready_groups: &self.ready_groups,
            entropy,
            effects,
            sessions: &mut self.sessions,
            free_sign_sessions: &mut self.free_sign_sessions,
            waiting_for_session: &mut self.waiting_for_session,
        };
        let ceremony: Option<&mut dyn Ceremony> = match owner {
            Owner::Group(id) => self.groups.get_mut(id).map(|c| c as &mut dyn Ceremony),
            Owner::Key(id) => self.keys.get_mut(id).map(|c| c as &mut dyn Ceremony),
            Owner::Transaction(id) => self.transactions.get_mut(id).map(|c| c as &mut dyn Ceremony),
            Owner::Certificate(vault, asset) => {
                self.certificates.get_mut(&(*vault, asset.clone())).map(|c| c as &mut dyn Ceremony)
            }
            Owner::Change(id) => self.changes.get_mut(id).map(|c| c as &mut dyn Ceremony),
        };
        let Some(ceremony) = ceremony else {
            self.timers.set(owner, None);
            return;
        };
        call(ceremony, &mut ctx);
        let record = ceremony.take_record();
        // At least one millisecond later, so that a step always ends.
        let wake = ceremony.next_wake_ms(&self.parties).map(|at| at.max(self.now_ms.saturating_add(1)));
        let over = ceremony.is_over();
        self.timers.set(owner, wake.filter(|_| !over));
        if over {
            self.forget(owner);
        }
        if let Some(record) = record {
            self.note_group(&record);
            effects.push(Effect::Persist(Box::new(record)));
        }
    }

    fn forget(&mut self, owner: &Owner) {
        match owner {
            Owner::Transaction(id) => {
                self.transactions.remove(id);
            }
            Owner::Certificate(vault, asset) => {
                self.certificates.remove(&(*vault, asset.clone()));
            }
            Owner::Change(id) => {
                self.changes.remove(id);
            }
            Owner::Group(_) | Owner::Key(_) => {}
        }
    }

    /// Keys of a group that became READY can be generated from now on.
    fn note_group(&mut self, record: &Record) {
        if let Record::Group(group) = record
            && group.status == GroupStatus::Ready
            && self.ready_groups.insert(group.group.id)
        {
            for (key, _) in self.keys.iter().filter(|(_, key)| key.is_open()) {
                self.timers.set(&Owner::Key(*key), Some(0));
            }
        }
    }
}
