//! A claimed, paired group of three with a key: made once a process, then every run starts from a copy of its disks.

use super::cosigner::{Disk, measurements};
use super::faults::Faults;
use super::people::{Client, SimulatedHandler};
use super::scheme::SimulatedScheme;
use super::workspace::{Keys, SimulatedWorkspace, Store};
use super::world::{START_MS, World};
use cosigner_core::Input;
use cosigner_dev::{DevelopmentRoot, DocumentContent, DocumentSigner};
use cosigner_workspace::ceremony::{Input as Notice, TransactionRecord};
use countersign_channel::{AttestationPolicy, Transport, accepted_measurements, admin::AdminInitiator};
use countersign_token::{PublicKey, SigningKey, generate_p256};
use countersign_wire::admin::{AdminPacket, AdminRequest, AdminResponse, Done};
use countersign_wire::command::{
    AddUser, ApprovalSetting, Change, Command, Measurements, OperatorSignature, SignedCommand,
};
use countersign_wire::group::{Group, Party, Role};
use countersign_wire::ids::{ApiUserId, GroupId, KeyId, OperatorId, PairingId, PartyId, TransactionId};
use countersign_wire::key::{Algorithm, DerivationPath, KeyPurpose, KeyStatus, Operation, PublicKey as SignerKey};
use countersign_wire::signed::sign_bytes;
use countersign_wire::status::Description;
use countersign_wire::transaction::TransactionRequest;
use countersign_wire::{Bytes, List, Message, SigningIdentity, Text};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The vault account of the base world.
pub const VAULT: u32 = 0;

/// How the base world is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// How many of the three sign.
    pub threshold: u16,
    /// Whether only what an initiator asked for is signed.
    pub require_intent: bool,
    /// A second image that every operator lists beside the common one: its PCR2 is this byte all over.
    pub second_image: Option<u8>,
}

impl Default for Setting {
    fn default() -> Self {
        Self { threshold: 3, require_intent: true, second_image: None }
    }
}

/// What all worlds of a process share.
pub struct Base {
    pub root: DevelopmentRoot,
    pub signer: Arc<DocumentSigner>,
    pub callback_key: Vec<u8>,
    pub callback_public: Option<PublicKey>,
    pub client: Client,
    pub signer_user: ApiUserId,
    pub operator: SigningIdentity,
    pub handler: SimulatedHandler,
    pub workspace_keys: Arc<Keys>,
}

/// The base world after set-up.
struct Ready {
    base: Arc<Base>,
    disks: Vec<Disk>,
    parties: Vec<PartyId>,
    pairings: Vec<PairingId>,
    store: Store,
    scheme: SimulatedScheme,
    now: u64,
}

/// The group of the base world.
pub const GROUP: GroupId = GroupId([7; 16]);
/// The key of the base world.
pub const KEY: KeyId = KeyId([9; 16]);

impl Base {
    fn new() -> Self {
        let root = usual_root();
        let signer = Arc::new(usual_signer(&root));
        let callback_key = generate_p256().expect("a key").to_vec();
        let callback_public = SigningKey::from_pkcs8_der(&callback_key).ok().map(|k| k.public().clone());
        Self {
            root,
            signer,
            callback_key,
            callback_public,
            client: Client::new("client-1"),
            signer_user: "signer-1".parse().expect("an id"),
            operator: SigningIdentity::from_secret(&[77; 32]),
            handler: SimulatedHandler::default(),
            workspace_keys: Arc::new(Keys::new(1)),
        }
    }

