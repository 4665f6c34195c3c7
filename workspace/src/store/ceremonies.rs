//! Records of the coordinator: groups and keys. Transactions and certificates are in their own files.

use super::{Store, StoreError, audit, changes, cosigners, evm_nonces, fixed, loaded, stored, transactions, vault};
use crate::ceremony::{GroupRecord, KeyRecord, Record, Snapshot};
use countersign_wire::Message;
use countersign_wire::ids::{GroupId, KeyId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

/// A stored group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGroup {
    /// Its name.
    pub name: Option<String>,
    /// Unix ms.
    pub created_at_ms: u64,
    /// The coordinator's record.
    pub record: GroupRecord,
}

/// A stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Unix ms.
    pub created_at_ms: u64,
    /// The coordinator's record.
    pub record: KeyRecord,
}

/// Stores one record of the coordinator.
pub async fn save(db: &mut SqliteConnection, record: &Record, now_ms: u64) -> Result<(), StoreError> {
    match record {
        Record::Group(record) => save_group(db, record, now_ms).await,
        Record::Key(record) => save_key(db, record, now_ms).await,
        Record::Transaction(record) => {
            transactions::update(db, record).await?;
            evm_nonces::settle(db, record).await
        }
        Record::Certificate(record) => vault::save_certificate(db, record).await,
        Record::Change(record) => changes::save(db, record, now_ms).await,
        Record::Users(said) => cosigners::said(db, said, now_ms).await,
        Record::Audit(note) => audit::append(db, now_ms, &note.actor, note.action, &note.subject, &note.detail).await,
    }
}

async fn save_group(db: &mut SqliteConnection, record: &GroupRecord, now_ms: u64) -> Result<(), StoreError> {
    let customer = record.group.customer().map(|id| id.0.to_vec()).unwrap_or_default();
    let upsert = "INSERT INTO signing_groups (id, customer, created_at_ms, status, record) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET status = excluded.status, record = excluded.record";
    sqlx::query(upsert)
        .bind(record.group.id.0.as_slice())
        .bind(customer)
        .bind(stored(now_ms))
        .bind(record.status.as_str())
        .bind(record.encode())
        .execute(db)
        .await?;
    Ok(())
}

async fn save_key(db: &mut SqliteConnection, record: &KeyRecord, now_ms: u64) -> Result<(), StoreError> {
    let upsert = "INSERT INTO keys (id, signer, coin_type, created_at_ms, status, record) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET status = excluded.status, record = excluded.record";
    sqlx::query(upsert)
        .bind(record.key.0.as_slice())
        .bind(record.purpose.signer.as_str())
        .bind(i64::from(record.purpose.coin_type))
        .bind(stored(now_ms))
        .bind(record.status.as_str())
        .bind(record.encode())
        .execute(db)
        .await?;
    Ok(())
}

fn group(row: &SqliteRow) -> Result<StoredGroup, StoreError> {
    Ok(StoredGroup {
        name: row.try_get("name")?,
        created_at_ms: loaded(row.try_get("created_at_ms")?),
        record: GroupRecord::decode(row.try_get("record")?)?,
    })
}

fn key(row: &SqliteRow) -> Result<StoredKey, StoreError> {
    Ok(StoredKey {
        created_at_ms: loaded(row.try_get("created_at_ms")?),
        record: KeyRecord::decode(row.try_get("record")?)?,
    })
}

/// Names a group.
pub async fn name_group(db: &mut SqliteConnection, id: &GroupId, name: &str) -> Result<(), StoreError> {
    let update = "UPDATE signing_groups SET name = ? WHERE id = ?";
    sqlx::query(update).bind(name).bind(id.0.as_slice()).execute(db).await?;
    Ok(())
}

/// One group.
pub async fn get_group(db: &mut SqliteConnection, id: &GroupId) -> Result<Option<StoredGroup>, StoreError> {
    let query = sqlx::query("SELECT * FROM signing_groups WHERE id = ?").bind(id.0.as_slice());
    query.fetch_optional(db).await?.as_ref().map(group).transpose()
}

/// All groups, oldest first.
pub async fn groups(db: &mut SqliteConnection) -> Result<Vec<StoredGroup>, StoreError> {
    let rows = sqlx::query("SELECT * FROM signing_groups ORDER BY created_at_ms, id").fetch_all(db).await?;
    rows.iter().map(group).collect()
}

/// One key.
pub async fn get_key(db: &mut SqliteConnection, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
    let query = sqlx::query("SELECT * FROM keys WHERE id = ?").bind(id.0.as_slice());
    query.fetch_optional(db).await?.as_ref().map(key).transpose()
}

/// At most `limit` keys, oldest first: those that come after one, or the first.
pub async fn keys(
    db: &mut SqliteConnection,
    after: Option<&StoredKey>,
    limit: u32,
) -> Result<Vec<StoredKey>, StoreError> {
    let query = "SELECT * FROM keys WHERE (created_at_ms, id) > (?, ?) ORDER BY created_at_ms, id LIMIT ?";
    let rows = sqlx::query(query)
        .bind(after.map_or(-1, |key| stored(key.created_at_ms)))
        .bind(after.map(|key| key.record.key.0.to_vec()).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?;
    rows.iter().map(key).collect()
}

/// The keys of a signer for one kind of coin, oldest first.
pub async fn keys_of(db: &mut SqliteConnection, signer: &str, coin_type: u32) -> Result<Vec<StoredKey>, StoreError> {
    let query = sqlx::query("SELECT * FROM keys WHERE signer = ? AND coin_type = ? ORDER BY created_at_ms, id");
    let rows = query.bind(signer).bind(i64::from(coin_type)).fetch_all(db).await?;
    rows.iter().map(key).collect()
}

/// How many keys there are.
pub async fn count_keys(db: &mut SqliteConnection) -> Result<u64, StoreError> {
    Ok(loaded(sqlx::query_scalar("SELECT COUNT(*) FROM keys").fetch_one(db).await?))
}

/// The key that new vault assets of a signer get.
pub async fn signer_key(db: &mut SqliteConnection, signer: &str, coin_type: u32) -> Result<Option<KeyId>, StoreError> {
    let query = sqlx::query("SELECT key FROM signer_keys WHERE signer = ? AND coin_type = ?");
    let row = query.bind(signer).bind(i64::from(coin_type)).fetch_optional(db).await?;
    row.map(|row| Ok(KeyId(fixed("key id", row.try_get("key")?)?))).transpose()
}

/// Chooses the key that new vault assets of a signer get.
pub async fn set_signer_key(
    db: &mut SqliteConnection,
    signer: &str,
    coin_type: u32,
    key: &KeyId,
) -> Result<(), StoreError> {
    let upsert = "INSERT INTO signer_keys (signer, coin_type, key) VALUES (?, ?, ?)
        ON CONFLICT (signer, coin_type) DO UPDATE SET key = excluded.key";
    sqlx::query(upsert).bind(signer).bind(i64::from(coin_type)).bind(key.0.as_slice()).execute(db).await?;
    Ok(())
}

/// Everything from which the coordinator is rebuilt.
pub async fn snapshot(store: &Store) -> Result<Snapshot, StoreError> {
    let mut read = store.read().await?;
    Ok(Snapshot {
        groups: groups(&mut read).await?.into_iter().map(|g| g.record).collect(),
        keys: keys(&mut read, None, u32::MAX).await?.into_iter().map(|k| k.record).collect(),
        transactions: transactions::open(&mut read).await?,
        changes: changes::open(&mut read).await?,
    })
}
