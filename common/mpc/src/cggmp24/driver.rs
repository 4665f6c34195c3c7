//! Drives a protocol of the crate as a [`Machine`].
//!
//! How a failure is classified does not depend on the crate's errors, which do not show their cause: after the first
//! message of somebody else was taken, any error may be that party's work and counts as [`Failure::Protocol`]. Treating
//! an attack as an accident could leak the key; the opposite mistake only costs an operator's attention.

use super::guard::Guard;
use crate::codec::{self, CodecError};
use crate::failure::{Failure, ReceiveError};
use crate::machine::{Machine, Step};
use crate::plan::Output;
use round_based::state_machine::{ProceedResult, StateMachine};
use round_based::{Incoming, MessageDestination, MessageType, Outgoing, ProtocolMessage};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is said of an error of the crate that may be somebody's work. Its own words would name a party by a position that
/// means nothing outside of it, and that it cannot show to be guilty.
const FALSE: &str = "a check of the scheme failed on what the other parties sent";

/// How the inside of a protocol ended early.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With an error of the crate.
    Scheme(Box<dyn Error>),
    /// With a result that honest parties cannot produce.
    Unsound(&'static str),
    /// With a bug of ours.
    Internal(String),
}

/// Who takes part. The crate numbers them by position, everybody else by index in the group.
#[derive(Debug, Clone)]
pub(crate) struct Parties {
    me: u16,
    indices: Vec<u16>,
}

impl Parties {
    /// `None` if `index` is not among `indices`.
    pub(crate) fn new(index: u16, indices: Vec<u16>) -> Option<Self> {
        let me = indices.iter().position(|party| *party == index)?;
        Some(Self { me: u16::try_from(me).ok()?, indices })
    }

    /// Our own position.
    pub(crate) fn me(&self) -> u16 {
        self.me
    }

    /// How many take part.
    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.indices.len()).unwrap_or(u16::MAX)
    }

    /// The index of the party at `position`.
    pub(crate) fn index(&self, position: u16) -> Option<u16> {
        self.indices.get(usize::from(position)).copied()
    }

    /// The failure that the party at `position` is to blame for.
    pub(crate) fn convict(&self, position: u16, detail: &str) -> Failure {
        self.index(position).map_or_else(|| Failure::protocol(detail), |party| Failure::convicted(party, detail))
    }

    fn position(&self, index: u16) -> Option<u16> {
        u16::try_from(self.indices.iter().position(|party| *party == index)?).ok()
    }
}

struct Running<G, S> {
    guard: G,
    protocol: S,
}

/// A protocol that runs, or ran.
pub(crate) struct Driver<G, S> {
    /// Dropped when it is over, and its secrets with it.
    running: Option<Running<G, S>>,
    parties: Parties,
    waiting: bool,
    /// (position, round) of every message that was taken.
    taken: BTreeSet<(u16, u16)>,
    own_view: Option<Vec<u8>>,
    views: BTreeMap<u16, Vec<u8>>,
}

