//! The workspace's own keys: a P-256 key that signs pairing tokens, an Ed25519 key that signs messages to co-signers.
//!
//! They are in one file of mode 0600 beside the database, not in it: a copy of the database shows no key.

use crate::answers::AnswerKey;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_token::{SigningKey, generate_p256};
use countersign_wire::SigningIdentity;
use countersign_wire::ids::{WorkspaceFingerprint, WorkspaceId};
use countersign_wire::pairing_http::workspace_fingerprint;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

/// Why the keys are not there.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody else may read it.
    #[error("key file {path}: expected mode 0600, got {mode:04o}; other users can read the workspace's keys")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Its content is not a workspace's keys.
    #[error("key file {path}: expected a workspace's keys: {detail}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong, without any key.
        detail: &'static str,
    },
    /// No randomness, or no key from it.
    #[error("no key could be made; is the system's randomness there?")]
    Generation,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u8,
    workspace: String,
    token_key_pkcs8: String,
    message_key: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.token_key_pkcs8.zeroize();
        self.message_key.zeroize();
    }
}

/// The workspace's identity.
#[derive(Debug)]
pub struct Identity {
    /// Its id, the `tenantId` of its pairing tokens.
    pub workspace: WorkspaceId,
    /// Signs pairing tokens.
    pub token_key: SigningKey,
    /// Signs messages to co-signers.
    pub message_key: SigningIdentity,
    /// Encrypts answers that are kept for repeated requests.
    pub answer_key: AnswerKey,
}

/// 32 bytes of the system's randomness.
///
/// # Errors
/// There is none.
pub fn random_32() -> Result<[u8; 32], IdentityError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| IdentityError::Generation)?;
    Ok(bytes)
}

impl Identity {
    /// Makes a new workspace's keys and stores them durably in a file that must not exist yet.
    ///
    /// # Errors
    /// The file exists, cannot be written, or there is no randomness.
    pub fn create(path: &Path) -> Result<Self, IdentityError> {
        let io = |source| IdentityError::Io { path: path.to_owned(), source };
        let random = Zeroizing::new(random_32()?);
        let workspace = WorkspaceId(*uuid::Uuid::new_v4().as_bytes());
        let pkcs8 = generate_p256().map_err(|_| IdentityError::Generation)?;
        let token_key = SigningKey::from_pkcs8_der(&pkcs8).map_err(|_| IdentityError::Generation)?;
        let stored = Stored {
            version: 1,
            workspace: workspace.to_string(),
            token_key_pkcs8: STANDARD.encode(&*pkcs8),
            message_key: hex::encode(*random),
        };
        let text = Zeroizing::new(serde_json::to_vec_pretty(&stored).map_err(|_| IdentityError::Generation)?);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        let answer_key = AnswerKey::derive(&random).map_err(|_| IdentityError::Generation)?;
        Ok(Self { workspace, token_key, message_key: SigningIdentity::from_secret(&random), answer_key })
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// The file is not there, others may read it, or it holds something else.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let io = |source| IdentityError::Io { path: path.to_owned(), source };
        let content = |detail| IdentityError::Content { path: path.to_owned(), detail };
        let mode = std::fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Mode { path: path.to_owned(), mode });
        }
        let text = Zeroizing::new(std::fs::read(path).map_err(io)?);
        let stored: Stored = serde_json::from_slice(&text).map_err(|_| content("not the JSON that init wrote"))?;
        if stored.version != 1 {
            return Err(content("written by another version"));
        }
        let pkcs8 = Zeroizing::new(STANDARD.decode(&stored.token_key_pkcs8).map_err(|_| content("token key"))?);
        let mut secret = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(&stored.message_key, &mut *secret).map_err(|_| content("message key"))?;
        Ok(Self {
            workspace: stored.workspace.parse().map_err(|_| content("workspace id"))?,
            token_key: SigningKey::from_pkcs8_der(&pkcs8).map_err(|_| content("token key"))?,
            message_key: SigningIdentity::from_secret(&secret),
            answer_key: AnswerKey::derive(&secret).map_err(|_| content("message key"))?,
        })
    }

    /// What operators name when they pair.
    pub fn fingerprint(&self) -> WorkspaceFingerprint {
        workspace_fingerprint(self.token_key.public().spki_der(), &self.message_key.public())
    }

    /// The `kid` of pairing tokens: the first 16 bytes of the SHA-256 of the token key, hex.
    pub fn token_key_id(&self) -> String {
        let hash = Sha256::digest(self.token_key.public().spki_der());
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let made = Identity::create(&path).unwrap();
        let read = Identity::load(&path).unwrap();
        assert_eq!((made.fingerprint(), made.workspace), (read.fingerprint(), read.workspace));
        assert!(matches!(Identity::create(&path), Err(IdentityError::Io { .. })));
        assert_eq!(Identity::load(&path).unwrap().fingerprint(), made.fingerprint());
    }

    #[test]
    fn t48_a_key_file_that_others_can_read_is_refused_and_debug_shows_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let made = Identity::create(&path).unwrap();
        let stored: Stored = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let shown = format!("{made:?}");
        assert!(!shown.contains(&stored.message_key) && !shown.contains(&stored.token_key_pkcs8));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Identity::load(&path), Err(IdentityError::Mode { mode: 0o640, .. })));
    }

    #[test]
    fn another_files_content_is_a_typed_error_without_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "canary").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let error = Identity::load(&path).unwrap_err();
        assert!(matches!(error, IdentityError::Content { .. }) && !error.to_string().contains("canary"));
    }
}
