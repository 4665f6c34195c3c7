//! Single-use pairing tokens, refresh tokens, access tokens. Of the last two only hashes are stored.

use super::{StoreError, fixed, loaded, stored};
use countersign_wire::ids::{ApiUserId, PartyId};
use countersign_wire::message::digest_of;
use sqlx::{Row, SqliteConnection};

/// What is stored of a token.
pub fn token_hash(token: &str) -> [u8; 32] {
    digest_of("cosigner-workspace/token/v1", token.as_bytes())
}

/// What is known about a pairing token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issued {
    /// This workspace's database does not know it.
    Unknown,
    /// It was not used.
    Unused,
    /// This party used it.
    UsedBy(PartyId),
}

/// Notes a token that was issued.
pub async fn insert_token(
    db: &mut SqliteConnection,
    jti: &str,
    user: &ApiUserId,
    expires_at_ms: u64,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO pairing_tokens (jti, user, expires_at_ms) VALUES (?, ?, ?)")
        .bind(jti)
        .bind(user.as_str())
        .bind(stored(expires_at_ms))
        .execute(db)
        .await?;
    Ok(())
}

/// Looks a token up.
pub async fn token(db: &mut SqliteConnection, jti: &str) -> Result<Issued, StoreError> {
    let query = sqlx::query("SELECT used_by FROM pairing_tokens WHERE jti = ?").bind(jti);
    let Some(row) = query.fetch_optional(db).await? else { return Ok(Issued::Unknown) };
    match row.try_get::<Option<&[u8]>, _>("used_by")? {
        None => Ok(Issued::Unused),
        Some(party) => Ok(Issued::UsedBy(PartyId(fixed("party", party)?))),
    }
}

/// Marks a token as used.
pub async fn use_token(db: &mut SqliteConnection, jti: &str, party: &PartyId) -> Result<(), StoreError> {
    let update = "UPDATE pairing_tokens SET used_by = ? WHERE jti = ?";
    sqlx::query(update).bind(party.0.as_slice()).bind(jti).execute(db).await?;
    Ok(())
}

/// Keeps a new refresh token. Older ones of the same pairing, whose answer was lost, are void.
pub async fn insert_refresh(
    db: &mut SqliteConnection,
    token: &str,
    party: &PartyId,
    jti: &str,
    before: Option<&str>,
    now_ms: u64,
) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM refresh_tokens WHERE jti IN (?, ?)");
    delete.bind(jti).bind(before.unwrap_or(jti)).execute(&mut *db).await?;
    sqlx::query("INSERT INTO refresh_tokens (hash, party, jti, created_at_ms) VALUES (?, ?, ?, ?)")
        .bind(token_hash(token).as_slice())
        .bind(party.0.as_slice())
        .bind(jti)
        .bind(stored(now_ms))
        .execute(db)
        .await?;
    Ok(())
}

/// Whose refresh token this is. Its first use shows that the pairing's answer arrived, and voids the co-signer's older ones.
pub async fn use_refresh(db: &mut SqliteConnection, token: &str, now_ms: u64) -> Result<Option<PartyId>, StoreError> {
    let hash = token_hash(token);
    let query = sqlx::query("SELECT party, jti, created_at_ms, used_at_ms FROM refresh_tokens WHERE hash = ?");
    let Some(row) = query.bind(hash.as_slice()).fetch_optional(&mut *db).await? else { return Ok(None) };
    let party = PartyId(fixed("party", row.try_get("party")?)?);
    if row.try_get::<Option<i64>, _>("used_at_ms")?.is_none() {
        let update = "UPDATE refresh_tokens SET used_at_ms = ? WHERE hash = ?";
        sqlx::query(update).bind(stored(now_ms)).bind(hash.as_slice()).execute(&mut *db).await?;
        let confirm = "UPDATE cosigner_users SET confirmed = 1 WHERE jti = ?";
        sqlx::query(confirm).bind(row.try_get::<&str, _>("jti")?).execute(&mut *db).await?;
        let created: i64 = row.try_get("created_at_ms")?;
        let delete = "DELETE FROM refresh_tokens WHERE party = ? AND hash <> ? AND created_at_ms <= ?";
        sqlx::query(delete).bind(party.0.as_slice()).bind(hash.as_slice()).bind(created).execute(db).await?;
    }
    Ok(Some(party))
}

/// Keeps an access token.
pub async fn insert_access(
    db: &mut SqliteConnection,
    token: &str,
    party: &PartyId,
    expires_at_ms: u64,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO access_tokens (hash, party, expires_at_ms) VALUES (?, ?, ?)")
        .bind(token_hash(token).as_slice())
        .bind(party.0.as_slice())
        .bind(stored(expires_at_ms))
        .execute(db)
        .await?;
    Ok(())
}

/// Voids all access tokens of a co-signer.
pub async fn revoke_access(db: &mut SqliteConnection, party: &PartyId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM access_tokens WHERE party = ?").bind(party.0.as_slice()).execute(db).await?;
    Ok(())
}

/// Whose access token this is, while it is valid.
pub async fn access(db: &mut SqliteConnection, token: &str, now_ms: u64) -> Result<Option<PartyId>, StoreError> {
    let query = sqlx::query("SELECT party FROM access_tokens WHERE hash = ? AND expires_at_ms > ?");
    let row = query.bind(token_hash(token).as_slice()).bind(stored(now_ms)).fetch_optional(db).await?;
    row.map(|row| Ok(PartyId(fixed("party", row.try_get("party")?)?))).transpose()
}

/// Forgets expired access tokens, and pairing tokens a day after they expired.
pub async fn prune(db: &mut SqliteConnection, now_ms: u64) -> Result<u64, StoreError> {
    let delete = sqlx::query("DELETE FROM access_tokens WHERE expires_at_ms <= ?");
    delete.bind(stored(now_ms)).execute(&mut *db).await?;
    let day_ago = now_ms.saturating_sub(24 * 60 * 60 * 1000);
    let done =
        sqlx::query("DELETE FROM pairing_tokens WHERE expires_at_ms <= ?").bind(stored(day_ago)).execute(db).await?;
    Ok(loaded(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX)))
}
