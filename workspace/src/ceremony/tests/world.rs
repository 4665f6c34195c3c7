//! One workspace and its co-signers in one thread, with a seeded clock, network and crashes.

use super::party::{FakeScheme, Out, Party, WORKSPACE, Wish};
use crate::ceremony::{
    AuditNote, ChangeRecord, Coordinator, Effect, GroupRecord, Input, KeyRecord, Record, Settings, Snapshot,
    TransactionRecord, TransactionStatus,
};
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::group::{Group, Party as GroupParty, Role};
use countersign_wire::ids::{ChangeId, GroupId, KeyId, PartyId, SessionId, TransactionId};
use countersign_wire::key::{Algorithm, DerivationPath, KeyPurpose, Operation};
use countersign_wire::transaction::TransactionRequest;
use countersign_wire::{Bytes, List, Text};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

pub const GROUP: GroupId = GroupId([1; 16]);

/// Faults, in per mille.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    pub drop: u32,
    pub repeat: u32,
    /// A crash of the workspace at a step, after its records are durable and before anything is sent.
    pub workspace_crash: u32,
    /// A crash of a co-signer at a message.
    pub party_crash: u32,
    /// A link that breaks at a message, for a second.
    pub link_break: u32,
    /// Longest delay of a message, in ms.
    pub delay_ms: u64,
}

enum Event {
    ToParty(PartyId, WorkspaceMessage),
    ToWorkspace(PartyId, CosignerMessage),
    Peer { from: PartyId, to: PartyId, session: SessionId },
    Wish(PartyId, Wish),
    LinkUp(PartyId),
}

#[derive(Default, Clone)]
pub struct Disk {
    pub groups: BTreeMap<GroupId, GroupRecord>,
    pub keys: BTreeMap<KeyId, KeyRecord>,
    pub transactions: BTreeMap<TransactionId, TransactionRecord>,
    pub certificates: BTreeMap<(u32, String), crate::ceremony::CertificateRecord>,
    pub changes: BTreeMap<ChangeId, ChangeRecord>,
    pub audit: Vec<AuditNote>,
}

pub struct World {
    pub rng: ChaCha20Rng,
    pub now_ms: u64,
    pub settings: Settings,
    pub disk: Disk,
    pub parties: BTreeMap<PartyId, Party>,
    pub faults: Faults,
    pub restarts: u32,
    /// How much longer what a party says is on its way, in ms.
    pub lag: BTreeMap<PartyId, u64>,
    /// Every session that was prepared, with the time of its first Prepare.
    pub prepared: BTreeMap<SessionId, u64>,
    /// Transactions in the order in which they had their Authorisation, and in which they were COMPLETED.
    pub authorised: Vec<TransactionId>,
    pub completed: Vec<TransactionId>,
    coordinator: Coordinator,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    up: BTreeSet<PartyId>,
}

fn coordinator(settings: &Settings, disk: &Disk) -> Coordinator {
    let snapshot = Snapshot {
        groups: disk.groups.values().cloned().collect(),
        keys: disk.keys.values().cloned().collect(),
        transactions: disk.transactions.values().filter(|t| !t.status.is_final()).cloned().collect(),
        changes: disk.changes.values().filter(|c| !c.status.is_final()).cloned().collect(),
    };
    Coordinator::new(settings.clone(), WORKSPACE, Box::new(FakeScheme), snapshot).unwrap()
}

