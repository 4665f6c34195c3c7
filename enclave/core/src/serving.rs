//! A claimed co-signer that knows its state, and the context of one step.

use crate::admin::Rotation;
use crate::approval::{Askings, RequestKeys, Test};
use crate::callback::{Caller, History, Places};
use crate::capability::Capabilities;
use crate::ceremony::Ceremonies;
use crate::effect::{Effect, ExchangeSpec, JobSpec};
use crate::events::{EventLog, Fields};
use crate::ledger::Ledger;
use crate::limits::{MAX_FORGOTTEN_AT_ONCE, MAX_USED_TOKENS};
use crate::pairing::{AddFlow, Link};
use crate::seal::{BlobId, Kind, Sealer};
use crate::state::{
    AskingRecord, AuxRecord, ChangeRecord, KeyRecord, Pairing, PrimesRecord, RequestRecord, Secret, Settings,
    UsedToken, VaultRecord,
};
use countersign_channel::StaticKey;
use countersign_wire::callback::CallbackSubject;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::host_link::HostHealth;
use countersign_wire::ids::{
    ApiUserId, BootId, ChangeId, GroupId, InstanceId, KeyId, PairingId, PartyId, TransactionId,
};
use countersign_wire::message::digest_of;
use countersign_wire::relay::RelayUp;
use countersign_wire::status::Severity;
use countersign_wire::{Bytes, Message, SigningIdentity};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What one step may use, and what it leaves behind.
pub(crate) struct Cx<'a> {
    /// The time of the step (Unix ms).
    pub now: u64,
    /// Randomness, attestation.
    pub caps: &'a mut Capabilities,
    /// Effects, in order. Those that are visible wait for `changes`.
    pub out: Vec<Effect>,
    /// Blobs to seal at the end of the step; the last write of a blob wins.
    pub changes: Vec<(BlobId, Option<Zeroizing<Vec<u8>>>)>,
    /// Numbers and owners of jobs and exchanges.
    pub running: &'a mut Running,
    /// What is counted since the boot.
    pub counts: &'a mut Counts,
    /// This boot.
    pub boot: BootId,
}

/// Jobs and exchanges that run, under numbers that are never used twice within a boot.
#[derive(Default)]
pub(crate) struct Running {
    next: u64,
    pub jobs: BTreeMap<u64, JobOwner>,
    pub exchanges: BTreeMap<u64, ExchangeOwner>,
    /// Whose handler is called next.
    pub places: Places,
}

impl Running {
    fn next(&mut self) -> u64 {
        self.next = self.next.saturating_add(1);
        self.next
    }
}

impl Cx<'_> {
    /// Fresh randomness.
    pub fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0u8; N];
        self.caps.entropy.fill_bytes(&mut bytes);
        bytes
    }

    /// Seals a record at the end of the step.
    pub fn save<M: Message>(&mut self, id: BlobId, record: &M) {
        self.change(id, Some(Zeroizing::new(record.encode())));
    }

    /// Deletes a blob at the end of the step.
    pub fn delete(&mut self, id: BlobId) {
        self.change(id, None);
    }

    fn change(&mut self, id: BlobId, value: Option<Zeroizing<Vec<u8>>>) {
        match self.changes.iter_mut().find(|(known, _)| *known == id) {
            Some(entry) => entry.1 = value,
            None => self.changes.push((id, value)),
        }
    }

    /// Writes a line of the co-signer's own log.
    pub fn event(&mut self, severity: Severity, kind: &str, fields: Fields, text: &str) {
        self.counts.events.write(self.now, severity, kind, fields, text);
    }

    /// Starts a job and returns its number.
    pub fn start_job(&mut self, owner: JobOwner, spec: JobSpec) -> u64 {
        let job = self.running.next();
        self.running.jobs.insert(job, owner);
        self.out.push(Effect::StartJob { job, spec });
        job
    }

    /// Starts an exchange and returns its number.
    pub fn exchange(&mut self, owner: ExchangeOwner, spec: ExchangeSpec) -> u64 {
        let id = self.running.next();
        self.running.exchanges.insert(id, owner);
        self.out.push(Effect::Exchange { id, spec: Box::new(spec) });
        id
    }
}

