//! Transactions.

use super::{StoreError, fixed, loaded, stored};
use crate::ceremony::{TransactionRecord, TransactionStatus};
use countersign_wire::Message;
use countersign_wire::ids::TransactionId;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

/// A stored transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTransaction {
    /// The API user that asked for it.
    pub initiator: String,
    /// The client's own id for it.
    pub external_tx_id: Option<String>,
    /// The coordinator's record.
    pub record: TransactionRecord,
}

/// What of a transaction is searched by.
#[derive(Debug, Clone)]
pub struct Columns<'a> {
    /// The API user that asks for it.
    pub initiator: &'a str,
    /// The client's own id for it.
    pub external_tx_id: Option<&'a str>,
    /// The asset.
    pub asset: &'a str,
    /// The vault account.
    pub vault_account: u32,
}

/// Which transactions a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Created or updated after this Unix ms.
    pub after_ms: Option<u64>,
    /// Created or updated before this Unix ms.
    pub before_ms: Option<u64>,
    /// With this status.
    pub status: Option<TransactionStatus>,
    /// For this asset.
    pub asset: Option<String>,
    /// Of this vault account.
    pub vault_account: Option<u32>,
    /// By the last update rather than by creation.
    pub by_update: bool,
    /// Oldest first.
    pub ascending: bool,
    /// Most of them.
    pub limit: u32,
}

fn transaction(row: &SqliteRow) -> Result<StoredTransaction, StoreError> {
    Ok(StoredTransaction {
        initiator: row.try_get("initiator")?,
        external_tx_id: row.try_get("external_tx_id")?,
        record: TransactionRecord::load(row.try_get("record")?)?,
    })
}

/// Adds a transaction.
pub async fn insert(
    db: &mut SqliteConnection,
    record: &TransactionRecord,
    columns: &Columns<'_>,
) -> Result<(), StoreError> {
    let insert =
        "INSERT INTO transactions (id, external_tx_id, initiator, signer, operation, asset, vault_account, status,
        is_final, created_at_ms, updated_at_ms, request_bytes, record)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(insert)
        .bind(record.request.transaction.0.as_slice())
        .bind(columns.external_tx_id)
        .bind(columns.initiator)
        .bind(record.request.signer.as_str())
        .bind(record.operation.as_str())
        .bind(columns.asset)
        .bind(i64::from(columns.vault_account))
        .bind(record.status.as_str())
        .bind(record.status.is_final())
        .bind(stored(record.created_at_ms))
        .bind(stored(record.updated_at_ms))
        .bind(stored(request_bytes(record)))
        .bind(record.encode())
        .execute(db)
        .await?;
    Ok(())
}

/// Stores the coordinator's record. A transaction that has ended is not changed any more.
pub async fn update(db: &mut SqliteConnection, record: &TransactionRecord) -> Result<(), StoreError> {
    let update = "UPDATE transactions SET status = ?, is_final = ?, updated_at_ms = ?, record = ?
        WHERE id = ? AND is_final = 0";
    sqlx::query(update)
        .bind(record.status.as_str())
        .bind(record.status.is_final())
        .bind(stored(record.updated_at_ms))
        .bind(record.encode())
        .bind(record.request.transaction.0.as_slice())
        .execute(db)
        .await?;
    Ok(())
}

/// One transaction.
pub async fn get(db: &mut SqliteConnection, id: &TransactionId) -> Result<Option<StoredTransaction>, StoreError> {
    let query = sqlx::query("SELECT * FROM transactions WHERE id = ?").bind(id.0.as_slice());
    query.fetch_optional(db).await?.as_ref().map(transaction).transpose()
}

/// One transaction, by the client's own id.
pub async fn by_external(db: &mut SqliteConnection, id: &str) -> Result<Option<StoredTransaction>, StoreError> {
    let query = sqlx::query("SELECT * FROM transactions WHERE external_tx_id = ?").bind(id);
    query.fetch_optional(db).await?.as_ref().map(transaction).transpose()
}

/// The id of the transaction with this external id.
pub async fn id_of_external(db: &mut SqliteConnection, id: &str) -> Result<Option<TransactionId>, StoreError> {
    let row = sqlx::query("SELECT id FROM transactions WHERE external_tx_id = ?").bind(id).fetch_optional(db).await?;
    row.map(|row| Ok(TransactionId(fixed("transaction id", row.try_get("id")?)?))).transpose()
}

/// All that have not ended, oldest first.
pub async fn open(db: &mut SqliteConnection) -> Result<Vec<TransactionRecord>, StoreError> {
    let query = "SELECT record FROM transactions WHERE is_final = 0 ORDER BY created_at_ms";
    let rows = sqlx::query(query).fetch_all(db).await?;
    rows.iter().map(|row| Ok(TransactionRecord::load(row.try_get("record")?)?)).collect()
}

/// At most `limit` that were created before `before_ms` and about which nobody was asked yet, oldest first.
pub async fn untold(db: &mut SqliteConnection, before_ms: u64, limit: u32) -> Result<Vec<TransactionId>, StoreError> {
    let query = "SELECT id FROM transactions WHERE is_final = 0 AND status = ? AND created_at_ms < ?
        ORDER BY created_at_ms LIMIT ?";
    let rows = sqlx::query(query)
        .bind(TransactionStatus::Submitted.as_str())
        .bind(stored(before_ms))
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?;
    rows.iter().map(|row| Ok(TransactionId(fixed("transaction id", row.try_get("id")?)?))).collect()
}

/// Those that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// How many.
    pub count: u64,
    /// The bytes of their requests.
    pub bytes: u64,
}

/// How much has not ended.
pub async fn measure_open(db: &mut SqliteConnection) -> Result<Open, StoreError> {
    let query = "SELECT COUNT(*), COALESCE(SUM(request_bytes), 0) FROM transactions WHERE is_final = 0";
    let row = sqlx::query(query).fetch_one(db).await?;
    Ok(Open { count: loaded(row.try_get(0)?), bytes: loaded(row.try_get(1)?) })
}

/// How many bytes of a client's request are kept in memory while its transaction is open.
pub fn request_bytes(record: &TransactionRecord) -> u64 {
    let request = &record.request;
    let token = request.token.as_ref().map_or(0, |token| token.as_str().len());
    let unsigned = request.unsigned.as_ref().map_or(0, |unsigned| unsigned.len());
    let body = request.body.len().saturating_add(request.path.as_str().len());
    let bytes = body.saturating_add(token).saturating_add(unsigned);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// A list.
pub async fn list(db: &mut SqliteConnection, filter: &Filter) -> Result<Vec<StoredTransaction>, StoreError> {
    let order = if filter.by_update { "updated_at_ms" } else { "created_at_ms" };
    let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM transactions WHERE 1 = 1");
    if let Some(after) = filter.after_ms {
        query.push(format!(" AND {order} > ")).push_bind(stored(after));
    }
    if let Some(before) = filter.before_ms {
        query.push(format!(" AND {order} < ")).push_bind(stored(before));
    }
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(asset) = &filter.asset {
        query.push(" AND asset = ").push_bind(asset.clone());
    }
    if let Some(vault_account) = filter.vault_account {
        query.push(" AND vault_account = ").push_bind(i64::from(vault_account));
    }
    let direction = if filter.ascending { "ASC" } else { "DESC" };
    query.push(format!(" ORDER BY {order} {direction}, id {direction} LIMIT ")).push_bind(i64::from(filter.limit));
    query.build().fetch_all(db).await?.iter().map(transaction).collect()
}
