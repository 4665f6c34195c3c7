//! An operator's Ed25519 key, in a file encrypted under a passphrase: Argon2id (RFC 9106), then AES-256-GCM whose
//! associated data is everything else that the file says.

use crate::durable::{self, Existing};
use crate::failure::Failure;
use crate::passphrase::Passphrase;
use crate::text_forms::as_text;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};
use countersign_wire::SigningIdentity;
use countersign_wire::ids::OperatorId;
use rand_core::{OsRng, RngCore};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroizing;

const FORMAT: &str = "countersign-operator-key/1";
/// Memory for deriving the key of a new file, in KiB.
const MEMORY_KIB: u32 = 64 * 1024;
/// Passes over it.
const PASSES: u32 = 3;
/// What a file may ask for: more would let a planted file exhaust this machine.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_FILE_BYTES: u64 = 4096;

/// The file. Unknown members are refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: String,
    #[serde(with = "as_text")]
    public_key: OperatorId,
    argon2id: Derivation,
    #[serde(with = "hex::serde")]
    nonce: [u8; 12],
    #[serde(with = "hex::serde")]
    sealed_secret: Vec<u8>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct Derivation {
    memory_kib: u32,
    passes: u32,
    #[serde(with = "hex::serde")]
    salt: [u8; 16],
}

/// An unlocked operator key. `Debug` shows the public key only.
#[derive(Debug)]
pub struct OperatorKey {
    identity: SigningIdentity,
}

impl OperatorKey {
    /// The operator that it is.
    pub fn id(&self) -> OperatorId {
        OperatorId(self.identity.public())
    }

    /// For signing.
    pub fn identity(&self) -> &SigningIdentity {
        &self.identity
    }

    /// Makes a key and writes it to `path`, where nothing may be yet.
    pub fn create(path: &Path, passphrase: &Passphrase) -> Result<Self, Failure> {
        if path.exists() {
            return Err(exists(path));
        }
        let mut secret = Zeroizing::new([0u8; 32]);
        OsRng.fill_bytes(secret.as_mut_slice());
        let key = Self { identity: SigningIdentity::from_secret(&secret) };
        let mut salt = [0u8; 16];
        OsRng.fill_bytes(&mut salt);
        let mut nonce = [0u8; 12];
        OsRng.fill_bytes(&mut nonce);
        let mut file = KeyFile {
            format: FORMAT.to_owned(),
            public_key: key.id(),
            argon2id: Derivation { memory_kib: MEMORY_KIB, passes: PASSES, salt },
            nonce,
            sealed_secret: Vec::new(),
        };
        let payload = Payload { msg: secret.as_slice(), aad: &file.associated_data() };
        file.sealed_secret = file
            .cipher(passphrase, path)?
            .encrypt(&Nonce::from(file.nonce), payload)
            .map_err(|_| Failure::local(path, "the key could not be encrypted"))?;
        let json = serde_json::to_vec_pretty(&file).map_err(|e| Failure::local(path, e))?;
        durable::write(path, &json, Existing::Refuse)?;
        Ok(key)
    }

    /// Decrypts the key at `path`.
    pub fn load(path: &Path, passphrase: &Passphrase) -> Result<Self, Failure> {
        let file = read(path)?;
        let payload = Payload { msg: &file.sealed_secret, aad: &file.associated_data() };
        let opened = file.cipher(passphrase, path)?.decrypt(&Nonce::from(file.nonce), payload).map_err(|_| {
            Failure::operator_key(
                format!("{}: wrong passphrase, or the file was altered", path.display()),
                "try again, or take the file from a backup",
            )
        })?;
        let opened = Zeroizing::new(opened);
        let secret: &[u8; 32] = opened.as_slice().try_into().map_err(|_| malformed(path, "a secret of 32 bytes"))?;
        let key = Self { identity: SigningIdentity::from_secret(secret) };
        if key.id() != file.public_key {
            return Err(malformed(path, "the public key of the secret inside"));
        }
        Ok(key)
    }
}

/// The public key of the file at `path`; needs no passphrase. Nothing proves that the file was not altered.
pub fn public_of(path: &Path) -> Result<OperatorId, Failure> {
    Ok(read(path)?.public_key)
}

/// The error for a key file where a new one was to be.
pub fn exists(path: &Path) -> Failure {
    Failure::operator_key(
        format!("{} exists already", path.display()),
        "a key is never overwritten: choose another place with --operator-key, or use the key that is there",
    )
}

