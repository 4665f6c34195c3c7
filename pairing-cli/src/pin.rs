//! What this workstation knows about a co-signer: one file `cosigners/<name>.json` in the configuration directory. It
//! holds no secret; another operator's workstation learns what to expect by a copy of it.

use crate::attested::AnchorKind;
use crate::durable::{self, Existing};
use crate::expectation::{Difference, Expectation};
use crate::failure::Failure;
use crate::measurements::Measurements;
use crate::text_forms::as_text;
use countersign_wire::group::Role;
use countersign_wire::ids::{InstanceId, OperatorId, PairingId, PartyId, WorkspaceFingerprint, WorkspaceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Version of the file.
pub const FORMAT: u32 = 1;
const MAX_PIN_BYTES: u64 = 1024 * 1024;
/// Files that are looked through for a party.
const MAX_PINS: usize = 1024;

/// How far the claim got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinState {
    /// A claim was or is being sent; nothing confirmed it.
    Claiming,
    /// The enclave confirmed the claim and was compared.
    Claimed,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedOperator {
    /// Its name, as the claim says.
    pub name: String,
    /// Its key.
    #[serde(with = "as_text")]
    pub key: OperatorId,
}

/// A pairing of the co-signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedPairing {
    /// Its id.
    #[serde(with = "as_text")]
    pub pairing: PairingId,
    /// The workspace.
    #[serde(with = "as_text")]
    pub workspace: WorkspaceId,
    /// The workspace's keys.
    #[serde(with = "as_text")]
    pub workspace_key: WorkspaceFingerprint,
    /// This co-signer's identity in it: key certificates are signed with it.
    #[serde(with = "as_text")]
    pub party: PartyId,
    /// Its role.
    pub role: PinnedRole,
}

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum PinnedRole {
    /// The customer's own co-signer.
    Customer,
    /// An independent co-signer.
    Cloud,
}

impl From<Role> for PinnedRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Customer => Self::Customer,
            Role::Cloud => Self::Cloud,
        }
    }
}

impl From<PinnedRole> for Role {
    fn from(role: PinnedRole) -> Self {
        match role {
            PinnedRole::Customer => Self::Customer,
            PinnedRole::Cloud => Self::Cloud,
        }
    }
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// [`FORMAT`].
    pub format: u32,
    /// How far the claim got.
    pub state: PinState,
    /// Under which root the enclave was claimed.
    pub anchor: AnchorKind,
    /// Its identity.
    #[serde(with = "as_text")]
    pub instance: InstanceId,
    /// Its operators, sorted by key.
    pub operators: Vec<PinnedOperator>,
    /// How many must sign.
    pub required: u16,
    /// What seals its state.
    pub sealing_key: String,
    /// What may seal its state: a rotation was sent, and its answer not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_sealing_key: Option<String>,
    /// Its image.
    pub measurements: Measurements,
    /// The highest settings epoch seen.
    pub settings_epoch: u64,
    /// Its pairings.
    pub pairings: Vec<PinnedPairing>,
}

impl Pin {
    /// What the enclave must say about itself.
    pub fn expectation(&self) -> Expectation {
        Expectation {
            instance: self.instance,
            operators: self.operators.iter().map(|o| (o.key, o.name.clone())).collect(),
            required: self.required,
            sealing_key: self.sealing_key.clone(),
            next_sealing_key: self.next_sealing_key.clone(),
            settings_epoch: self.settings_epoch,
        }
    }

    /// Where `key` is the one that a rotation was to bring, it did: it is pinned as the sealing key. Whether anything changed.
    pub fn settle_sealing_key(&mut self, key: &str) -> bool {
        match self.next_sealing_key.take_if(|next| next == key) {
            Some(next) => self.sealing_key = next,
            None => return false,
        }
        true
    }

    /// Adds a pairing. What is pinned is never replaced: a difference is returned instead.
    pub fn add_pairing(&mut self, new: PinnedPairing) -> Result<(), Difference> {
        let Some(known) = self.pairings.iter().find(|p| p.pairing == new.pairing) else {
            self.pairings.push(new);
            return Ok(());
        };
        if *known == new {
            return Ok(());
        }
        let shown = |p: &PinnedPairing| {
            format!("party {} of workspace {} with key {} as {:?}", p.party, p.workspace, p.workspace_key, p.role)
        };
        Err(Difference { what: "pairing", expected: shown(known), got: shown(&new) })
    }
}

/// Where the pins are.
#[derive(Debug, Clone)]
pub struct PinDirectory(PathBuf);

