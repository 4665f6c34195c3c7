//! Configuration changes.

use super::{StoreError, audit, loaded, stored};
use crate::ceremony::{ChangeRecord, ChangeStatus, Payload};
use crate::changes::apply::apply;
use countersign_wire::Message;
use countersign_wire::ids::ChangeId;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

/// Which changes a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Asked for by this API user.
    pub requested_by: Option<String>,
    /// With this status.
    pub status: Option<ChangeStatus>,
    /// Created before this one, which was the last of the page before.
    pub after: Option<(u64, ChangeId)>,
    /// Most of them.
    pub limit: u32,
}

fn change(row: &SqliteRow) -> Result<ChangeRecord, StoreError> {
    Ok(ChangeRecord::decode(row.try_get("record")?)?)
}

/// The API user or wallet that a change is about.
pub fn subject(payload: &Payload) -> &str {
    match payload {
        Payload::AddUser { id, .. } => id.as_str(),
        Payload::AddWallet { wallet, .. } | Payload::AddAddress { wallet, .. } => wallet,
        Payload::SetApproval { user, .. } => user.as_str(),
    }
}

/// Adds a change.
pub async fn insert(db: &mut SqliteConnection, record: &ChangeRecord) -> Result<(), StoreError> {
    let insert = "INSERT INTO config_changes (id, kind, subject, signer, requested_by, status, is_final, created_at_ms,
        decided_at_ms, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(insert)
        .bind(record.change.id.0.as_slice())
        .bind(record.change.kind.as_str())
        .bind(subject(&record.payload))
        .bind(record.change.signer.as_str())
        .bind(record.requested_by.as_str())
        .bind(record.status.as_str())
        .bind(record.status.is_final())
        .bind(stored(record.created_at_ms))
        .bind(record.decided_at_ms.map(stored))
        .bind(record.encode())
        .execute(db)
        .await?;
    Ok(())
}

async fn update(db: &mut SqliteConnection, record: &ChangeRecord) -> Result<(), StoreError> {
    let update = "UPDATE config_changes SET status = ?, is_final = ?, decided_at_ms = ?, record = ? WHERE id = ?";
    sqlx::query(update)
        .bind(record.status.as_str())
        .bind(record.status.is_final())
        .bind(record.decided_at_ms.map(stored))
        .bind(record.encode())
        .bind(record.change.id.0.as_slice())
        .execute(db)
        .await?;
    Ok(())
}

/// Stores the coordinator's record; where it is approved now, what it asks for is in force in the same transaction. A
/// change that has ended is not changed any more, and nothing is done twice.
pub async fn save(db: &mut SqliteConnection, record: &ChangeRecord, now_ms: u64) -> Result<(), StoreError> {
    let Some(before) = get(db, &record.change.id).await?.filter(|before| !before.status.is_final()) else {
        return Ok(());
    };
    let mut record = record.clone();
    if record.status == ChangeStatus::Approved
        && let Err(refusal) = apply(db, &record.payload, now_ms).await?
    {
        (record.status, record.reason) = (ChangeStatus::Failed, Some(refusal));
    }
    update(db, &record).await?;
    if record.status != before.status {
        let actor = if record.approval.is_some() { record.change.signer.as_str() } else { "workspace" };
        let action = format!("config_change.{}", record.status.as_str().to_lowercase());
        let why = record.reason.as_ref().map(ToString::to_string).unwrap_or_default();
        let detail = format!("{} of {} {why}", record.change.kind.as_str(), subject(&record.payload));
        let id = record.change.id.to_string();
        audit::append(db, now_ms, actor, &action, &id, detail.trim_end()).await?;
    }
    Ok(())
}

/// One change.
pub async fn get(db: &mut SqliteConnection, id: &ChangeId) -> Result<Option<ChangeRecord>, StoreError> {
    let query = sqlx::query("SELECT record FROM config_changes WHERE id = ?").bind(id.0.as_slice());
    query.fetch_optional(db).await?.as_ref().map(change).transpose()
}

/// All that have not ended, oldest first.
pub async fn open(db: &mut SqliteConnection) -> Result<Vec<ChangeRecord>, StoreError> {
    let query = "SELECT record FROM config_changes WHERE is_final = 0 ORDER BY created_at_ms, id";
    sqlx::query(query).fetch_all(db).await?.iter().map(change).collect()
}

/// How many have not ended.
pub async fn count_open(db: &mut SqliteConnection) -> Result<u64, StoreError> {
    Ok(loaded(sqlx::query_scalar("SELECT COUNT(*) FROM config_changes WHERE is_final = 0").fetch_one(db).await?))
}

/// All of one kind about one API user or wallet, the newest first.
pub async fn about(db: &mut SqliteConnection, kind: &str, subject: &str) -> Result<Vec<ChangeRecord>, StoreError> {
    let query = "SELECT record FROM config_changes WHERE subject = ? AND kind = ? ORDER BY created_at_ms DESC, id DESC LIMIT 100";
    sqlx::query(query).bind(subject).bind(kind).fetch_all(db).await?.iter().map(change).collect()
}

/// A list, the newest first.
pub async fn list(db: &mut SqliteConnection, filter: &Filter) -> Result<Vec<ChangeRecord>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT record FROM config_changes WHERE 1 = 1");
    if let Some(user) = &filter.requested_by {
        query.push(" AND requested_by = ").push_bind(user.clone());
    }
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some((at_ms, id)) = &filter.after {
        query.push(" AND (created_at_ms, id) < (").push_bind(stored(*at_ms));
        query.push(", ").push_bind(id.0.to_vec()).push(")");
    }
    query.push(" ORDER BY created_at_ms DESC, id DESC LIMIT ").push_bind(i64::from(filter.limit));
    query.build().fetch_all(db).await?.iter().map(change).collect()
}