impl World {
    pub fn new(seed: u64, parties: u8) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let settings = Settings {
            aux_session_ms: 60_000,
            keygen_attempts: 50,
            keygen_give_up_ms: 3_600_000,
            aux_retry_longest_ms: 5_000,
            retry_longest_ms: 5_000,
            ..Settings::default()
        };
        let roles = std::iter::once(Role::Customer).chain(std::iter::repeat(Role::Cloud));
        let parties: BTreeMap<PartyId, Party> = (1..=parties)
            .zip(roles)
            .map(|(secret, role)| Party::new(secret, role, &mut rng))
            .map(|party| (party.id(), party))
            .collect();
        let disk = Disk::default();
        let mut world = Self {
            coordinator: coordinator(&settings, &disk),
            rng,
            now_ms: 1_700_000_000_000,
            settings,
            disk,
            parties,
            faults: Faults::default(),
            restarts: 0,
            lag: BTreeMap::new(),
            prepared: BTreeMap::new(),
            authorised: Vec::new(),
            completed: Vec::new(),
            events: BTreeMap::new(),
            sequence: 0,
            up: BTreeSet::new(),
        };
        for id in world.party_ids() {
            world.at(0, Event::LinkUp(id));
        }
        world
    }

    pub fn party_ids(&self) -> Vec<PartyId> {
        self.parties.keys().copied().collect()
    }

    pub fn group(&self, threshold: u16) -> Group {
        let parties = self.parties.values().map(|p| GroupParty { id: p.id(), role: p.role }).collect();
        let group = Group { workspace: WORKSPACE, id: GROUP, parties: List::new(parties).unwrap(), threshold };
        group.check().unwrap();
        group
    }

    pub fn purpose() -> KeyPurpose {
        KeyPurpose {
            algorithm: Algorithm::EcdsaSecp256k1,
            coin_type: 60,
            operations: List::new(vec![Operation::Raw, Operation::TypedMessage]).unwrap(),
            signer: "signer".parse().unwrap(),
        }
    }

    pub fn transaction(&self, id: u8, key: KeyId, digests: &[[u8; 32]]) -> TransactionRecord {
        let request = TransactionRequest {
            transaction: TransactionId([id; 16]),
            group: GROUP,
            key,
            signer: "signer".parse().unwrap(),
            method: Text::new("POST").unwrap(),
            path: Text::new("/v1/transactions").unwrap(),
            body: Bytes::new(digests.concat()).unwrap(),
            token: None,
            unsigned: None,
        };
        let path = DerivationPath::vault(60, 0, 0, 0).unwrap();
        let public_key = self.disk.keys[&key].public_key.unwrap();
        let authorise_ms = self.settings.authorise_ms;
        TransactionRecord::new(request, Operation::Raw, digests.to_vec(), path, public_key, self.now_ms, authorise_ms)
    }

    /// Stores a transaction, as the HTTP service does, and hands it over.
    pub fn submit(&mut self, record: TransactionRecord) {
        self.disk.transactions.insert(record.request.transaction, record.clone());
        self.input(Input::Submit(Box::new(record)));
    }

    /// Stores a configuration change, as the HTTP service does, and hands it over.
    pub fn submit_change(&mut self, record: ChangeRecord) {
        self.disk.changes.insert(record.change.id, record.clone());
        self.input(Input::SubmitChange(Box::new(record)));
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.next_u32() % 1000 < per_mille
    }

    fn at(&mut self, delay_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now_ms + delay_ms, self.sequence), event);
    }

    fn over_network(&mut self, make: impl Fn() -> Event) {
        self.over_network_after(0, make);
    }

    fn over_network_after(&mut self, lag_ms: u64, make: impl Fn() -> Event) {
        if self.chance(self.faults.drop) {
            return;
        }
        let copies = if self.chance(self.faults.repeat) { 2 } else { 1 };
        for _ in 0..copies {
            let delay_ms = lag_ms + 1 + self.rng.next_u64() % (self.faults.delay_ms + 10);
            self.at(delay_ms, make());
        }
    }

    pub fn input(&mut self, input: Input) {
        let effects = self.coordinator.step(self.now_ms, &mut self.rng, input);
        let mut sends = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(record) => {
                    assert!(sends.is_empty(), "records come before messages");
                    self.persist(*record);
                }
                Effect::Send { to, message } => sends.push((to, *message)),
                Effect::Report(_) => {}
            }
        }
        if self.chance(self.faults.workspace_crash) {
            return self.restart_workspace();
        }
        for (to, message) in sends {
            if let WorkspaceMessage::Prepare { session, .. } = &message {
                self.prepared.entry(*session).or_insert(self.now_ms);
            }
            if self.up.contains(&to) {
                self.over_network(|| Event::ToParty(to, message.clone()));
            }
        }
    }

    fn persist(&mut self, record: Record) {
        match record {
            Record::Group(r) => {
                self.disk.groups.insert(r.group.id, r);
            }
            Record::Key(r) => {
                if let Some(old) = self.disk.keys.get(&r.key).and_then(|old| old.public_key) {
                    assert_eq!(r.public_key, Some(old), "a READY key keeps its public key");
                }
                self.disk.keys.insert(r.key, r);
            }
            Record::Transaction(r) => {
                if r.authorisation.is_some() && !self.authorised.contains(&r.request.transaction) {
                    self.authorised.push(r.request.transaction);
                }
                if r.status == TransactionStatus::Completed {
                    self.completed.push(r.request.transaction);
                }
                let old = self.disk.transactions.insert(r.request.transaction, r.clone()).unwrap();
                assert!(!old.status.is_final(), "exactly one outcome: was {:?}, now {:?}", old.status, r.status);
            }
            Record::Certificate(r) => {
                self.disk.certificates.insert((r.vault_account, r.asset.as_str().to_owned()), r);
            }
            Record::Change(r) => {
                let old = self.disk.changes.insert(r.change.id, r.clone()).unwrap();
                assert!(!old.status.is_final(), "a change ends once: was {:?}, now {:?}", old.status, r.status);
            }
            Record::Users(_) => {}
            Record::Audit(note) => self.disk.audit.push(note),
        }
    }

    pub fn restart_workspace(&mut self) {
        self.restarts += 1;
        self.coordinator = coordinator(&self.settings, &self.disk);
        for id in self.party_ids() {
            self.break_link(id);
        }
    }

    fn break_link(&mut self, id: PartyId) {
        if self.up.remove(&id) {
            self.input_quietly(Input::Disconnected { party: id });
            self.at(1_000, Event::LinkUp(id));
        }
    }

    fn input_quietly(&mut self, input: Input) {
        let crash = std::mem::take(&mut self.faults.workspace_crash);
        self.input(input);
        self.faults.workspace_crash = crash;
    }

    pub fn restart_party(&mut self, id: PartyId) {
        let party = self.parties.get_mut(&id).unwrap();
        party.restart(&mut self.rng);
        let outs = party.resume();
        self.perform(id, outs);
        self.break_link(id);
    }

    fn perform(&mut self, from: PartyId, outs: Vec<Out>) {
        for out in outs {
            match out {
                Out::Up(message) if self.up.contains(&from) => {
                    let lag_ms = self.lag.get(&from).copied().unwrap_or(0);
                    self.over_network_after(lag_ms, || Event::ToWorkspace(from, message.clone()));
                }
                Out::Up(_) => {}
                Out::Peer(to, session) => self.over_network(|| Event::Peer { from, to, session }),
                Out::Later(delay_ms, wish) => self.at(delay_ms, Event::Wish(from, wish)),
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::ToParty(id, message) => {
                if self.chance(self.faults.party_crash) {
                    return self.restart_party(id);
                }
                if self.chance(self.faults.link_break) {
                    return self.break_link(id);
                }
                let party = self.parties.get_mut(&id).unwrap();
                let outs = party.on_message(self.now_ms, message, &mut self.rng);
                self.perform(id, outs);
            }
            Event::ToWorkspace(from, message) => {
                if self.up.contains(&from) {
                    self.input(Input::Message { from, message: Box::new(message) });
                }
            }
            Event::Peer { from, to, session } => {
                let outs = self.parties.get_mut(&to).unwrap().on_peer(from, session);
                self.perform(to, outs);
            }
            Event::Wish(id, wish) => {
                let outs = self.parties.get_mut(&id).unwrap().wish(self.now_ms, wish);
                self.perform(id, outs);
            }
            Event::LinkUp(id) => {
                self.up.insert(id);
                self.input(Input::Connected { party: id });
                // Hello is the one message that a link begins with: the co-signer repeats it until it is through.
                let hello = self.parties[&id].hello();
                let users = self.parties.get_mut(&id).unwrap().users();
                if self.up.contains(&id) {
                    self.at(5, Event::ToWorkspace(id, hello));
                    if let Some(users) = users {
                        self.at(6, Event::ToWorkspace(id, users));
                    }
                }
            }
        }
    }

    /// Runs until `done` or for so many ms of simulated time; says whether it was done.
    pub fn run(&mut self, limit_ms: u64, done: impl Fn(&World) -> bool) -> bool {
        let end_ms = self.now_ms + limit_ms;
        let mut steps = 0u64;
        loop {
            if done(self) {
                return true;
            }
            steps += 1;
            assert!(steps < 2_000_000, "the coordinator spins");
            let event_ms = self.events.keys().next().map(|(at, _)| *at);
            let wake_ms = self.coordinator.next_wake_ms().map(|at| at.max(self.now_ms + 1));
            let next_ms = [event_ms, wake_ms, Some(end_ms)].into_iter().flatten().min().unwrap();
            self.now_ms = self.now_ms.max(next_ms);
            if self.now_ms >= end_ms {
                return done(self);
            }
            for id in self.party_ids() {
                let outs = self.parties.get_mut(&id).unwrap().expire(self.now_ms);
                self.perform(id, outs);
            }
            match self.events.pop_first() {
                Some((key, event)) if key.0 <= self.now_ms => self.event(event),
                Some((key, event)) => {
                    self.events.insert(key, event);
                    self.input(Input::Tick);
                }
                None => self.input(Input::Tick),
            }
        }
    }

    /// Steps since the last call in which nothing happened: for tests that count.
    pub fn take_down(&mut self, id: PartyId) {
        self.up.remove(&id);
        self.events.retain(|_, e| !matches!(e, Event::LinkUp(up) if *up == id));
        self.input(Input::Disconnected { party: id });
    }

    pub fn bring_up(&mut self, id: PartyId) {
        self.at(1, Event::LinkUp(id));
    }
}