impl Cx<'_> {
    /// Drops a job; what it still reports is ignored.
    pub fn drop_job(&mut self, job: u64) {
        if self.running.jobs.remove(&job).is_some() {
            self.out.push(Effect::DropJob { job });
        }
    }
}

/// Blob ids, in one place.
pub(crate) mod blobs {
    use super::{BlobId, CallbackSubject, ChangeId, GroupId, KeyId, Kind, PairingId, TransactionId, digest_of};

    fn wide(id: &[u8; 16]) -> [u8; 32] {
        let mut wide = [0u8; 32];
        wide.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
        wide
    }

    pub(crate) fn settings() -> BlobId {
        BlobId { kind: Kind::Settings, pairing: None, id: [0; 32] }
    }
    pub(crate) fn pairing(id: PairingId) -> BlobId {
        BlobId { kind: Kind::Pairing, pairing: Some(id), id: [0; 32] }
    }
    pub(crate) fn spare_primes() -> BlobId {
        BlobId { kind: Kind::Primes, pairing: None, id: [0; 32] }
    }
    pub(crate) fn primes(pairing: PairingId, group: GroupId) -> BlobId {
        BlobId { kind: Kind::Primes, pairing: Some(pairing), id: wide(&group.0) }
    }
    pub(crate) fn aux(pairing: PairingId, group: GroupId) -> BlobId {
        BlobId { kind: Kind::Aux, pairing: Some(pairing), id: wide(&group.0) }
    }
    pub(crate) fn key(pairing: PairingId, key: KeyId) -> BlobId {
        BlobId { kind: Kind::Key, pairing: Some(pairing), id: wide(&key.0) }
    }
    pub(crate) fn request(pairing: PairingId, transaction: TransactionId) -> BlobId {
        BlobId { kind: Kind::Request, pairing: Some(pairing), id: wide(&transaction.0) }
    }
    pub(crate) fn vault(pairing: PairingId, vault_account: u32, asset: &str) -> BlobId {
        let id = digest_of("countersign/vault-blob/v1", format!("{vault_account}/{asset}").as_bytes());
        BlobId { kind: Kind::Vault, pairing: Some(pairing), id }
    }
    pub(crate) fn asking(pairing: PairingId, subject: &CallbackSubject) -> BlobId {
        let id = digest_of("countersign/asking-blob/v1", &borsh::to_vec(subject).unwrap_or_default());
        BlobId { kind: Kind::Asking, pairing: Some(pairing), id }
    }
    pub(crate) fn change(pairing: PairingId, change: ChangeId) -> BlobId {
        BlobId { kind: Kind::Change, pairing: Some(pairing), id: wide(&change.0) }
    }
    pub(crate) fn used_token(jti: &str) -> BlobId {
        BlobId { kind: Kind::UsedToken, pairing: None, id: digest_of("countersign/used-token/v1", jti.as_bytes()) }
    }
}

/// One pairing with everything that belongs to it; nothing of it is reachable from another.
pub(crate) struct PairingState {
    pub record: Pairing,
    pub identity: SigningIdentity,
    pub primes: BTreeMap<GroupId, Secret>,
    pub aux: BTreeMap<GroupId, AuxRecord>,
    pub keys: BTreeMap<KeyId, KeyRecord>,
    pub vaults: BTreeMap<(u32, String), KeyId>,
    pub ledger: Ledger,
    pub ceremonies: Ceremonies,
    pub link: Link,
    /// What callbacks brought since the boot, by API user.
    pub callbacks: BTreeMap<ApiUserId, History>,
    /// Requests that are in front of handlers.
    pub askings: Askings,
    pub request_keys: RequestKeys,
    /// Decisions about configuration changes.
    pub changes: BTreeMap<ChangeId, ChangeRecord>,
    /// How the workspace would have API users' requests approved. In force only once operators sign it.
    pub proposals: BTreeMap<ApiUserId, (ChangeId, ApprovalSetting)>,
}