    fn ready(setting: Setting) -> &'static Ready {
        static READY: Mutex<BTreeMap<Setting, &'static Ready>> = Mutex::new(BTreeMap::new());
        let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
        ready.entry(setting).or_insert_with(|| Box::leak(Box::new(set_up(setting))))
    }

    /// A world that starts from the base, with its co-signers booting.
    pub fn world(seed: u64, faults: Faults) -> World {
        Self::world_of(Setting::default(), seed, faults)
    }

    /// The same, of a base world that was set up otherwise.
    pub fn world_of(setting: Setting, seed: u64, faults: Faults) -> World {
        let ready = Self::ready(setting);
        let scheme = SimulatedScheme::default();
        {
            let known = ready.scheme.memory.lock().expect("not poisoned");
            scheme.memory.lock().expect("fresh").copy_secrets(&known);
        }
        let workspace = SimulatedWorkspace::new(Arc::clone(&ready.base.workspace_keys), ready.store.clone());
        let mut world = World::new(
            Arc::clone(&ready.base),
            seed,
            faults,
            workspace,
            ready.disks.clone(),
            scheme,
            ready.base.handler.clone(),
            ready.now,
        );
        for i in 0..ready.disks.len() {
            world.cosigners[i].party = Some(ready.parties[i]);
            world.cosigners[i].pairing = Some(ready.pairings[i]);
            world.boot(i);
        }
        world
    }

    /// The same, once all links are up.
    pub fn connected(seed: u64, faults: Faults) -> World {
        Self::connected_of(Setting::default(), seed, faults)
    }

    /// The same, of a base world that was set up otherwise.
    pub fn connected_of(setting: Setting, seed: u64, faults: Faults) -> World {
        let mut world = Self::world_of(setting, seed, faults);
        assert!(world.run(120_000, |w| w.cosigners.iter().all(|c| c.link_open)), "links come up");
        world
    }
}

/// Bytes of the root's certificate, and of all certificates in a document, where each ECDSA signature in them takes its
/// longest DER form.
const USUAL_BYTES: (usize, usize) = (540, 1835);
/// Most keys that are made for that. A quarter of all certificates has the longest form.
const MAX_TRIES: usize = 4_000;

/// A root whose certificate is as long as every run's. Keys and signatures come from the cryptographic library, which
/// takes no seed: what a seed decides must not depend on them, and so it may depend on the lengths of frames only if these
/// are always the same.
fn usual_root() -> DevelopmentRoot {
    let mut seen = BTreeSet::new();
    for _ in 0..MAX_TRIES {
        let root = DevelopmentRoot::generate().expect("a root");
        if root.certificate_der().len() == USUAL_BYTES.0 {
            return root;
        }
        seen.insert(root.certificate_der().len());
    }
    panic!("expected a root's certificate of {} bytes, got {seen:?}: correct USUAL_BYTES", USUAL_BYTES.0)
}

/// A signer of documents under `root` with certificates of the usual length.
fn usual_signer(root: &DevelopmentRoot) -> DocumentSigner {
    let mut seen = BTreeSet::new();
    for _ in 0..MAX_TRIES {
        let signer = DocumentSigner::issue(root, "simulated", START_MS).expect("a leaf");
        let content = DocumentContent {
            module_id: String::new(),
            timestamp_ms: START_MS,
            pcrs: BTreeMap::new(),
            public_key: None,
            user_data: None,
            nonce: None,
        };
        let bytes = signer.document(&content).expect("a document").len();
        if bytes == USUAL_BYTES.1 {
            return signer;
        }
        seen.insert(bytes);
    }
    panic!("expected an empty document of {} bytes, got {seen:?}: correct USUAL_BYTES", USUAL_BYTES.1)
}

/// An operator's CLI on one co-signer.
pub struct SimulatedCli {
    transport: Transport,
    cosigner: usize,
    connection: u64,
    pub description: Option<Description>,
}