impl PinDirectory {
    /// In this configuration directory.
    pub fn in_config(config_dir: &Path) -> Self {
        Self(config_dir.join("cosigners"))
    }

    /// The file of a co-signer.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    /// The pin of a co-signer, if there is one.
    pub fn load(&self, name: &str) -> Result<Option<Pin>, Failure> {
        let path = self.path(name);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Failure::local(&path, e)),
        };
        if metadata.len() > MAX_PIN_BYTES {
            return Err(Failure::local(&path, format!("expected at most {MAX_PIN_BYTES} bytes")));
        }
        let bytes = fs::read(&path).map_err(|e| Failure::local(&path, e))?;
        let pin: Pin = serde_json::from_slice(&bytes).map_err(|e| Failure::local(&path, e))?;
        if pin.format != FORMAT {
            return Err(Failure::local(&path, format!("expected format {FORMAT}, got {}", pin.format)));
        }
        Ok(Some(pin))
    }

    /// Writes the pin of a co-signer, durably.
    pub fn store(&self, name: &str, pin: &Pin) -> Result<(), Failure> {
        let path = self.path(name);
        let mut json = serde_json::to_vec_pretty(pin).map_err(|e| Failure::local(&path, e))?;
        json.push(b'\n');
        durable::write(&path, &json, Existing::Replace)
    }

    /// Every pin that can be read, by name; `unreadable` is told of each other one. One bad file must not keep an operator
    /// from the other co-signers.
    pub fn all(&self, mut unreadable: impl FnMut(&Failure)) -> Result<Vec<(String, Pin)>, Failure> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Failure::local(&self.0, e)),
        };
        let mut names = BTreeSet::new();
        for entry in entries.take(MAX_PINS) {
            let file = entry.map_err(|e| Failure::local(&self.0, e))?.file_name();
            if let Some(name) = file.to_str().and_then(|f| f.strip_suffix(".json")) {
                names.insert(name.to_owned());
            }
        }
        let mut pins = Vec::new();
        for name in names {
            match self.load(&name) {
                Ok(Some(pin)) => pins.push((name, pin)),
                Ok(None) => {}
                Err(failure) => unreadable(&failure),
            }
        }
        Ok(pins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin() -> Pin {
        let m = Measurements { pcr0: [1; 48], pcr1: [2; 48], pcr2: [3; 48], pcr8: None };
        Pin {
            format: FORMAT,
            state: PinState::Claimed,
            anchor: AnchorKind::Aws,
            instance: InstanceId([1; 32]),
            operators: vec![PinnedOperator { name: "alice".to_owned(), key: OperatorId([2; 32]) }],
            required: 1,
            sealing_key: "file:x".to_owned(),
            next_sealing_key: None,
            measurements: m,
            settings_epoch: 1,
            pairings: Vec::new(),
        }
    }

    fn pairing(party: u8) -> PinnedPairing {
        PinnedPairing {
            pairing: PairingId([1; 16]),
            workspace: WorkspaceId([2; 16]),
            workspace_key: WorkspaceFingerprint([3; 32]),
            party: PartyId([party; 32]),
            role: PinnedRole::Customer,
        }
    }

    #[test]
    fn a_pin_comes_back_as_it_was_written_and_unknown_members_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pins = PinDirectory::in_config(dir.path());
        assert_eq!(pins.load("a").unwrap(), None);
        let mut written = pin();
        written.add_pairing(pairing(4)).unwrap();
        pins.store("a", &written).unwrap();
        assert_eq!(pins.load("a").unwrap(), Some(written.clone()));
        let mut bad = Vec::new();
        fs::write(pins.path("b"), "{").unwrap();
        fs::create_dir(pins.path("c")).unwrap();
        assert_eq!(pins.all(|failure| bad.push(failure.clone())).unwrap(), [("a".to_owned(), written)]);
        assert!(matches!(bad.as_slice(), [Failure::Local { .. }, Failure::Local { .. }]), "{bad:?}");
        let text = fs::read_to_string(pins.path("a")).unwrap().replacen('{', "{\"new\": 1,", 1);
        fs::write(pins.path("a"), text).unwrap();
        assert!(matches!(pins.load("a"), Err(Failure::Local { .. })));
    }

    #[test]
    fn a_pinned_pairing_never_gets_another_identity() {
        let mut pin = pin();
        pin.add_pairing(pairing(4)).unwrap();
        pin.add_pairing(pairing(4)).unwrap();
        assert!(pin.add_pairing(pairing(5)).is_err());
        assert_eq!(pin.pairings, [pairing(4)]);
    }
}