impl<G, S> Driver<G, S>
where
    G: Guard,
    S: StateMachine<Msg = G::Msg, Output = Result<Output, Ended>>,
{
    pub(crate) fn new(parties: Parties, guard: G, protocol: S) -> Self {
        Self {
            running: Some(Running { guard, protocol }),
            parties,
            waiting: false,
            taken: BTreeSet::new(),
            own_view: None,
            views: BTreeMap::new(),
        }
    }

    fn step(&mut self) -> Result<Step, Failure> {
        let running = self.running.as_mut().ok_or_else(|| Failure::internal("the protocol is over"))?;
        // The crate indexes and divides by what others sent: a panic is one more way in which they can break it.
        let proceeded = catch_unwind(AssertUnwindSafe(|| {
            running.guard.check()?;
            Ok(running.protocol.proceed())
        }));
        let proceeded = match proceeded {
            Err(_) => {
                let detail = "the protocol's arithmetic panicked";
                return Err(self.blame(detail, detail));
            }
            Ok(proceeded) => proceeded?,
        };
        match proceeded {
            ProceedResult::NeedsOneMoreMessage => {
                self.waiting = true;
                Ok(Step::NeedMessage)
            }
            ProceedResult::Yielded => Ok(Step::Yield),
            ProceedResult::SendMsg(outgoing) => self.send(outgoing),
            ProceedResult::Output(Ok(output)) => {
                self.running = None;
                Ok(Step::Done(output))
            }
            ProceedResult::Output(Err(Ended::Scheme(error))) => Err(self.blame(FALSE, &chain(error.as_ref()))),
            ProceedResult::Output(Err(Ended::Unsound(detail))) => Err(self.blame(detail, detail)),
            ProceedResult::Output(Err(Ended::Internal(detail))) => Err(Failure::internal(detail)),
            ProceedResult::Error(error) => Err(Failure::internal(chain(&error))),
        }
    }

    fn send(&mut self, outgoing: Outgoing<G::Msg>) -> Result<Step, Failure> {
        let running = self.running.as_mut().ok_or_else(|| Failure::internal("the protocol is over"))?;
        let to = match outgoing.recipient {
            MessageDestination::AllParties => None,
            MessageDestination::OneParty(position) => {
                Some(self.parties.index(position).ok_or_else(|| Failure::internal("message to nobody"))?)
            }
        };
        if let Some(view) = G::view(&outgoing.msg) {
            self.own_view = Some(view.to_vec());
        }
        let wire = running.guard.send(outgoing.msg)?;
        let message = codec::encode(&wire, G::MAX_BYTES).map_err(|e| Failure::internal(e.to_string()))?;
        Ok(Step::Send { to, message })
    }

    fn take(&mut self, from: u16, broadcast: bool, message: &[u8]) -> Result<(), ReceiveError> {
        let running = self.running.as_mut().ok_or(ReceiveError::NotExpected)?;
        if !self.waiting {
            return Err(ReceiveError::NotExpected);
        }
        let sender = self.parties.position(from).ok_or(ReceiveError::NotAParty { from })?;
        if sender == self.parties.me() {
            return Err(ReceiveError::Own);
        }
        let wire: G::Wire = codec::decode(message, G::MAX_BYTES).map_err(|e| match e {
            CodecError::TooLarge(size) => ReceiveError::TooLarge(size),
            CodecError::Malformed(why) => ReceiveError::Malformed(why),
            CodecError::Encode(_) => ReceiveError::Malformed("not the canonical encoding"),
        })?;
        let (round, expected_broadcast, view) = {
            let message = G::message(&wire);
            (message.round(), G::is_broadcast(message), G::view(message).map(<[u8]>::to_vec))
        };
        if expected_broadcast != broadcast {
            return Err(ReceiveError::WrongDelivery { expected_broadcast });
        }
        if self.taken.contains(&(sender, round)) {
            return Err(ReceiveError::Duplicate { from, round });
        }
        let msg = running.guard.receive(sender, wire).map_err(ReceiveError::Malformed)?;
        let id = u64::try_from(self.taken.len()).unwrap_or(u64::MAX);
        let msg_type = if broadcast { MessageType::Broadcast } else { MessageType::P2P };
        running.protocol.received_msg(Incoming { id, sender, msg_type, msg }).map_err(|_| ReceiveError::NotExpected)?;
        self.waiting = false;
        self.taken.insert((sender, round));
        if let Some(view) = view {
            self.views.insert(sender, view);
        }
        Ok(())
    }

    /// What an error means, given what was received; `own` says it where nothing was.
    fn blame(&mut self, detail: &str, own: &str) -> Failure {
        let differing: Vec<u16> = self
            .views
            .iter()
            .filter(|(_, view)| self.own_view.as_ref().is_some_and(|own| own != *view))
            .filter_map(|(position, _)| self.parties.index(*position))
            .collect();
        if !differing.is_empty() {
            Failure::BroadcastInconsistent { differing }
        } else if self.taken.is_empty() {
            Failure::internal(own)
        } else {
            let convict = || self.running.as_mut()?.guard.convict();
            let convicted = catch_unwind(AssertUnwindSafe(convict)).ok().flatten();
            convicted.unwrap_or_else(|| Failure::protocol(detail))
        }
    }
}

impl<G, S> Machine for Driver<G, S>
where
    G: Guard,
    S: StateMachine<Msg = G::Msg, Output = Result<Output, Ended>>,
{
    fn proceed(&mut self) -> Step {
        self.step().unwrap_or_else(|failure| {
            self.running = None;
            Step::Failed(failure)
        })
    }

    fn receive(&mut self, from: u16, broadcast: bool, message: &[u8]) -> Result<(), ReceiveError> {
        self.take(from, broadcast, message)
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
