//! The nonces of transfers, counted for each asset of a vault account.
//!
//! A transfer gets the least one that is free, in the transaction that stores it. It is free again when the transfer ends
//! without an Authorisation: then nothing was signed with it, and what was authorised with a later one waits for it.

use super::{StoreError, loaded, stored};
use crate::ceremony::TransactionRecord;
use countersign_wire::ids::TransactionId;
use countersign_wire::key::Operation;
use sqlx::{Row, SqliteConnection};

/// Greatest nonce (EIP-2681 ends at 2^64 - 2; the database holds less).
pub const MAX_NONCE: u64 = (1 << 53) - 1;

async fn least(db: &mut SqliteConnection, account: u32, asset: &str) -> Result<Option<u64>, StoreError> {
    let query = sqlx::query("SELECT least_nonce FROM evm_accounts WHERE vault_account = ? AND asset = ?");
    let row = query.bind(i64::from(account)).bind(asset).fetch_optional(db).await?;
    row.map(|row| Ok(loaded(row.try_get(0)?))).transpose()
}

async fn set_least(db: &mut SqliteConnection, account: u32, asset: &str, nonce: u64) -> Result<(), StoreError> {
    let upsert = "INSERT INTO evm_accounts (vault_account, asset, least_nonce) VALUES (?, ?, ?)
        ON CONFLICT (vault_account, asset) DO UPDATE SET least_nonce = excluded.least_nonce";
    sqlx::query(upsert).bind(i64::from(account)).bind(asset).bind(stored(nonce)).execute(&mut *db).await?;
    let delete = "DELETE FROM evm_nonces WHERE vault_account = ? AND asset = ? AND nonce < ? AND held_by IS NULL";
    sqlx::query(delete).bind(i64::from(account)).bind(asset).bind(stored(nonce)).execute(db).await?;
    Ok(())
}

/// The nonce that the next transfer gets; `first` where none was counted yet.
///
/// # Errors
/// The database cannot be read.
pub async fn next(db: &mut SqliteConnection, account: u32, asset: &str, first: u64) -> Result<u64, StoreError> {
    let known = least(db, account, asset).await?;
    let (mut nonce, mut spent) = (known.unwrap_or(first), true);
    let query =
        "SELECT nonce, held_by FROM evm_nonces WHERE vault_account = ? AND asset = ? AND nonce >= ? ORDER BY nonce";
    let query = sqlx::query(query).bind(i64::from(account)).bind(asset).bind(stored(nonce));
    let mut settled = nonce;
    for row in query.fetch_all(&mut *db).await? {
        if loaded(row.try_get(0)?) != nonce {
            break;
        }
        nonce = nonce.saturating_add(1);
        spent &= row.try_get::<Option<&[u8]>, _>(1)?.is_none();
        if spent {
            settled = nonce;
        }
    }
    // Those below it are authorised for good: they need not be looked at again.
    if known.is_none_or(|known| settled > known) {
        set_least(db, account, asset, settled).await?;
    }
    Ok(nonce)
}

/// Gives a transaction a nonce.
///
/// # Errors
/// The database cannot be written.
pub async fn hold(
    db: &mut SqliteConnection,
    account: u32,
    asset: &str,
    nonce: u64,
    transaction: &TransactionId,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO evm_nonces (vault_account, asset, nonce, held_by) VALUES (?, ?, ?, ?)";
    sqlx::query(insert)
        .bind(i64::from(account))
        .bind(asset)
        .bind(stored(nonce))
        .bind(transaction.0.as_slice())
        .execute(db)
        .await?;
    Ok(())
}

/// A transfer was authorised, and its nonce is spent, or it ended without, and its nonce is free again.
///
/// # Errors
/// The database cannot be written.
pub async fn settle(db: &mut SqliteConnection, record: &TransactionRecord) -> Result<(), StoreError> {
    if record.operation != Operation::Transfer {
        return Ok(());
    }
    let sql = match (record.authorisation.is_some(), record.status.is_final()) {
        (true, _) => "UPDATE evm_nonces SET held_by = NULL WHERE held_by = ?",
        (false, true) => "DELETE FROM evm_nonces WHERE held_by = ?",
        (false, false) => return Ok(()),
    };
    sqlx::query(sql).bind(record.request.transaction.0.as_slice()).execute(db).await?;
    Ok(())
}

/// How many nonces open transactions without an Authorisation have.
///
/// # Errors
/// The database cannot be read.
pub async fn held(db: &mut SqliteConnection, account: u32, asset: &str) -> Result<u64, StoreError> {
    let query = "SELECT COUNT(*) FROM evm_nonces WHERE vault_account = ? AND asset = ? AND held_by IS NOT NULL";
    Ok(loaded(sqlx::query_scalar(query).bind(i64::from(account)).bind(asset).fetch_one(db).await?))
}

/// Forgets which nonces were spent and goes on with this one.
///
/// # Errors
/// The database cannot be written.
pub async fn set_next(db: &mut SqliteConnection, account: u32, asset: &str, nonce: u64) -> Result<(), StoreError> {
    let delete = "DELETE FROM evm_nonces WHERE vault_account = ? AND asset = ? AND held_by IS NULL";
    sqlx::query(delete).bind(i64::from(account)).bind(asset).execute(&mut *db).await?;
    set_least(db, account, asset, nonce).await
}
