//! API users.

use super::{StoreError, loaded, parsed, stored};
use countersign_wire::ids::ApiUserId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use std::fmt;
use std::str::FromStr;

/// What an API user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserRole {
    /// Everything, other owners and the approval of pairings included.
    Owner,
    /// Everything else that administers.
    Admin,
    /// Vault accounts and transactions.
    Editor,
    /// Paired with a customer's co-signer; transactions.
    Signer,
    /// The pairing identity of a cloud co-signer; no API.
    CloudCosigner,
    /// Reading.
    Viewer,
}

impl UserRole {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Owner, Self::Admin, Self::Editor, Self::Signer, Self::CloudCosigner, Self::Viewer];

    /// As the HTTP API shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "OWNER",
            Self::Admin => "ADMIN",
            Self::Editor => "EDITOR",
            Self::Signer => "SIGNER",
            Self::CloudCosigner => "CLOUD_COSIGNER",
            Self::Viewer => "VIEWER",
        }
    }
}

impl fmt::Display for UserRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for UserRole {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        let all = || Self::ALL.map(Self::as_str).join(", ");
        found.ok_or_else(|| format!("expected one of {}, got {text:?}", all()))
    }
}

/// An API user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id: the API key of its requests.
    pub id: ApiUserId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: UserRole,
    /// Its public key (SubjectPublicKeyInfo DER); without one it cannot call the API.
    pub public_key: Option<Vec<u8>>,
    /// Unix ms.
    pub created_at_ms: u64,
}

fn user(row: &SqliteRow) -> Result<User, StoreError> {
    Ok(User {
        id: parsed("API user id", row.try_get("id")?)?,
        name: row.try_get("name")?,
        role: parsed("role", row.try_get("role")?)?,
        public_key: row.try_get("public_key")?,
        created_at_ms: loaded(row.try_get("created_at_ms")?),
    })
}

/// Adds a user.
pub async fn insert(db: &mut SqliteConnection, new: &User) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO api_users (id, name, role, public_key, created_at_ms) VALUES (?, ?, ?, ?, ?)")
        .bind(new.id.as_str())
        .bind(&new.name)
        .bind(new.role.as_str())
        .bind(&new.public_key)
        .bind(stored(new.created_at_ms))
        .execute(db)
        .await?;
    Ok(())
}

/// One user.
pub async fn get(db: &mut SqliteConnection, id: &str) -> Result<Option<User>, StoreError> {
    let row = sqlx::query("SELECT * FROM api_users WHERE id = ?").bind(id).fetch_optional(db).await?;
    row.as_ref().map(user).transpose()
}

/// All users, oldest first.
pub async fn list(db: &mut SqliteConnection) -> Result<Vec<User>, StoreError> {
    let rows = sqlx::query("SELECT * FROM api_users ORDER BY created_at_ms, id").fetch_all(db).await?;
    rows.iter().map(user).collect()
}

/// How many there are.
pub async fn count(db: &mut SqliteConnection) -> Result<u64, StoreError> {
    Ok(loaded(sqlx::query_scalar("SELECT COUNT(*) FROM api_users").fetch_one(db).await?))
}