impl SimulatedCli {
    /// Opens the admin channel.
    pub fn open(world: &mut World, cosigner: usize, connection: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(connection);
        let (mut handshake, noise) = AdminInitiator::start(&mut rng).expect("starts");
        world.input(cosigner, 1, Input::AdminOpened { connection });
        let packet = AdminPacket::Handshake1 { noise: Bytes::new(noise).expect("small") }.encode();
        world.input(cosigner, 2, Input::Admin { connection, packet });
        assert!(
            world.run(10_000, |w| !w.cosigners[cosigner].admin_mail.is_empty()),
            "the enclave answers the handshake"
        );
        let packet = world.cosigners[cosigner].admin_mail.pop_front().expect("there");
        let Ok(AdminPacket::Handshake2 { noise, .. }) = AdminPacket::decode(&packet) else { panic!("not a handshake") };
        let anchor = world.base.root.trust_anchor().expect("an anchor");
        let accepted = accepted_measurements(&[measurements()]);
        let policy =
            AttestationPolicy { anchor: &anchor, now_ms: world.now, max_age_ms: 60_000, measurements: &accepted };
        let channel = handshake.finish(&noise, &policy).expect("a genuine enclave");
        Self { transport: channel.transport, cosigner, connection, description: None }
    }

    /// One request and its response.
    pub fn ask(&mut self, world: &mut World, request: &AdminRequest) -> AdminResponse {
        for (counter, sealed) in self.transport.seal(&request.encode()).expect("sealed") {
            let packet = AdminPacket::Data { counter, sealed: Bytes::new(sealed).expect("small") }.encode();
            world.input(self.cosigner, 1, Input::Admin { connection: self.connection, packet });
        }
        loop {
            let cosigner = self.cosigner;
            assert!(world.run(60_000, |w| !w.cosigners[cosigner].admin_mail.is_empty()), "the enclave answers");
            let packet = world.cosigners[cosigner].admin_mail.pop_front().expect("there");
            let Ok(AdminPacket::Data { counter, sealed }) = AdminPacket::decode(&packet) else { panic!("not data") };
            if let Some(plaintext) = self.transport.open(counter, &sealed).expect("ours") {
                return AdminResponse::decode(&plaintext).expect("a response");
            }
        }
    }

    /// A change, signed by the base world's operator.
    pub fn change(&mut self, world: &mut World, change: Change) -> AdminResponse {
        let base = Arc::clone(&world.base);
        let signed = self.signed(world, change, &base.operator);
        self.ask(world, &AdminRequest::Command(signed))
    }

    /// A command for this connection, signed by `operator`.
    pub fn signed(&mut self, world: &mut World, change: Change, operator: &SigningIdentity) -> SignedCommand {
        let AdminResponse::Described(description) = self.ask(world, &AdminRequest::Describe) else {
            panic!("no description")
        };
        let command = Command {
            instance: description.instance,
            settings_epoch: description.settings_epoch,
            nonce: description.nonce,
            change,
        };
        let bytes = command.encode();
        let signature = OperatorSignature {
            operator: OperatorId(operator.public()),
            signature: sign_bytes(Command::NAME, &bytes, operator),
        };
        self.description = Some(description);
        SignedCommand {
            command: Bytes::new(bytes).expect("small"),
            signatures: List::new(vec![signature]).expect("one"),
        }
    }

    /// Hangs up.
    pub fn close(self, world: &mut World) {
        world.input(self.cosigner, 1, Input::AdminClosed { connection: self.connection });
        world.run(2, |_| false);
    }

    /// The host's number of this connection.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// The packets of a request, sealed for this connection and not sent.
    pub fn sealed(&mut self, request: &AdminRequest) -> Vec<Vec<u8>> {
        let parts = self.transport.seal(&request.encode()).expect("sealed");
        let packet =
            |(counter, sealed)| AdminPacket::Data { counter, sealed: Bytes::new(sealed).expect("small") }.encode();
        parts.into_iter().map(packet).collect()
    }
}

/// The `add-user` of the base world's co-signer `i`: the first is the customer's.
pub fn add_user(world: &World, i: usize, user: &str, jti: &str) -> AddUser {
    let base = &world.base;
    AddUser {
        token: Text::new(base.workspace_keys.pairing_token(user, jti, world.now)).expect("small"),
        workspace: base.workspace_keys.fingerprint(),
        workspace_root: None,
        workspace_networks: List::default(),
        role: if i == 0 { Role::Customer } else { Role::Cloud },
        initiators: List::new(vec![base.client.initiator()]).expect("one"),
        peer_measurements: List::default(),
        require_intent: true,
        allow_raw: i == 0,
        approval: if i == 0 { ApprovalSetting::Handler(base.handler.settings()) } else { ApprovalSetting::None },
    }
}

