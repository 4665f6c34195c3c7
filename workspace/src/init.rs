//! Makes a workspace: its database, its keys, its first owner.

use crate::clock::now_ms;
use crate::config::Config;
use crate::identity::{Identity, IdentityError};
use crate::store::users::{User, UserRole};
use crate::store::{Store, StoreError, audit, stored, users};
use countersign_token::{Algorithm, KeyError, PublicKey};
use serde::Serialize;
use std::path::PathBuf;

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
    for path in [&config.database, &config.keys_path()] {
        if path.exists() {
            return Err(InitError::Exists(path.clone()));
        }
    }
    let store = Store::open(&config.database, true).await?;
    let identity = Identity::create(&config.keys_path())?;
    let id = uuid::Uuid::new_v4().to_string();
    let owner = User {
        id: id.parse().map_err(|_| InitError::OwnerName)?,
        name: owner_name.trim().to_owned(),
        role: UserRole::Owner,
        public_key: Some(key.spki_der().to_vec()),
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
    Ok(made)
}
