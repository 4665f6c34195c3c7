//! Makes a workspace: its database, its keys, its first owner.
//!
//! Both files are written whole under other names, which get `.init` appended. Then they are renamed, the keys first: a
//! workspace is made when its database has its name. Whatever a killed attempt left behind is removed by the next one.

use crate::clock::now_ms;
use crate::config::Config;
use crate::identity::{Identity, IdentityError};
use crate::store::users::{User, UserRole};
use crate::store::{Store, StoreError, audit, is_filled, lock, stored, users, with_suffix};
use countersign_token::{Algorithm, KeyError, PublicKey};
use serde::Serialize;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What of a database SQLite keeps in files beside it.
const BESIDE: [&str; 2] = ["-wal", "-journal"];

/// Why no workspace was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The owner's key is not one.
    #[error("the owner's public key: {0}")]
    OwnerKey(#[from] KeyError),
    /// The owner's key is of another kind.
    #[error("the owner's public key: expected an RSA key of 2048 bits or more; request tokens are RS256")]
    OwnerKeyKind,
    /// The owner's name is not one.
    #[error("expected an owner's name of 1 to 128 bytes")]
    OwnerName,
    /// There is a workspace already.
    #[error("{0} exists: a workspace is made once. Remove it only if you mean to lose that workspace")]
    Exists(PathBuf),
    /// A file cannot be renamed or removed.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// What the owner has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// The workspace's id.
    pub workspace_id: String,
    /// What operators name when they pair.
    pub fingerprint: String,
    /// The owner's API key.
    pub owner_api_key: String,
    /// The `kid` of pairing tokens.
    pub token_key_id: String,
}

