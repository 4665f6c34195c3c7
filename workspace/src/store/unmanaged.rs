//! Unmanaged wallets: addresses of others, each approved as a configuration change.

use super::{StoreError, loaded, stored};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

/// A wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The client's own reference.
    pub customer_ref_id: Option<String>,
}

/// An address of a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The wallet.
    pub wallet: String,
    /// The asset.
    pub asset: String,
    /// The address.
    pub address: String,
    /// The client's tag.
    pub tag: Option<String>,
    /// Unix ms since when it is in force.
    pub created_at_ms: u64,
}

fn wallet(row: &SqliteRow) -> Result<Wallet, StoreError> {
    let customer_ref_id = row.try_get("customer_ref_id")?;
    Ok(Wallet { id: row.try_get("id")?, name: row.try_get("name")?, customer_ref_id })
}

fn address(row: &SqliteRow) -> Result<Address, StoreError> {
    Ok(Address {
        wallet: row.try_get("wallet")?,
        asset: row.try_get("asset")?,
        address: row.try_get("address")?,
        tag: row.try_get("tag")?,
        created_at_ms: loaded(row.try_get("created_at_ms")?),
    })
}

/// Adds a wallet.
pub async fn insert(db: &mut SqliteConnection, new: &Wallet, now_ms: u64) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO unmanaged_wallets (id, name, customer_ref_id, created_at_ms) VALUES (?, ?, ?, ?)")
        .bind(&new.id)
        .bind(&new.name)
        .bind(&new.customer_ref_id)
        .bind(stored(now_ms))
        .execute(db)
        .await?;
    Ok(())
}

/// One wallet.
pub async fn get(db: &mut SqliteConnection, id: &str) -> Result<Option<Wallet>, StoreError> {
    let row = sqlx::query("SELECT * FROM unmanaged_wallets WHERE id = ?").bind(id).fetch_optional(db).await?;
    row.as_ref().map(wallet).transpose()
}

/// All wallets, oldest first.
pub async fn list(db: &mut SqliteConnection) -> Result<Vec<Wallet>, StoreError> {
    let rows = sqlx::query("SELECT * FROM unmanaged_wallets ORDER BY created_at_ms, id").fetch_all(db).await?;
    rows.iter().map(wallet).collect()
}

/// How many wallets there are.
pub async fn count(db: &mut SqliteConnection) -> Result<u64, StoreError> {
    Ok(loaded(sqlx::query_scalar("SELECT COUNT(*) FROM unmanaged_wallets").fetch_one(db).await?))
}

/// Removes a wallet with its addresses. Says whether it was there.
pub async fn remove(db: &mut SqliteConnection, id: &str) -> Result<bool, StoreError> {
    let removed = sqlx::query("DELETE FROM unmanaged_wallets WHERE id = ?").bind(id).execute(db).await?;
    Ok(removed.rows_affected() > 0)
}

/// Gives a wallet an address. Says whether it had none for the asset.
pub async fn insert_address(db: &mut SqliteConnection, new: &Address) -> Result<bool, StoreError> {
    let insert = "INSERT INTO unmanaged_addresses (wallet, asset, address, tag, created_at_ms) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (wallet, asset) DO NOTHING";
    let inserted = sqlx::query(insert)
        .bind(&new.wallet)
        .bind(&new.asset)
        .bind(&new.address)
        .bind(&new.tag)
        .bind(stored(new.created_at_ms))
        .execute(db)
        .await?;
    Ok(inserted.rows_affected() > 0)
}

/// The addresses of all wallets, or of one.
pub async fn addresses(db: &mut SqliteConnection, wallet: Option<&str>) -> Result<Vec<Address>, StoreError> {
    let query = "SELECT * FROM unmanaged_addresses WHERE ?1 IS NULL OR wallet = ?1 ORDER BY wallet, asset";
    sqlx::query(query).bind(wallet).fetch_all(db).await?.iter().map(address).collect()
}

/// Removes an address. Says whether it was there.
pub async fn remove_address(db: &mut SqliteConnection, wallet: &str, asset: &str) -> Result<bool, StoreError> {
    let delete = "DELETE FROM unmanaged_addresses WHERE wallet = ? AND asset = ?";
    let removed = sqlx::query(delete).bind(wallet).bind(asset).execute(db).await?;
    Ok(removed.rows_affected() > 0)
}
