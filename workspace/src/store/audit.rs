//! The audit log: one row an administrative act, written in the act's own transaction; each hash covers the one before.

use super::{StoreError, fixed, loaded, stored};
use countersign_wire::message::digest_of;
use sqlx::{Row, SqliteConnection};

const DOMAIN: &str = "cosigner-workspace/audit/v1";

fn hash_of(before: &[u8; 32], sequence: i64, at_ms: i64, texts: [&str; 4]) -> [u8; 32] {
    let encoded = borsh::to_vec(&(before, sequence, at_ms, texts)).unwrap_or_default();
    digest_of(DOMAIN, &encoded)
}

/// Appends an act.
pub async fn append(
    db: &mut SqliteConnection,
    at_ms: u64,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<(), StoreError> {
    let last = sqlx::query("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1");
    let (before, sequence) = match last.fetch_optional(&mut *db).await? {
        None => ([0; 32], 1),
        Some(row) => (fixed("audit hash", row.try_get("hash")?)?, row.try_get::<i64, _>("sequence")?.saturating_add(1)),
    };
    let hash = hash_of(&before, sequence, stored(at_ms), [actor, action, subject, detail]);
    let insert =
        "INSERT INTO audit (sequence, at_ms, actor, action, subject, detail, hash) VALUES (?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(insert)
        .bind(sequence)
        .bind(stored(at_ms))
        .bind(actor)
        .bind(action)
        .bind(subject)
        .bind(detail)
        .bind(hash.as_slice())
        .execute(db)
        .await?;
    Ok(())
}

/// Verifies the whole chain and says how many acts it holds; `None` where it is broken.
pub async fn verify(db: &mut SqliteConnection) -> Result<Option<u64>, StoreError> {
    let mut before = [0; 32];
    let mut expected = 0i64;
    for row in sqlx::query("SELECT * FROM audit ORDER BY sequence").fetch_all(db).await? {
        expected = expected.saturating_add(1);
        let texts: [String; 4] =
            [row.try_get("actor")?, row.try_get("action")?, row.try_get("subject")?, row.try_get("detail")?];
        let [actor, action, subject, detail] = &texts;
        let hash = hash_of(&before, expected, row.try_get("at_ms")?, [actor, action, subject, detail]);
        if row.try_get::<i64, _>("sequence")? != expected || fixed::<32>("audit hash", row.try_get("hash")?)? != hash {
            return Ok(None);
        }
        before = hash;
    }
    Ok(Some(loaded(expected)))
}