/// Makes the workspace that the configuration names.
///
/// # Errors
/// There is one already, or it cannot be stored.
pub async fn init(config: &Config, owner_name: &str, owner_key_pem: &str) -> Result<Made, InitError> {
    let key = PublicKey::from_pem(owner_key_pem)?;
    if key.algorithm() != Algorithm::Rs256 {
        return Err(InitError::OwnerKeyKind);
    }
    if owner_name.trim().is_empty() || owner_name.len() > 128 {
        return Err(InitError::OwnerName);
    }
    let (database, keys) = (&config.database, config.keys_path());
    let (new_database, new_keys) = (with_suffix(database, ".init"), with_suffix(&keys, ".init"));
    let is_made = || if database.exists() { Err(InitError::Exists(database.clone())) } else { Ok(()) };
    is_made()?;
    let _lock = lock(database)?;
    // Another attempt may have ended while this one waited for the lock.
    is_made()?;
    if keys.exists() && !belong_together(&new_database, &keys).await {
        return Err(InitError::Exists(keys));
    }
    // The log of a database that is elsewhere would be taken for the new one's.
    if let Some(log) = BESIDE.map(|suffix| with_suffix(database, suffix)).into_iter().find(|log| is_filled(log)) {
        return Err(InitError::Exists(log));
    }
    for leftover in [&keys, &new_keys, &new_database] {
        remove(leftover)?;
    }
    remove_beside(&new_database)?;
    let made = fill(&new_database, &new_keys, owner_name, &key).await?;
    remove_beside(&new_database)?;
    remove_beside(database)?;
    remove(&with_suffix(&new_database, ".lock"))?;
    rename(&new_keys, &keys)?;
    rename(&new_database, database)?;
    Ok(made)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> InitError {
    let path = path.to_owned();
    move |source| InitError::Io { path, source }
}

fn remove(path: &Path) -> Result<(), InitError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

fn remove_beside(database: &Path) -> Result<(), InitError> {
    BESIDE.iter().chain(&["-shm"]).try_for_each(|suffix| remove(&with_suffix(database, suffix)))
}

fn rename(from: &Path, to: &Path) -> Result<(), InitError> {
    File::open(from).and_then(|file| file.sync_all()).map_err(at(from))?;
    std::fs::rename(from, to).map_err(at(to))?;
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Whether these keys were renamed by an attempt that was killed before it renamed its database. Keys whose database is
/// elsewhere are somebody's workspace and are never touched.
async fn belong_together(new_database: &Path, keys: &Path) -> bool {
    let read = async {
        if !new_database.exists() {
            return None;
        }
        let store = Store::open(new_database, false).await.ok()?;
        let workspace = store.workspace().await.ok().flatten();
        store.close().await;
        let identity = Identity::load(keys).ok()?;
        Some(workspace?.0 == identity.workspace.to_string())
    };
    read.await.unwrap_or(false)
}

/// Writes both files whole.
async fn fill(database: &Path, keys: &Path, owner_name: &str, owner_key: &PublicKey) -> Result<Made, InitError> {
    let store = Store::open(database, true).await?;
    let identity = Identity::create(keys)?;
    let id = uuid::Uuid::new_v4().to_string();
    let owner = User {
        id: id.parse().map_err(|_| InitError::OwnerName)?,
        name: owner_name.trim().to_owned(),
        role: UserRole::Owner,
        public_key: Some(owner_key.spki_der().to_vec()),
        created_at_ms: now_ms(),
    };
    let made = Made {
        workspace_id: identity.workspace.to_string(),
        fingerprint: identity.fingerprint().to_string(),
        owner_api_key: id,
        token_key_id: identity.token_key_id(),
    };
    let mut write = store.write().await?;
    sqlx::query("INSERT INTO workspace (id, fingerprint, created_at_ms) VALUES (?, ?, ?)")
        .bind(&made.workspace_id)
        .bind(&made.fingerprint)
        .bind(stored(now_ms()))
        .execute(&mut *write)
        .await
        .map_err(StoreError::from)?;
    users::insert(&mut write, &owner).await?;
    audit::append(&mut write, now_ms(), "init", "workspace.create", &made.workspace_id, &made.fingerprint).await?;
    write.commit().await.map_err(StoreError::from)?;
    store.close().await;
    if store.has_log() {
        let source = io::Error::other("expected all of it in one file; does another program read it?");
        return Err(InitError::Io { path: database.to_owned(), source });
    }
    Ok(made)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use countersign_token::{SigningKey, generate_rsa_2048};
    use tempfile::TempDir;

    fn folder() -> (TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        let text = "listen = '127.0.0.1:0'\npublic_url = 'https://localhost'\ndatabase = 'w.db'\n\
                    [tls]\ncertificate = 'c'\nprivate_key = 'k'\n";
        let path = folder.path().join("w.toml");
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&path).unwrap();
        (folder, config)
    }

    #[tokio::test]
    async fn an_attempt_that_was_killed_at_any_moment_can_be_repeated() {
        let pem = SigningKey::from_pkcs8_der(&generate_rsa_2048().unwrap()).unwrap().public().to_pem();
        let (folder, config) = folder();
        let (database, keys) = (config.database.clone(), config.keys_path());
        let new = |path: &Path| with_suffix(path, ".init");
        let names = || {
            let entries = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name());
            let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };

        // Killed while it wrote: half files.
        for path in [new(&database), with_suffix(&new(&database), "-wal"), new(&keys)] {
            std::fs::write(&path, "half").unwrap();
        }
        let first = init(&config, "Olga", &pem).await.unwrap();
        assert_eq!(names(), ["w.db", "w.db.keys", "w.db.lock", "w.toml"]);
        assert!(matches!(init(&config, "Olga", &pem).await, Err(InitError::Exists(path)) if path == database));

        // Killed before it renamed anything, and between the two.
        std::fs::rename(&database, new(&database)).unwrap();
        std::fs::rename(&keys, new(&keys)).unwrap();
        let second = init(&config, "Olga", &pem).await.unwrap();
        std::fs::rename(&database, new(&database)).unwrap();
        let third = init(&config, "Olga", &pem).await.unwrap();
        assert!(first.workspace_id != second.workspace_id && second.workspace_id != third.workspace_id);
        assert_eq!(names(), ["w.db", "w.db.keys", "w.db.lock", "w.toml"]);
        let (store, identity) = crate::server::open(&config).await.unwrap();
        assert_eq!(identity.workspace.to_string(), third.workspace_id);
        store.close().await;

        // Keys whose database is elsewhere stay, also beside another attempt's.
        let before = std::fs::read(&keys).unwrap();
        std::fs::rename(&database, folder.path().join("elsewhere")).unwrap();
        assert!(matches!(init(&config, "Olga", &pem).await, Err(InitError::Exists(path)) if path == keys));
        std::fs::write(new(&database), "half").unwrap();
        assert!(matches!(init(&config, "Olga", &pem).await, Err(InitError::Exists(path)) if path == keys));
        assert_eq!(std::fs::read(&keys).unwrap(), before);

        // Neither is a log whose database is elsewhere.
        std::fs::remove_file(&keys).unwrap();
        let log = with_suffix(&database, "-wal");
        std::fs::write(&log, "frames").unwrap();
        assert!(matches!(init(&config, "Olga", &pem).await, Err(InitError::Exists(path)) if path == log));
    }
}
