//! A threshold scheme without any security, for the simulator: it exchanges messages as a real one does, and what comes
//! out has the real forms (auxiliary information from the committed fixtures, shares of a real polynomial, signatures that
//! verify, another one for each execution), but it computes each signature with the whole secret in one place.

use ciborium::into_writer;
use countersign_mpc::{Failure, KeyShareBytes, Machine, Output, Plan, ReceiveError, Scheme, Step, public};
use countersign_wire::key::{EcdsaSignature, PublicKey};
use generic_ec::curves::Secp256k1;
use generic_ec::{NonZero, Point, Scalar};
use k256::ecdsa::SigningKey;
use k256::ecdsa::hazmat::SignPrimitive;
use key_share::{DirtyCoreKeyShare, DirtyKeyInfo, Valid, Validate, VssSetup};
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

/// What the simulator remembers of all keys and signatures.
#[derive(Default)]
pub struct Memory {
    secrets: BTreeMap<PublicKey, (Scalar<Secp256k1>, [u8; 32])>,
    /// Every digest for which some party's machine produced a signature.
    pub signed: BTreeSet<[u8; 32]>,
    /// The executions in which some party's machine produced a signature, by digest.
    pub completed: BTreeMap<[u8; 32], BTreeSet<[u8; 32]>>,
    /// Every share that was dealt (the scalar's bytes): what no host may see.
    pub shares: Vec<Vec<u8>>,
    /// Every execution id with the parties that started it.
    pub executions: BTreeMap<[u8; 32], Vec<u16>>,
    /// For each execution, what each party believes that all of them do: equal, or the protocol above is broken.
    pub plans: BTreeMap<[u8; 32], BTreeMap<u16, [u8; 32]>>,
    /// What was signed, with which key.
    pub signatures: BTreeSet<Signed>,
}

/// A signed digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signed {
    /// The key, from which the path leads to the one that signed.
    pub root: PublicKey,
    pub path: Vec<u32>,
    pub digest: [u8; 32],
}

impl Memory {
    /// Knows the keys of another world too.
    pub fn copy_secrets(&mut self, other: &Self) {
        self.secrets = other.secrets.clone();
        self.shares = other.shares.clone();
    }
}

/// The scheme.
#[derive(Clone, Default)]
pub struct SimulatedScheme {
    /// Shared by all parties of a world.
    pub memory: Arc<Mutex<Memory>>,
}

const ROUNDS: u32 = 2;

struct SimulatedMachine {
    plan: Plan,
    execution: [u8; 32],
    memory: Arc<Mutex<Memory>>,
    round: u32,
    outgoing: VecDeque<(Option<u16>, Vec<u8>)>,
    heard: BTreeSet<(u32, u16)>,
    over: bool,
}

pub(super) fn message(execution: &[u8; 32], round: u32, from: u16) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(execution);
    hash.update(round.to_be_bytes());
    hash.update(from.to_be_bytes());
    let mut bytes = round.to_be_bytes().to_vec();
    bytes.extend_from_slice(&hash.finalize());
    bytes
}

impl Scheme for SimulatedScheme {
    fn start(&self, plan: Plan, _rng: Box<dyn CryptoRngCore + Send>) -> Result<Box<dyn Machine>, Failure> {
        let execution = match &plan {
            Plan::AuxInfo { execution, .. } | Plan::Keygen { execution, .. } | Plan::Sign { execution, .. } => {
                execution.0
            }
        };
        {
            let mut memory = self.memory.lock().unwrap();
            memory.executions.entry(execution).or_default().push(plan.index());
            memory.plans.entry(execution).or_default().insert(plan.index(), common(&plan)?);
        }
        let mut machine = SimulatedMachine {
            plan,
            execution,
            memory: Arc::clone(&self.memory),
            round: 0,
            outgoing: VecDeque::new(),
            heard: BTreeSet::new(),
            over: false,
        };
        machine.speak();
        Ok(Box::new(machine))
    }
}

/// Hash of what all parties of an execution have to agree on.
fn common(plan: &Plan) -> Result<[u8; 32], Failure> {
    let internal = |_| Failure::Internal { detail: "not a share".to_owned() };
    let mut hash = Sha256::new_with_prefix(plan.name());
    match plan {
        Plan::AuxInfo { parties, .. } => hash.update(parties.to_be_bytes()),
        Plan::Keygen { parties, threshold, .. } => {
            hash.update(parties.to_be_bytes());
            hash.update(threshold.to_be_bytes());
        }
        Plan::Sign { signers, share, aux, path, digest, .. } => {
            signers.iter().for_each(|signer| hash.update(signer.to_be_bytes()));
            path.elements().iter().for_each(|element| hash.update(element.to_be_bytes()));
            hash.update(public::outcome(share).map_err(internal)?.commitment);
            hash.update(public::aux_commitment(aux).map_err(internal)?);
            hash.update(digest);
        }
    }
    Ok(hash.finalize().into())
}

impl SimulatedMachine {
    fn speak(&mut self) {
        let bytes = message(&self.execution, self.round, self.plan.index());
        if self.round == 0 {
            self.outgoing.push_back((None, bytes));
        } else {
            self.outgoing.extend(self.plan.peers().into_iter().map(|peer| (Some(peer), bytes.clone())));
        }
    }

    fn output(&mut self) -> Result<Output, Failure> {
        match &self.plan {
            Plan::AuxInfo { index, .. } => Ok(Output::AuxInfo(
                cosigner_dev::test_aux_info(usize::from(*index)).expect("a fixture for each of three parties"),
            )),
            Plan::Keygen { index, parties, threshold, .. } => {
                Ok(Output::KeyShare(self.deal(*index, *parties, *threshold)))
            }
            Plan::Sign { share, path, digest, .. } => self.sign(share, path, digest),
        }
    }

