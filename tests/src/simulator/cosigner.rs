//! One co-signer: a real core, its host's disk, and the machines of its workers.

use cosigner_core::{Attestor, Capabilities, Core};
use cosigner_dev::{DevelopmentRoot, DocumentContent, DocumentSigner};
use countersign_channel::AttestorError;
use countersign_mpc::Machine;
use countersign_wire::command::Measurements;
use countersign_wire::host_link::{BlobName, BlobWrite, Counter};
use countersign_wire::ids::{PairingId, PartyId};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Measurements of the simulated image.
pub fn measurements() -> Measurements {
    Measurements { pcr0: [1; 48], pcr1: [2; 48], pcr2: [3; 48], pcr8: None }
}

/// A security module that signs real documents with a leaf of the world's root, at the world's time.
pub struct SimulatedNsm {
    pub signer: Arc<DocumentSigner>,
    pub now_ms: Arc<AtomicU64>,
    /// The image that it measured.
    pub image: Measurements,
}

impl Attestor for SimulatedNsm {
    fn document(&mut self, nonce: &[u8], user_data: &[u8], public_key: &[u8]) -> Result<Vec<u8>, AttestorError> {
        let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
        let m = &self.image;
        let content = DocumentContent {
            module_id: "simulated".into(),
            timestamp_ms: self.now_ms.load(Ordering::Relaxed),
            pcrs: BTreeMap::from([(0, m.pcr0), (1, m.pcr1), (2, m.pcr2)]),
            nonce: some(nonce),
            user_data: some(user_data),
            public_key: some(public_key),
        };
        self.signer.document(&content).map_err(|e| AttestorError { detail: e.to_string() })
    }
}

/// What the host stores. A batch is durable when it was applied; what is not applied yet may or may not survive a crash.
#[derive(Default, Clone)]
pub struct Disk {
    pub blobs: BTreeMap<BlobName, Vec<u8>>,
    pub pending: VecDeque<(u64, Vec<BlobWrite>)>,
    /// The last batch of this boot that was applied: what is sent again is acknowledged, and not applied once more.
    pub applied: u64,
}

impl Disk {
    pub fn apply_next(&mut self) -> Option<u64> {
        let (sequence, writes) = self.pending.pop_front()?;
        if sequence <= self.applied {
            return Some(sequence);
        }
        self.applied = sequence;
        for write in writes {
            match write.value {
                Some(value) => self.blobs.insert(write.name, value.into_vec()),
                None => self.blobs.remove(&write.name),
            };
        }
        Some(sequence)
    }
}

/// A co-signer.
pub struct SimulatedCosigner {
    pub core: Option<Core>,
    /// Counts boots; what belongs to an earlier one is dropped.
    pub generation: u64,
    /// Whether its host is there.
    pub attached: bool,
    /// Counts connections of the host; what was under way on an earlier one is lost.
    pub connection: u64,
    pub disk: Disk,
    pub machines: BTreeMap<u64, Box<dyn Machine>>,
    /// When the last report of each job arrives.
    pub reported: BTreeMap<u64, u64>,
    pub pairing: Option<PairingId>,
    pub party: Option<PartyId>,
    pub link_open: bool,
    pub wake_at: Option<u64>,
    /// What it last told its host to count.
    pub counters: Vec<Counter>,
    /// Packets for the admin connection.
    pub admin_mail: VecDeque<Vec<u8>>,
    /// Frames that the host saw, to replay them.
    pub seen: VecDeque<Vec<u8>>,
}

impl SimulatedCosigner {
    pub fn new(disk: Disk) -> Self {
        Self {
            core: None,
            generation: 0,
            attached: false,
            connection: 0,
            disk,
            machines: BTreeMap::new(),
            reported: BTreeMap::new(),
            pairing: None,
            party: None,
            link_open: false,
            counters: Vec::new(),
            wake_at: None,
            admin_mail: VecDeque::new(),
            seen: VecDeque::new(),
        }
    }

    /// What a new boot of the core is given.
    pub fn capabilities(
        root: &DevelopmentRoot,
        signer: &Arc<DocumentSigner>,
        now: &Arc<AtomicU64>,
        seed: [u8; 32],
        given_primes: Option<usize>,
        image: Measurements,
    ) -> Capabilities {
        let nsm = SimulatedNsm { signer: Arc::clone(signer), now_ms: Arc::clone(now), image: image.clone() };
        Capabilities {
            entropy: Box::new(ChaCha20Rng::from_seed(seed)),
            attestor: Box::new(nsm),
            anchor: root.trust_anchor().expect("the world's root is one"),
            measurements: image,
            version: "simulated",
            given_primes: given_primes.map(|n| cosigner_dev::test_primes(n % 3).expect("committed primes")),
        }
    }
}