/// The purpose of the base world's key.
pub fn purpose(user: &ApiUserId) -> KeyPurpose {
    KeyPurpose {
        algorithm: Algorithm::EcdsaSecp256k1,
        coin_type: 60,
        operations: List::new(vec![Operation::Raw, Operation::TypedMessage]).expect("two"),
        signer: user.clone(),
    }
}

fn set_up(setting: Setting) -> Ready {
    let mut world = Base::empty(1);
    let base = Arc::clone(&world.base);
    for i in 0..3 {
        world.boot(i);
        world.run(1_000, |_| false);
        world.claim(i);
        world.pair(i, setting);
    }
    let group = world.whole_group(GROUP, setting.threshold);
    world.notify(Notice::ProposeGroup { group: group.clone() });
    world.run(5_000, |_| false);
    for i in 0..3 {
        world.accept(i, &group);
    }
    assert!(world.run(120_000, |w| w.workspace.group_is_ready(&GROUP)), "the group becomes ready");
    world.notify(Notice::GenerateKey { key: KEY, group: GROUP, purpose: purpose(&base.signer_user) });
    assert!(world.run(120_000, |w| w.key_is_ready(&KEY)), "the key becomes ready");
    world.notify(Notice::Certify {
        key: KEY,
        vault_account: VAULT,
        asset: Text::new("ETH").expect("short"),
        path: path(),
    });
    assert!(world.run(60_000, |w| w.workspace.store.certificates.contains_key(&KEY)), "the key is certified");
    assert!(
        world.workspace.store.certificates[&KEY].certificate.is_some(),
        "{:?}",
        world.workspace.store.certificates[&KEY].refusal
    );
    world.run(10_000, |_| false);
    Ready {
        disks: world.cosigners.iter().map(|c| c.disk.clone()).collect(),
        parties: world.cosigners.iter().map(|c| c.party.expect("paired")).collect(),
        pairings: world.cosigners.iter().map(|c| c.pairing.expect("paired")).collect(),
        store: world.workspace.store.clone(),
        scheme: world.scheme.clone(),
        now: world.now,
        base,
    }
}

impl Base {
    /// A world of three co-signers that nobody has booted or claimed.
    pub fn empty(seed: u64) -> World {
        let base = Arc::new(Self::new());
        let workspace = SimulatedWorkspace::new(Arc::clone(&base.workspace_keys), Store::default());
        let (disks, scheme, handler) = (vec![Disk::default(); 3], SimulatedScheme::default(), base.handler.clone());
        World::new(base, seed, Faults::none(), workspace, disks, scheme, handler, START_MS)
    }
}

impl World {
    /// The claim of the base world's operator.
    pub fn claim_of(&self) -> Change {
        let operator = (OperatorId(self.base.operator.public()), Text::new("operator").expect("short"));
        Change::Claim {
            operators: List::new(vec![operator]).expect("one"),
            required: 1,
            sealing_key: Text::new("simulated").expect("short"),
        }
    }

    /// The base world's operator claims co-signer `i`.
    pub fn claim(&mut self, i: usize) {
        let claim = self.claim_of();
        assert_eq!(self.operator(i, claim), AdminResponse::Done(Done::Claimed));
    }

    /// Pairs co-signer `i` with the workspace.
    pub fn pair(&mut self, i: usize, setting: Setting) {
        let user = if i == 0 { self.base.signer_user.to_string() } else { format!("cloud-{i}") };
        let mut add = add_user(self, i, &user, &format!("jti-{i}"));
        add.require_intent = setting.require_intent;
        if let Some(byte) = setting.second_image {
            let second = Measurements { pcr2: [byte; 48], ..measurements() };
            add.peer_measurements = List::new(vec![measurements(), second]).expect("two");
        }
        match self.operator(i, Change::AddUser(Box::new(add))) {
            AdminResponse::Done(Done::UserAdded { party, pairing, .. }) => {
                self.cosigners[i].party = Some(party);
                self.cosigners[i].pairing = Some(pairing);
                if self.cosigners[i].link_open {
                    self.notify(Notice::Connected { party });
                }
            }
            other => panic!("not added: {other:?}"),
        }
    }