    /// The same polynomial at every party: it is derived from the execution id.
    fn deal(&self, index: u16, parties: u16, threshold: u16) -> KeyShareBytes {
        let coefficient = |k: u16| {
            let seed = Sha256::new().chain_update(self.execution).chain_update(k.to_be_bytes()).finalize();
            Scalar::<Secp256k1>::from_be_bytes_mod_order(seed)
        };
        let points: Vec<Scalar<Secp256k1>> = (1..=parties).map(|i| Scalar::from(u64::from(i))).collect();
        let at = |x: &Scalar<Secp256k1>| (0..threshold).rev().fold(Scalar::zero(), |sum, k| sum * x + coefficient(k));
        let secrets: Vec<Scalar<Secp256k1>> = points.iter().map(at).collect();
        let on_curve = |s: &Scalar<Secp256k1>| NonZero::from_point(Point::generator() * s).expect("not zero by chance");
        let chain_code: [u8; 32] = Sha256::new().chain_update(b"chain").chain_update(self.execution).finalize().into();
        let whole = coefficient(0);
        let public_key = on_curve(&whole);
        self.memory.lock().unwrap().shares.push(secrets[usize::from(index)].to_be_bytes().as_bytes().to_vec());
        let share = DirtyCoreKeyShare {
            i: index,
            key_info: DirtyKeyInfo {
                curve: Default::default(),
                shared_public_key: public_key,
                public_shares: secrets.iter().map(on_curve).collect(),
                vss_setup: Some(VssSetup {
                    min_signers: threshold,
                    I: points.iter().map(|p| NonZero::from_scalar(*p).expect("counted from 1")).collect(),
                }),
                chain_code: Some(chain_code),
            },
            x: NonZero::from_secret_scalar(generic_ec::SecretScalar::new(&mut secrets[usize::from(index)].clone()))
                .expect("not zero"),
        };
        let share: Valid<DirtyCoreKeyShare<Secp256k1>> =
            share.validate().map_err(|_| "invalid").expect("a dealt share is valid");
        let compressed: PublicKey = public_key.to_bytes(true).as_bytes().try_into().expect("33 bytes");
        self.memory.lock().unwrap().secrets.insert(compressed, (whole, chain_code));
        let mut bytes = Vec::new();
        into_writer(&share, &mut bytes).expect("a share encodes");
        KeyShareBytes::from_vec(bytes)
    }

    fn sign(
        &self,
        share: &KeyShareBytes,
        path: &countersign_wire::key::DerivationPath,
        digest: &[u8; 32],
    ) -> Result<Output, Failure> {
        let internal = |detail: &str| Failure::Internal { detail: detail.to_owned() };
        let outcome = public::outcome(share).map_err(|_| internal("not a share"))?;
        let mut memory = self.memory.lock().unwrap();
        let (whole, chain_code) =
            memory.secrets.get(&outcome.public_key).cloned().ok_or_else(|| internal("unknown key"))?;
        let public = hd_wallet::ExtendedPublicKey { public_key: Point::generator() * whole, chain_code };
        let (mut secret, mut parent) = (whole, public);
        for element in path.elements() {
            let index = hd_wallet::NonHardenedIndex::try_from(*element).map_err(|_| internal("path"))?;
            let step = <hd_wallet::Slip10 as hd_wallet::DeriveShift<Secp256k1>>::derive_public_shift(&parent, index);
            secret += step.shift;
            parent = step.child_public_key;
        }
        let key = SigningKey::from_slice(secret.to_be_bytes().as_bytes()).map_err(|_| internal("secret"))?;
        let prehash = (*digest).into();
        let scalar = key.as_nonzero_scalar();
        let signed = scalar.try_sign_prehashed_rfc6979::<Sha256>(&prehash, &self.execution);
        let (signature, recovery) = signed.map_err(|_| internal("signing"))?;
        let recovery = recovery.ok_or_else(|| internal("no recovery id"))?;
        let (r, s) = signature.split_bytes();
        memory.signed.insert(*digest);
        let what = Signed { root: outcome.public_key, path: path.elements().to_vec(), digest: *digest };
        memory.signatures.insert(what);
        memory.completed.entry(*digest).or_default().insert(self.execution);
        Ok(Output::Signature(EcdsaSignature { r: r.into(), s: s.into(), v: recovery.to_byte() }))
    }
}

impl Machine for SimulatedMachine {
    fn proceed(&mut self) -> Step {
        if let Some((to, message)) = self.outgoing.pop_front() {
            return Step::Send { to, message };
        }
        let peers = self.plan.peers();
        while peers.iter().all(|peer| self.heard.contains(&(self.round, *peer))) {
            if self.round + 1 == ROUNDS {
                self.over = true;
                return self.output().map_or_else(Step::Failed, Step::Done);
            }
            self.round += 1;
            self.speak();
            if let Some((to, message)) = self.outgoing.pop_front() {
                return Step::Send { to, message };
            }
        }
        Step::NeedMessage
    }

    fn receive(&mut self, from: u16, broadcast: bool, bytes: &[u8]) -> Result<(), ReceiveError> {
        if self.over {
            return Err(ReceiveError::NotExpected);
        }
        if !self.plan.peers().contains(&from) {
            return Err(ReceiveError::NotAParty { from });
        }
        let round = (0..ROUNDS).find(|round| message(&self.execution, *round, from) == bytes);
        let round = round.ok_or(ReceiveError::Malformed("not a message of this execution and sender"))?;
        if broadcast != (round == 0) {
            return Err(ReceiveError::WrongDelivery { expected_broadcast: round == 0 });
        }
        if !self.heard.insert((round, from)) {
            return Err(ReceiveError::Duplicate { from, round: round as u16 });
        }
        Ok(())
    }
}
