//! Vault accounts and their assets.

use super::{StoreError, fixed, loaded, stored};
use crate::ceremony::CertificateRecord;
use countersign_wire::Message;
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::ids::KeyId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

/// A vault account. Its number is the account element of its derivation paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number: 0, 1, 2 …
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The API user that signs for it, where that is not the workspace's default.
    pub signer: Option<String>,
    /// The client's own reference.
    pub customer_ref_id: Option<String>,
    /// Whether people want to see it.
    pub hidden: bool,
    /// Unix ms.
    pub created_at_ms: u64,
}

/// An asset of a vault account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    /// The vault account.
    pub vault_account: u32,
    /// The asset's id.
    pub asset: String,
    /// Its key, for ever.
    pub key: KeyId,
    /// The last answer about its certificate.
    pub record: Option<CertificateRecord>,
    /// Its address, once certified.
    pub address: Option<String>,
    /// Unix ms.
    pub created_at_ms: u64,
}

impl Wallet {
    /// What the customer's co-signer certified. It was verified before it was stored.
    pub fn certified(&self) -> Option<KeyCertificate> {
        self.record.as_ref().and_then(|r| r.certificate.as_ref()).and_then(|c| c.peek_unverified().ok())
    }
}

fn account(row: &SqliteRow) -> Result<Account, StoreError> {
    Ok(Account {
        id: number(row.try_get("id")?)?,
        name: row.try_get("name")?,
        signer: row.try_get("signer")?,
        customer_ref_id: row.try_get("customer_ref_id")?,
        hidden: row.try_get("hidden")?,
        created_at_ms: loaded(row.try_get("created_at_ms")?),
    })
}

fn number(stored: i64) -> Result<u32, StoreError> {
    u32::try_from(stored).map_err(|e| StoreError::Value { what: "vault account", detail: e.to_string() })
}

fn wallet(row: &SqliteRow) -> Result<Wallet, StoreError> {
    let record: Option<&[u8]> = row.try_get("record")?;
    Ok(Wallet {
        vault_account: number(row.try_get("vault_account")?)?,
        asset: row.try_get("asset")?,
        key: KeyId(fixed("key id", row.try_get("key")?)?),
        record: record.map(CertificateRecord::decode).transpose()?,
        address: row.try_get("address")?,
        created_at_ms: loaded(row.try_get("created_at_ms")?),
    })
}

/// The number of the next vault account.
pub async fn next_account(db: &mut SqliteConnection) -> Result<u64, StoreError> {
    let next: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(id) + 1, 0) FROM vault_accounts").fetch_one(db).await?;
    Ok(loaded(next))
}

/// Adds a vault account.
pub async fn insert_account(db: &mut SqliteConnection, new: &Account) -> Result<(), StoreError> {
    let insert = "INSERT INTO vault_accounts (id, name, signer, customer_ref_id, hidden, created_at_ms)
        VALUES (?, ?, ?, ?, ?, ?)";
    sqlx::query(insert)
        .bind(i64::from(new.id))
        .bind(&new.name)
        .bind(&new.signer)
        .bind(&new.customer_ref_id)
        .bind(new.hidden)
        .bind(stored(new.created_at_ms))
        .execute(db)
        .await?;
    Ok(())
}

/// One vault account.
pub async fn get_account(db: &mut SqliteConnection, id: u32) -> Result<Option<Account>, StoreError> {
    let query = sqlx::query("SELECT * FROM vault_accounts WHERE id = ?").bind(i64::from(id));
    query.fetch_optional(db).await?.as_ref().map(account).transpose()
}

/// At most `limit` vault accounts with numbers from `from` on, whose name starts with `prefix`.
pub async fn accounts(
    db: &mut SqliteConnection,
    from: u32,
    prefix: Option<&str>,
    limit: u32,
) -> Result<Vec<Account>, StoreError> {
    let query = "SELECT * FROM vault_accounts WHERE id >= ?1 AND substr(name, 1, length(?2)) = ?2 ORDER BY id LIMIT ?3";
    let rows = sqlx::query(query)
        .bind(i64::from(from))
        .bind(prefix.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?;
    rows.iter().map(account).collect()
}

/// Adds an asset to a vault account.
pub async fn insert_wallet(
    db: &mut SqliteConnection,
    vault_account: u32,
    asset: &str,
    key: &KeyId,
    now_ms: u64,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO vault_assets (vault_account, asset, key, created_at_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT DO NOTHING";
    sqlx::query(insert)
        .bind(i64::from(vault_account))
        .bind(asset)
        .bind(key.0.as_slice())
        .bind(stored(now_ms))
        .execute(db)
        .await?;
    Ok(())
}

/// Stores the answer about a certificate. A certificate, once there, is never replaced by a refusal.
pub async fn save_certificate(db: &mut SqliteConnection, record: &CertificateRecord) -> Result<(), StoreError> {
    let word = record.certificate.as_ref().and_then(|c| c.peek_unverified().ok());
    let update = "UPDATE vault_assets SET record = ?, address = ? WHERE vault_account = ? AND asset = ? AND key = ?
        AND address IS NULL";
    sqlx::query(update)
        .bind(record.encode())
        .bind(word.map(|w| w.address.as_str().to_owned()))
        .bind(i64::from(record.vault_account))
        .bind(record.asset.as_str())
        .bind(record.key.0.as_slice())
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets a refusal, so that the next answer can be told from it.
pub async fn clear_refusal(db: &mut SqliteConnection, vault_account: u32, asset: &str) -> Result<(), StoreError> {
    let update = "UPDATE vault_assets SET record = NULL WHERE vault_account = ? AND asset = ? AND address IS NULL";
    sqlx::query(update).bind(i64::from(vault_account)).bind(asset).execute(db).await?;
    Ok(())
}

/// One asset of a vault account.
pub async fn get_wallet(
    db: &mut SqliteConnection,
    vault_account: u32,
    asset: &str,
) -> Result<Option<Wallet>, StoreError> {
    let query = sqlx::query("SELECT * FROM vault_assets WHERE vault_account = ? AND asset = ?");
    let row = query.bind(i64::from(vault_account)).bind(asset).fetch_optional(db).await?;
    row.as_ref().map(wallet).transpose()
}

/// The assets of one vault account.
pub async fn wallets(db: &mut SqliteConnection, vault_account: u32) -> Result<Vec<Wallet>, StoreError> {
    let query = sqlx::query("SELECT * FROM vault_assets WHERE vault_account = ? ORDER BY asset");
    let rows = query.bind(i64::from(vault_account)).fetch_all(db).await?;
    rows.iter().map(wallet).collect()
}
