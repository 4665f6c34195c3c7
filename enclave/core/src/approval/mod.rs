//! From a request that passed all checks to a handler's word about it: admission, the wait for a turn, calls, RETRY series.
//!
//! None of it holds a resource of a ceremony. What waits for a first answer is lost with the boot, and the workspace asks
//! again; a RETRY series is sealed before anybody hears of it, and goes on after a restart with the very same payload.

mod attempt;
mod calls;
mod change;
mod request_keys;
mod series;
mod settings;
mod test;

pub(crate) use request_keys::RequestKeys;
pub(crate) use settings::count_handlers;
pub(crate) use test::Test;

use crate::callback::{Endpoint, Question};
use crate::ceremony::Understood;
use crate::limits::{MAX_ASKING_BYTES_PER_PAIRING, MAX_ASKING_PER_PAIRING, SURE_ASKING_PER_USER};
use crate::seal::BlobId;
use countersign_wire::callback::{Attempt, CallbackSubject, ConfigChange};
use countersign_wire::ids::ApiUserId;
use countersign_wire::limits::MAX_USERS;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::TransactionRequest;
use std::collections::BTreeMap;

/// What a handler is asked about, as this co-signer understood it.
pub(crate) enum About {
    /// A transaction.
    Transaction {
        /// As it came.
        request: Box<TransactionRequest>,
        /// As it was decoded and proved.
        understood: Box<Understood>,
    },
    /// A configuration change.
    Change(ConfigChange),
}

impl About {
    pub(crate) fn subject(&self) -> CallbackSubject {
        match self {
            About::Transaction { request, .. } => CallbackSubject::Transaction(request.transaction),
            About::Change(change) => CallbackSubject::Change(change.id),
        }
    }

    fn endpoint(&self) -> Endpoint {
        match self {
            About::Transaction { .. } => Endpoint::TxSignRequest,
            About::Change(_) => Endpoint::ConfigChangeSignRequest,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            About::Transaction { request, .. } => {
                let unsigned = request.unsigned.as_ref().map_or(0, |bytes| bytes.len());
                let token = request.token.as_ref().map_or(0, |token| token.len());
                request.body.len().saturating_add(unsigned).saturating_add(token)
            }
            About::Change(change) => change.extra_info.len(),
        }
    }
}

/// A request in front of a handler.
pub(crate) struct Asking {
    /// Whose handler.
    pub user: ApiUserId,
    /// What about.
    pub about: About,
    /// The exact payload of every attempt.
    question: Question,
    stage: Stage,
    /// Calls that ended, and that were answered RETRY.
    attempts: u16,
    /// The last one.
    pub last: Option<Attempt>,
    /// Whether a sealed record of it exists.
    is_sealed: bool,
}

/// Where a request in front of a handler is.
#[derive(Clone, Copy)]
enum Stage {
    /// It waits for its turn.
    Waiting { since_ms: u64 },
    /// The handler is being called.
    Called { exchange: u64, at_ms: u64, waited_ms: u32 },
    /// The handler said RETRY.
    Retry { at_ms: u64 },
}

impl Asking {
    pub(crate) fn is_retrying(&self) -> bool {
        matches!(self.stage, Stage::Retry { .. })
    }

    /// What it holds in memory, roughly, and as a sealed record.
    fn bytes(&self) -> usize {
        self.about.bytes().saturating_add(self.question.payload.len())
    }
}

/// All requests of a pairing that are in front of handlers.
#[derive(Default)]
pub(crate) struct Askings {
    all: BTreeMap<CallbackSubject, Asking>,
    bytes: usize,
    /// Sealed records of series that are over: deleted a few at a time.
    stale: Vec<BlobId>,
}

impl Askings {
    pub(crate) fn get(&self, subject: &CallbackSubject) -> Option<&Asking> {
        self.all.get(subject)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Asking> {
        self.all.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Sealed records that are there still.
    pub(crate) fn sealed(&self) -> usize {
        self.all.values().filter(|asking| asking.is_sealed).count().saturating_add(self.stale.len())
    }

    pub(crate) fn of_user(&self, user: &ApiUserId) -> impl Iterator<Item = &Asking> {
        self.all.values().filter(move |asking| asking.user == *user)
    }

    /// Whether one more may be taken in: every API user has room for a few for sure, and for as many more as would leave
    /// the same for somebody else.
    fn check_room(&self, asking: &Asking) -> Result<(), Refusal> {
        let busy = |waiting: String| {
            Err(Refusal::new(
                Code::Busy,
                format!("{waiting} of API user {} wait for its handler; try again later", asking.user),
            ))
        };
        let of_user = self.of_user(&asking.user).count();
        let taken = self.all.len().saturating_add(self.stale.len());
        let free = MAX_ASKING_PER_PAIRING.saturating_sub(MAX_USERS * SURE_ASKING_PER_USER).saturating_sub(taken);
        if of_user >= SURE_ASKING_PER_USER.max(free) {
            return busy(format!("{of_user} requests"));
        }
        let bytes: usize = self.of_user(&asking.user).map(Asking::bytes).sum();
        let free = MAX_ASKING_BYTES_PER_PAIRING.saturating_sub(self.bytes);
        if bytes.saturating_add(asking.bytes()) > free {
            return busy(format!("{bytes} bytes of requests"));
        }
        Ok(())
    }

    fn insert(&mut self, asking: Asking) {
        self.bytes = self.bytes.saturating_add(asking.bytes());
        self.all.insert(asking.about.subject(), asking);
    }

    fn remove(&mut self, subject: &CallbackSubject) -> Option<Asking> {
        let asking = self.all.remove(subject)?;
        self.bytes = self.bytes.saturating_sub(asking.bytes());
        Some(asking)
    }
}