impl PairingState {
    pub(crate) fn new(record: Pairing, identity: SigningIdentity, channel_key: StaticKey) -> Self {
        Self {
            record,
            identity,
            primes: BTreeMap::new(),
            aux: BTreeMap::new(),
            keys: BTreeMap::new(),
            vaults: BTreeMap::new(),
            ledger: Ledger::default(),
            ceremonies: Ceremonies::new(channel_key),
            link: Link::default(),
            callbacks: BTreeMap::new(),
            askings: Askings::default(),
            request_keys: RequestKeys::default(),
            changes: BTreeMap::new(),
            proposals: BTreeMap::new(),
        }
    }

    /// See [`crate::callback::request_id_secret`].
    pub(crate) fn request_id_secret(&self) -> [u8; 32] {
        crate::callback::request_id_secret(self.record.identity.expose())
    }

    pub(crate) fn party(&self) -> PartyId {
        PartyId(self.identity.public())
    }

    /// Sends a frame over the pairing's link, if it is up; the workspace repeats what it misses.
    pub(crate) fn send(&self, cx: &mut Cx<'_>, frame: &RelayUp) {
        if self.link.is_up {
            cx.out.push(Effect::LinkSend { pairing: self.record.id, frame: frame.encode() });
        }
    }

    /// Signs and sends a message to the workspace.
    pub(crate) fn tell(&self, cx: &mut Cx<'_>, message: &countersign_wire::ceremony::CosignerMessage) {
        let signed = countersign_wire::Signed::sign(message, &self.identity);
        if let Ok(bytes) = Bytes::new(borsh::to_vec(&signed).unwrap_or_default()) {
            self.send(cx, &RelayUp::Workspace(bytes));
        }
    }

    pub(crate) fn save(&self, cx: &mut Cx<'_>) {
        cx.save(blobs::pairing(self.record.id), &self.record);
    }
}

/// Whose exchange it was.
#[derive(Clone)]
pub(crate) enum ExchangeOwner {
    /// A step of adding an API user.
    AddUser,
    /// A pairing's access token.
    AccessToken(PairingId),
    /// A call of a handler about a request.
    Callback(Caller, CallbackSubject),
    /// An operator's test of a handler.
    CallbackTest(Box<Test>),
}

impl ExchangeOwner {
    /// The pairing to which what comes of it counts.
    pub(crate) fn pairing(&self) -> Option<PairingId> {
        match self {
            ExchangeOwner::AccessToken(pairing) | ExchangeOwner::Callback((pairing, _), _) => Some(*pairing),
            ExchangeOwner::AddUser | ExchangeOwner::CallbackTest(_) => None,
        }
    }
}

/// Whose job it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum JobOwner {
    /// The spare safe primes.
    Primes,
    /// The spare key for callback requests.
    CallbackKey,
    /// A session of a pairing.
    Session(PairingId, countersign_wire::ids::SessionId),
}

/// A claimed co-signer.
pub(crate) struct Serving {
    pub instance: InstanceId,
    /// Its secret half: proves the instance to whoever opens an admin channel.
    pub identity: SigningIdentity,
    pub settings: Settings,
    pub sealer: Sealer,
    pub pairings: BTreeMap<PairingId, PairingState>,
    pub used_tokens: BTreeMap<String, UsedToken>,
    pub add: Option<AddFlow>,
    pub rotation: Option<Rotation>,
}

/// What is counted since the boot.
#[derive(Default)]
pub(crate) struct Counts {
    pub signatures: u64,
    pub authorised: u64,
    pub refused: u64,
    pub aborted: u64,
    pub channel_errors: u64,
    pub links_dropped: u64,
    pub admin_refused: u64,
    /// The last lines of the log.
    pub events: EventLog,
    /// How the host says it is, and when (Unix ms).
    pub host: Option<(HostHealth, u64)>,
}

/// Why sealed records do not make a co-signer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("sealed state has no settings")]
    NoSettings,
    #[error("a sealed record names an unknown pairing")]
    UnknownPairing,
    #[error("a sealed record cannot be read: {0}")]
    Record(#[from] countersign_wire::DecodeError),
    #[error("a sealed identity is not 32 bytes")]
    Identity,
}

/// What a boot finds in the sealed records.
pub(crate) struct Loaded {
    pub serving: Serving,
    pub spare_primes: Option<Secret>,
}