fn malformed(path: &Path, expected: &str) -> Failure {
    Failure::operator_key(
        format!("{}: expected {expected}", path.display()),
        "this is no operator key file of this version: check --operator-key",
    )
}

fn read(path: &Path) -> Result<KeyFile, Failure> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::operator_key(
                format!("there is no operator key at {}", path.display()),
                "make one with `cosigner operator-key new` (`cosigner init` does, too), or name yours with --operator-key",
            ));
        }
        Err(e) => return Err(Failure::local(path, e)),
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(Failure::operator_key(
            format!("{} can be read by others", path.display()),
            format!("chmod 600 {}", path.display()),
        ));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(malformed(path, "at most 4096 bytes"));
    }
    let bytes = fs::read(path).map_err(|e| Failure::local(path, e))?;
    let file: KeyFile = serde_json::from_slice(&bytes).map_err(|_| malformed(path, "an operator key file"))?;
    let bounded = file.argon2id.memory_kib <= MAX_MEMORY_KIB && file.argon2id.passes <= MAX_PASSES;
    if file.format != FORMAT || !bounded {
        return Err(malformed(path, &format!("format {FORMAT} within its limits")));
    }
    Ok(file)
}

impl KeyFile {
    fn associated_data(&self) -> Vec<u8> {
        let Derivation { memory_kib, passes, salt } = self.argon2id;
        format!("{}|{}|{memory_kib}|{passes}|{}", self.format, self.public_key, hex::encode(salt)).into_bytes()
    }

    fn cipher(&self, passphrase: &Passphrase, path: &Path) -> Result<Aes256Gcm, Failure> {
        let Derivation { memory_kib, passes, salt } = self.argon2id;
        let parameters =
            Params::new(memory_kib, passes, 1, Some(32)).map_err(|_| malformed(path, "sound parameters"))?;
        let mut key = Zeroizing::new([0u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
            .hash_password_into(passphrase.as_bytes(), &salt, key.as_mut_slice())
            .map_err(|_| malformed(path, "sound parameters"))?;
        Ok(Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key.as_slice())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn passphrase() -> Passphrase {
        Passphrase::for_test("correct horse battery staple")
    }

    #[test]
    fn a_key_comes_back_with_its_passphrase_and_with_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.key");
        let made = OperatorKey::create(&path, &passphrase()).unwrap();
        assert_eq!(OperatorKey::load(&path, &passphrase()).unwrap().id(), made.id());
        assert_eq!(public_of(&path).unwrap(), made.id());
        let wrong = OperatorKey::load(&path, &Passphrase::for_test("correct horse battery stapler"));
        assert!(matches!(wrong, Err(Failure::OperatorKey { .. })));
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&hex::encode(made.identity().secret())) && !text.contains("correct horse"));
    }

    #[test]
    fn every_member_of_the_file_is_authenticated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.key");
        OperatorKey::create(&path, &passphrase()).unwrap();
        let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let other = hex::encode(SigningIdentity::from_secret(&[9; 32]).public());
        let mutations: [(&str, Value); 5] = [
            ("/public_key", json!(other)),
            ("/argon2id/memory_kib", json!(32 * 1024)),
            ("/argon2id/passes", json!(2)),
            ("/nonce", json!("000000000000000000000000")),
            ("/format", json!("countersign-operator-key/2")),
        ];
        for (member, value) in mutations {
            let mut bad = good.clone();
            *bad.pointer_mut(member).unwrap() = value;
            fs::write(&path, bad.to_string()).unwrap();
            assert!(matches!(OperatorKey::load(&path, &passphrase()), Err(Failure::OperatorKey { .. })), "{member}");
        }
    }

    #[test]
    fn a_planted_file_cannot_exhaust_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.key");
        OperatorKey::create(&path, &passphrase()).unwrap();
        let mut greedy: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        greedy["argon2id"]["memory_kib"] = json!(u32::MAX);
        fs::write(&path, greedy.to_string()).unwrap();
        assert!(matches!(OperatorKey::load(&path, &passphrase()), Err(Failure::OperatorKey { .. })));
    }

    #[test]
    fn a_key_is_never_overwritten_and_never_read_where_others_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.key");
        OperatorKey::create(&path, &passphrase()).unwrap();
        assert!(matches!(OperatorKey::create(&path, &passphrase()), Err(Failure::OperatorKey { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = OperatorKey::load(&path, &passphrase()).unwrap_err();
        assert!(error.hint().contains("chmod 600"), "{error}");
    }
}
