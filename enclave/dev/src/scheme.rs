use crate::test_aux_info;
use countersign_mpc::{Failure, Machine, Output, Plan, ReceiveError, Scheme, Step};
use rand_core::CryptoRngCore;
use std::collections::BTreeSet;

/// Parties of the group whose auxiliary information is committed.
const PARTIES: u16 = 3;

/// A scheme, except that the auxiliary information of groups of three is the committed one ([`test_aux_info`]): they skip
/// the protocol that makes it, most of what setting up a system takes. Everybody knows what it holds.
pub struct WithTestAuxInfo<S>(pub S);

impl<S: Scheme> Scheme for WithTestAuxInfo<S> {
    fn start(&self, plan: Plan, rng: Box<dyn CryptoRngCore + Send>) -> Result<Box<dyn Machine>, Failure> {
        match plan {
            Plan::AuxInfo { execution, index, parties: PARTIES, .. } if index < PARTIES => Ok(Box::new(Meeting {
                execution: execution.0,
                index,
                waiting_for: (0..PARTIES).filter(|party| *party != index).collect(),
                said: false,
            })),
            plan => self.0.start(plan, rng),
        }
    }
}

/// The parties tell each other that they are there, so that it takes all of them, as the protocol does.
struct Meeting {
    execution: [u8; 32],
    index: u16,
    waiting_for: BTreeSet<u16>,
    said: bool,
}

impl Machine for Meeting {
    fn proceed(&mut self) -> Step {
        if !self.said {
            self.said = true;
            return Step::Send { to: None, message: self.execution.to_vec() };
        }
        if !self.waiting_for.is_empty() {
            return Step::NeedMessage;
        }
        match test_aux_info(usize::from(self.index)) {
            Ok(aux) => Step::Done(Output::AuxInfo(aux)),
            Err(error) => Step::Failed(Failure::Internal { detail: error.to_string() }),
        }
    }

    fn receive(&mut self, from: u16, broadcast: bool, message: &[u8]) -> Result<(), ReceiveError> {
        if from >= PARTIES || from == self.index {
            return Err(ReceiveError::NotAParty { from });
        }
        if message != self.execution {
            return Err(ReceiveError::Malformed("not a message of this execution"));
        }
        if !broadcast {
            return Err(ReceiveError::WrongDelivery { expected_broadcast: true });
        }
        if !self.waiting_for.remove(&from) {
            return Err(ReceiveError::Duplicate { from, round: 0 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_mpc::ExecutionId;
    use countersign_mpc::public::aux_commitment;
    use rand_core::OsRng;

    /// Says which plan it was given.
    struct Inner;

    impl Scheme for Inner {
        fn start(&self, plan: Plan, _: Box<dyn CryptoRngCore + Send>) -> Result<Box<dyn Machine>, Failure> {
            Err(Failure::Internal { detail: plan.name().to_owned() })
        }
    }

    fn aux(index: u16, parties: u16) -> Result<Box<dyn Machine>, Failure> {
        let primes = crate::test_primes(0).unwrap();
        let plan = Plan::AuxInfo { execution: ExecutionId([7; 32]), index, parties, primes };
        WithTestAuxInfo(Inner).start(plan, Box::new(OsRng))
    }

    #[test]
    fn three_parties_that_hear_of_each_other_have_the_committed_information() {
        let mut machines: Vec<_> = (0..3).map(|index| aux(index, 3).unwrap()).collect();
        let mut commitments = BTreeSet::new();
        for machine in &mut machines {
            assert!(matches!(machine.proceed(), Step::Send { to: None, message } if message == [7; 32]));
        }
        for to in 0..3u16 {
            let machine = &mut machines[usize::from(to)];
            for from in (0..3).filter(|from| *from != to) {
                assert!(matches!(machine.proceed(), Step::NeedMessage));
                assert_eq!(
                    machine.receive(from, true, &[8; 32]).unwrap_err(),
                    ReceiveError::Malformed("not a message of this execution")
                );
                machine.receive(from, true, &[7; 32]).unwrap();
                assert_eq!(
                    machine.receive(from, true, &[7; 32]).unwrap_err(),
                    ReceiveError::Duplicate { from, round: 0 }
                );
            }
            let Step::Done(Output::AuxInfo(aux)) = machine.proceed() else { panic!("expected auxiliary information") };
            commitments.insert(aux_commitment(&aux).unwrap());
        }
        assert_eq!(commitments.len(), 1);
    }

    #[test]
    fn all_other_plans_are_the_scheme_s() {
        let passed = |result: Result<Box<dyn Machine>, Failure>| match result.map(|_| ()) {
            Err(Failure::Internal { detail }) => detail,
            other => panic!("expected the inner scheme, got {other:?}"),
        };
        assert_eq!(passed(aux(0, 4)), "auxiliary information");
        let plan = Plan::Keygen { execution: ExecutionId([7; 32]), index: 0, parties: 3, threshold: 2 };
        assert_eq!(passed(WithTestAuxInfo(Inner).start(plan, Box::new(OsRng))), "key generation");
    }
}