    /// A group of all co-signers; the first is the customer's.
    pub fn whole_group(&self, id: GroupId, threshold: u16) -> Group {
        let role = |i| if i == 0 { Role::Customer } else { Role::Cloud };
        let parties = self.cosigners.iter().enumerate();
        let mut parties: Vec<Party> =
            parties.map(|(i, c)| Party { id: c.party.expect("paired"), role: role(i) }).collect();
        parties.sort_by_key(|p| p.id);
        let parties = List::new(parties).expect("three");
        Group { workspace: self.base.workspace_keys.id, id, parties, threshold }
    }

    /// Operators of co-signer `i` accept a group.
    pub fn accept(&mut self, i: usize, group: &Group) {
        let pairing = self.cosigners[i].pairing.expect("paired");
        let accepted = self.operator(i, Change::AcceptGroup { pairing, group: group.clone() });
        assert_eq!(accepted, AdminResponse::Done(Done::GroupAccepted { group: group.id }));
    }
}

/// The path of the base world's vault account.
pub fn path() -> DerivationPath {
    path_of(VAULT)
}

/// The path of a vault account.
pub fn path_of(vault: u32) -> DerivationPath {
    DerivationPath::vault(60, vault, 0, 0).expect("a path")
}

impl World {
    /// Whether a key is READY at the workspace.
    pub fn key_is_ready(&self, key: &KeyId) -> bool {
        self.workspace.store.keys.get(key).is_some_and(|k| k.status == KeyStatus::Ready)
    }

    /// The public key of the base world's vault account.
    pub fn vault_key(&self) -> SignerKey {
        self.certified_key(&KEY)
    }

    /// The public key that a certificate of this key names.
    pub fn certified_key(&self, key: &KeyId) -> SignerKey {
        let certificate = self.workspace.store.certificates[key].certificate.as_ref().expect("certified");
        certificate.peek_unverified().expect("decodes").public_key
    }

    /// A client's request over a message, for the base world's key.
    pub fn request(&self, n: u8, text: &str, note: &str) -> TransactionRequest {
        let body = Client::message_body(text, note, Some(&format!("external-{n}")), VAULT);
        self.request_with(n, body, &format!("nonce-{n}"))
    }

    /// A client's request with any body.
    pub fn request_with(&self, n: u8, body: Vec<u8>, nonce: &str) -> TransactionRequest {
        let base = &self.base;
        base.client.request(TransactionId([n; 16]), GROUP, KEY, &base.signer_user, body, nonce, self.now)
    }

    /// Hands a request to the coordinator, as the workspace's API does.
    pub fn submit(&mut self, request: TransactionRequest, digest: [u8; 32], operation: Operation) {
        self.submit_all(request, vec![digest], operation, (VAULT, self.vault_key()));
    }

    /// The same with several digests, and any vault account with its public key.
    pub fn submit_all(
        &mut self,
        request: TransactionRequest,
        digests: Vec<[u8; 32]>,
        operation: Operation,
        (vault, public_key): (u32, SignerKey),
    ) {
        let record = TransactionRecord::new(
            request,
            operation,
            digests,
            path_of(vault),
            public_key,
            self.now,
            self.workspace.settings.authorise_ms,
        );
        self.workspace.store.put(cosigner_workspace::ceremony::Record::Transaction(record.clone()));
        self.notify(Notice::Submit(Box::new(record)));
    }
}

/// The digest of an EIP-191 message, from the standard.
pub fn eip191(text: &str) -> [u8; 32] {
    use sha3::{Digest, Keccak256};
    let prefix = format!("\x19Ethereum Signed Message:\n{}", text.len());
    Keccak256::new().chain_update(prefix).chain_update(text).finalize().into()
}
