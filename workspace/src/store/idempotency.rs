//! Answers to requests with an `Idempotency-Key`, kept for a day. An answer is written in the transaction of what it
//! answers, so that a crash keeps both or neither.

use super::{StoreError, loaded, stored};
use sqlx::{Row, SqliteConnection};

/// How long an answer is kept, in ms.
pub const KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// What is known about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    New,
    /// The answer to the same request.
    Answered {
        /// HTTP status.
        status: u16,
        /// Body.
        body: Vec<u8>,
        /// Whether it is encrypted.
        sealed: bool,
    },
    /// It was used for another request.
    Conflict,
}

/// Looks a key up.
pub async fn find(
    db: &mut SqliteConnection,
    user: &str,
    key: &str,
    request_hash: &[u8; 32],
    now_ms: u64,
) -> Result<Known, StoreError> {
    let query =
        "SELECT request_hash, status, body, sealed FROM idempotency WHERE user = ? AND key = ? AND expires_at_ms > ?";
    let row = sqlx::query(query).bind(user).bind(key).bind(stored(now_ms)).fetch_optional(db).await?;
    let Some(row) = row else { return Ok(Known::New) };
    if row.try_get::<&[u8], _>("request_hash")? != request_hash.as_slice() {
        return Ok(Known::Conflict);
    }
    let status = u16::try_from(loaded(row.try_get("status")?)).unwrap_or(500);
    Ok(Known::Answered { status, body: row.try_get("body")?, sealed: row.try_get("sealed")? })
}

/// Keeps an encrypted answer.
pub async fn keep(
    db: &mut SqliteConnection,
    user: &str,
    key: &str,
    request_hash: &[u8; 32],
    status: u16,
    sealed: &[u8],
    now_ms: u64,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO idempotency (user, key, request_hash, status, body, sealed, expires_at_ms)
        VALUES (?, ?, ?, ?, ?, 1, ?)
        ON CONFLICT (user, key) DO UPDATE SET request_hash = excluded.request_hash, status = excluded.status,
        body = excluded.body, sealed = 1, expires_at_ms = excluded.expires_at_ms WHERE expires_at_ms <= ?";
    sqlx::query(insert)
        .bind(user)
        .bind(key)
        .bind(request_hash.as_slice())
        .bind(i64::from(status))
        .bind(sealed)
        .bind(stored(now_ms.saturating_add(KEPT_MS)))
        .bind(stored(now_ms))
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets what is older than a day.
pub async fn prune(db: &mut SqliteConnection, now_ms: u64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM idempotency WHERE expires_at_ms <= ?").bind(stored(now_ms)).execute(db).await?;
    Ok(())
}
