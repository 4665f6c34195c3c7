//! Parties whose threshold scheme misbehaves when it signs, while their core and their channels are genuine: what one
//! malicious co-signer can do to the others.

use super::scheme::{SimulatedScheme, message};
use countersign_mpc::{Failure, Machine, Output, Plan, ReceiveError, Scheme, Step};
use rand_core::CryptoRngCore;
use std::collections::{BTreeMap, VecDeque};

/// What a machine does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its messages are none of the scheme.
    Garbage,
    /// It finds a peer's proof false at the end.
    FindsFalseProof,
    /// It finds the proof of the peer with this index false at the end, and can show it.
    Convicts(u16),
    /// It hears from others that they received other broadcasts, at the end.
    FindsInconsistency,
    /// It takes different broadcasts for a false proof.
    MistakesInconsistency,
    /// It outputs a signature that does not verify.
    WrongSignature,
    /// It says nothing and hears nothing.
    Silent,
}

/// A scheme with a fault in signing.
pub struct Faulty {
    /// What is right.
    pub inner: Box<dyn Scheme>,
    /// What is wrong.
    pub fault: Fault,
}

struct FaultyMachine {
    inner: Box<dyn Machine>,
    fault: Fault,
}

impl Scheme for Faulty {
    fn start(&self, plan: Plan, rng: Box<dyn CryptoRngCore + Send>) -> Result<Box<dyn Machine>, Failure> {
        let signing = matches!(plan, Plan::Sign { .. });
        let inner = self.inner.start(plan, rng)?;
        Ok(if signing { Box::new(FaultyMachine { inner, fault: self.fault }) } else { inner })
    }
}

impl Machine for FaultyMachine {
    fn proceed(&mut self) -> Step {
        if self.fault == Fault::Silent {
            return Step::NeedMessage;
        }
        match (self.fault, self.inner.proceed()) {
            (Fault::Garbage, Step::Send { to, .. }) => Step::Send { to, message: vec![0xff; 40] },
            (Fault::FindsFalseProof, Step::Done(_)) => {
                Step::Failed(Failure::Protocol { culprit: None, detail: "a proof of somebody is false".into() })
            }
            (Fault::Convicts(culprit), Step::Done(_)) => {
                let detail = "its proof is false".into();
                Step::Failed(Failure::Protocol { culprit: Some(culprit), detail })
            }
            (Fault::MistakesInconsistency, Step::Failed(_)) => {
                Step::Failed(Failure::Protocol { culprit: None, detail: "something is false".into() })
            }
            (Fault::FindsInconsistency, Step::Done(_)) => {
                Step::Failed(Failure::BroadcastInconsistent { differing: vec![0] })
            }
            (Fault::WrongSignature, Step::Done(Output::Signature(mut signature))) => {
                signature.r[31] ^= 1;
                Step::Done(Output::Signature(signature))
            }
            (_, step) => step,
        }
    }

    fn receive(&mut self, from: u16, broadcast: bool, bytes: &[u8]) -> Result<(), ReceiveError> {
        match self.fault {
            Fault::Silent => Ok(()),
            _ => self.inner.receive(from, broadcast, bytes),
        }
    }
}

/// A scheme in which parties tell each other what they heard as broadcasts, as real ones do when they sign.
pub struct Echoing {
    /// The scheme around which that happens.
    pub inner: SimulatedScheme,
    /// What a lying party broadcasts; `None` for an honest party, which always broadcasts 0.
    pub lie: Option<u8>,
}

/// Bytes of a message of the inner scheme.
const INNER_BYTES: usize = 36;

struct EchoingMachine {
    inner: Box<dyn Machine>,
    heard: BTreeMap<u16, u8>,
    echoes: BTreeMap<u16, Vec<(u16, u8)>>,
}

/// Says one thing, tells each peer what it wants to hear, and waits for nobody.
struct Liar(VecDeque<(Option<u16>, Vec<u8>)>);

impl Scheme for Echoing {
    fn start(&self, plan: Plan, rng: Box<dyn CryptoRngCore + Send>) -> Result<Box<dyn Machine>, Failure> {
        let Plan::Sign { execution, index, .. } = &plan else { return self.inner.start(plan, rng) };
        let (execution, index) = (execution.0, *index);
        if let Some(lie) = self.lie {
            let mut broadcast = message(&execution, 0, index);
            broadcast.push(lie);
            let mut outgoing = VecDeque::from([(None, broadcast)]);
            for peer in plan.peers() {
                let mut echo = message(&execution, 1, index);
                echo.extend([index.to_be_bytes()[0], index.to_be_bytes()[1], lie]);
                outgoing.push_back((Some(peer), echo));
            }
            return Ok(Box::new(Liar(outgoing)));
        }
        let inner = self.inner.start(plan, rng)?;
        Ok(Box::new(EchoingMachine { inner, heard: BTreeMap::from([(index, 0)]), echoes: BTreeMap::new() }))
    }
}

impl Machine for Liar {
    fn proceed(&mut self) -> Step {
        self.0.pop_front().map_or(Step::NeedMessage, |(to, message)| Step::Send { to, message })
    }

    fn receive(&mut self, _from: u16, _broadcast: bool, _bytes: &[u8]) -> Result<(), ReceiveError> {
        Ok(())
    }
}

impl EchoingMachine {
    fn differing(&self) -> Vec<u16> {
        let differs =
            |echo: &[(u16, u8)]| echo.iter().any(|(of, said)| self.heard.get(of).is_some_and(|own| own != said));
        self.echoes.iter().filter(|(_, echo)| differs(echo)).map(|(from, _)| *from).collect()
    }
}

impl Machine for EchoingMachine {
    fn proceed(&mut self) -> Step {
        let differing = self.differing();
        if !differing.is_empty() {
            return Step::Failed(Failure::BroadcastInconsistent { differing });
        }
        match self.inner.proceed() {
            Step::Send { to: None, mut message } => {
                message.push(0);
                Step::Send { to: None, message }
            }
            Step::Send { to, mut message } => {
                for (of, said) in &self.heard {
                    message.extend([of.to_be_bytes()[0], of.to_be_bytes()[1], *said]);
                }
                Step::Send { to, message }
            }
            step => step,
        }
    }

    fn receive(&mut self, from: u16, broadcast: bool, bytes: &[u8]) -> Result<(), ReceiveError> {
        let (inner, rest) = bytes.split_at_checked(INNER_BYTES).ok_or(ReceiveError::Malformed("too short"))?;
        self.inner.receive(from, broadcast, inner)?;
        match (broadcast, rest) {
            (true, [said]) => drop(self.heard.insert(from, *said)),
            (true, _) => return Err(ReceiveError::Malformed("expected one byte")),
            (false, rest) => {
                let echo = rest.chunks_exact(3).map(|c| (u16::from_be_bytes([c[0], c[1]]), c[2])).collect();
                self.echoes.insert(from, echo);
            }
        }
        Ok(())
    }
}
