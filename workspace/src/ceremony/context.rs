use super::messages::{Effect, Kind, Report};
use super::parties::Parties;
use super::record::Record;
use super::settings::Settings;
use super::timers::Owner;
use countersign_wire::agreement::Subject;
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::ids::{GroupId, PartyId, SessionId, TransactionId, WorkspaceId};
use countersign_wire::key::{EcdsaSignature, PublicKey};
use countersign_wire::refusal::Refusal;
use rand_core::RngCore;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The checks that need the mathematics of a scheme. The simulator brings its own.
pub trait PublicChecks: Send {
    /// Whether `signature` is the one of `public_key` over `digest` that may leave the workspace.
    fn is_signature(&self, public_key: &PublicKey, digest: &[u8; 32], signature: &EcdsaSignature) -> bool;
    /// The address of `public_key` in the asset's own form; `None` where the asset is not known or the key not one.
    fn address(&self, asset: &str, public_key: &PublicKey) -> Option<String>;
}

/// What a ceremony sees of the rest while it takes a step.
pub(super) struct Context<'a> {
    pub now_ms: u64,
    pub settings: &'a Settings,
    pub workspace: WorkspaceId,
    pub checks: &'a dyn PublicChecks,
    pub parties: &'a Parties,
    pub ready_groups: &'a BTreeSet<GroupId>,
    pub entropy: &'a mut dyn RngCore,
    pub effects: &'a mut Vec<Effect>,
    pub sessions: &'a mut BTreeMap<SessionId, Owner>,
    pub free_sign_sessions: &'a mut usize,
    pub waiting_for_session: &'a mut VecDeque<TransactionId>,
}

impl Context<'_> {
    /// Sends if the link is up; says whether it was.
    pub fn send(&mut self, to: PartyId, message: WorkspaceMessage) -> bool {
        let connected = self.parties.is_connected(&to);
        if connected {
            self.effects.push(Effect::Send { to, message: Box::new(message) });
        }
        connected
    }

    /// A new session, whose messages go to `owner`.
    pub fn open_session(&mut self, owner: Owner) -> SessionId {
        let mut id = [0u8; 16];
        self.entropy.fill_bytes(&mut id);
        let session = SessionId(id);
        self.sessions.insert(session, owner);
        session
    }

    /// Messages of this session concern nobody any more.
    pub fn close_session(&mut self, session: &SessionId) {
        self.sessions.remove(session);
    }

    pub fn report(&mut self, report: Report) {
        self.effects.push(Effect::Report(report));
    }

    pub fn bad_message(&mut self, from: PartyId, why: impl Into<String>) {
        self.report(Report::BadMessage { from, why: why.into() });
    }
}

/// One ceremony in the coordinator.
pub(super) trait Ceremony: Send {
    /// Whether this co-signer takes part.
    fn concerns(&self, party: &PartyId) -> bool;
    /// A co-signer's link came up or its Hello came: what it has not answered is due at once.
    fn greeted(&mut self, ctx: &mut Context<'_>, party: PartyId);
    /// A co-signer restarted: its sessions are over.
    fn rebooted(&mut self, ctx: &mut Context<'_>, party: PartyId);
    /// A co-signer's message that concerns this ceremony.
    fn receive(&mut self, ctx: &mut Context<'_>, from: PartyId, message: &CosignerMessage);
    /// Does whatever is due.
    fn advance(&mut self, ctx: &mut Context<'_>);
    /// When `advance` has to be called next.
    fn next_wake_ms(&self, parties: &Parties) -> Option<u64>;
    /// The record to store, if it changed.
    fn take_record(&mut self) -> Option<Record>;
    /// Whether it can be forgotten.
    fn is_over(&self) -> bool {
        false
    }
    /// A session became free for which it waited.
    fn session_offered(&mut self) {}
    /// Somebody asks for its outcome again.
    fn ask_again(&mut self, _ctx: &mut Context<'_>) {}
    /// Somebody cancels it.
    fn cancel(&mut self, _ctx: &mut Context<'_>) {}
}

pub(super) fn subject_text(subject: &Subject) -> String {
    match subject {
        Subject::Aux(group) => group.to_string(),
        Subject::Key(key) => key.to_string(),
    }
}

pub(super) fn subject_kind(subject: &Subject) -> Kind {
    match subject {
        Subject::Aux(_) => Kind::Aux,
        Subject::Key(_) => Kind::Keygen,
    }
}

/// A refusal as a co-signer gave it, with its name in front, for people.
pub(super) fn named(party: &PartyId, refusal: &Refusal) -> Refusal {
    Refusal::new(refusal.code, format!("co-signer {party}: {}", refusal.detail.as_str()))
}

pub(super) fn list_parties<'p>(parties: impl Iterator<Item = &'p PartyId>) -> String {
    parties.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