fn identity_of(secret: &Secret) -> Result<SigningIdentity, LoadError> {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(secret.expose().try_into().map_err(|_| LoadError::Identity)?);
    Ok(SigningIdentity::from_secret(&bytes))
}

impl Serving {
    /// A freshly claimed co-signer.
    pub(crate) fn new(identity: SigningIdentity, settings: Settings, sealer: Sealer) -> Self {
        let instance = InstanceId(identity.public());
        Self {
            instance,
            identity,
            settings,
            sealer,
            pairings: BTreeMap::new(),
            used_tokens: BTreeMap::new(),
            add: None,
            rotation: None,
        }
    }

    /// Rebuilds a co-signer from its opened records.
    pub(crate) fn load(
        sealer: Sealer,
        records: Vec<(BlobId, Zeroizing<Vec<u8>>)>,
        channel_key: &mut dyn FnMut() -> StaticKey,
    ) -> Result<Loaded, LoadError> {
        let find = |kind: Kind| records.iter().filter(move |(id, _)| id.kind == kind);
        let (_, settings) = find(Kind::Settings).next().ok_or(LoadError::NoSettings)?;
        let settings = Settings::decode(settings)?;
        let identity = identity_of(&settings.identity)?;
        let mut serving = Self::new(identity, settings, sealer);
        for (_, bytes) in find(Kind::Pairing) {
            let record = Pairing::decode(bytes)?;
            let identity = identity_of(&record.identity)?;
            serving.pairings.insert(record.id, PairingState::new(record, identity, channel_key()));
        }
        let mut spare_primes = None;
        for (id, bytes) in &records {
            let mut pairing = match id.pairing {
                Some(pairing) => Some(serving.pairings.get_mut(&pairing).ok_or(LoadError::UnknownPairing)?),
                None => None,
            };
            match (id.kind, pairing.as_mut()) {
                (Kind::Primes, None) => spare_primes = Some(PrimesRecord::decode(bytes)?.primes.clone()),
                (Kind::Primes, Some(pairing)) => {
                    let record = PrimesRecord::decode(bytes)?;
                    if let Some(group) = record.group {
                        pairing.primes.insert(group, record.primes.clone());
                    }
                }
                (Kind::Aux, Some(pairing)) => {
                    let record = AuxRecord::decode(bytes)?;
                    pairing.aux.insert(record.group, record);
                }
                (Kind::Key, Some(pairing)) => {
                    let record = KeyRecord::decode(bytes)?;
                    pairing.keys.insert(record.key, record);
                }
                (Kind::Request, Some(pairing)) => pairing.ledger.insert(RequestRecord::decode(bytes)?),
                (Kind::Vault, Some(pairing)) => {
                    let record = VaultRecord::decode(bytes)?;
                    pairing.vaults.insert((record.vault_account, record.asset.to_string()), record.key);
                }
                (Kind::Asking, Some(pairing)) => pairing.restore_asking(AskingRecord::decode(bytes)?),
                (Kind::Change, Some(pairing)) => {
                    let record = ChangeRecord::decode(bytes)?;
                    pairing.changes.insert(record.change, record);
                }
                (Kind::UsedToken, None) => {
                    let record = UsedToken::decode(bytes)?;
                    serving.used_tokens.insert(record.jti.to_string(), record);
                }
                _ => {}
            }
        }
        Ok(Loaded { serving, spare_primes })
    }

    /// Remembers a pairing token as used, and forgets expired ones.
    pub(crate) fn use_token(&mut self, cx: &mut Cx<'_>, token: UsedToken) -> bool {
        // A few at a time: all changes of a step are one batch, and a batch is bounded.
        let old = self.used_tokens.values().filter(|t| t.forget_at_ms < cx.now).take(MAX_FORGOTTEN_AT_ONCE);
        let expired: Vec<String> = old.map(|t| t.jti.to_string()).collect();
        for jti in expired {
            self.used_tokens.remove(&jti);
            cx.delete(blobs::used_token(&jti));
        }
        if self.used_tokens.len() >= MAX_USED_TOKENS {
            return false;
        }
        cx.save(blobs::used_token(&token.jti), &token);
        self.used_tokens.insert(token.jti.to_string(), token);
        true
    }
}
