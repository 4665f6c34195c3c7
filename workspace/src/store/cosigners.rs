//! Co-signers and which API users they are paired with.

use super::{StoreError, audit, fixed, loaded, parsed, stored};
use crate::ceremony::CosignerUsers;
use countersign_wire::group::Role;
use countersign_wire::ids::{ApiUserId, InstanceId, PartyId};
use countersign_wire::status::ApprovalKind;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use std::collections::BTreeMap;

/// A co-signer, as it paired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    /// Its identity in this workspace.
    pub party: PartyId,
    /// Its id in the HTTP API.
    pub device_id: String,
    /// Its name, as it said last; may be empty.
    pub name: String,
    /// Its instance's identity.
    pub instance: InstanceId,
    /// Its role.
    pub role: Role,
    /// Its operators' public keys, hex.
    pub operators: Vec<String>,
    /// How many of them must sign a change.
    pub required: u16,
    /// Version of its software.
    pub version: String,
    /// Its measurements by name, hex.
    pub measurements: BTreeMap<String, String>,
    /// Name of its security module.
    pub module_id: String,
    /// Whether it was attested under a development root.
    pub development: bool,
    /// Unix ms.
    pub paired_at_ms: u64,
    /// Unix ms of its last link.
    pub last_seen_ms: Option<u64>,
}

/// A pairing of an API user with a co-signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairedUser {
    /// The API user.
    pub user: ApiUserId,
    /// The co-signer.
    pub party: PartyId,
    /// Whether an owner approved it, where that is asked for.
    pub approved: bool,
    /// Whether its requests are approved without asking anybody.
    pub auto_approve: bool,
    /// Whether only what an initiator signed is signed.
    pub require_intent: bool,
    /// Unix ms.
    pub paired_at_ms: u64,
    /// The pairing token that it came from.
    pub jti: Option<String>,
    /// Whether its answer arrived: its refresh token has been used.
    pub confirmed: bool,
    /// The user's approval key (Ed25519), as it was attested; none where it was paired before there were any.
    pub approval_key: Option<[u8; 32]>,
    /// What its co-signer said last about how its requests are approved.
    pub said: Option<Said>,
    /// Unix ms since when its co-signer says no more that it has this user: operators removed it.
    pub gone_at_ms: Option<u64>,
}

/// How a co-signer says that a user's requests are approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// By whom.
    pub approval: ApprovalKind,
    /// Digest of the whole setting.
    pub digest: [u8; 32],
}

/// A kind of approval as the HTTP API shows it.
pub fn approval_str(kind: ApprovalKind) -> &'static str {
    match kind {
        ApprovalKind::None => "NONE",
        ApprovalKind::Handler => "HANDLER",
        ApprovalKind::Auto => "AUTO",
    }
}

impl Cosigner {
    /// Whether owners who approved one approved the other: operators, and what runs.
    pub fn is_as_approved(&self, other: &Self) -> bool {
        let of = |c: &Self| (c.operators.clone(), c.required, c.measurements.clone(), c.development, c.instance);
        of(self) == of(other)
    }
}

impl PairedUser {
    /// As the HTTP API shows it.
    pub fn status(&self) -> &'static str {
        match (self.is_gone(), self.approved) {
            (true, _) => "UNPAIRED",
            (false, true) => "COMPLETED",
            (false, false) => "WAITING_FOR_APPROVAL",
        }
    }

    /// Whether its co-signer's operators removed it.
    pub fn is_gone(&self) -> bool {
        self.gone_at_ms.is_some()
    }
}

/// A role as pairing requests and the HTTP API show it.
pub fn role_str(role: Role) -> &'static str {
    match role {
        Role::Customer => "CUSTOMER",
        Role::Cloud => "CLOUD",
    }
}

fn json_error(what: &'static str) -> impl Fn(serde_json::Error) -> StoreError {
    move |e| StoreError::Value { what, detail: e.to_string() }
}

fn cosigner(row: &SqliteRow) -> Result<Cosigner, StoreError> {
    let role = match row.try_get("role")? {
        "CUSTOMER" => Role::Customer,
        "CLOUD" => Role::Cloud,
        other => return Err(StoreError::Value { what: "role", detail: String::from(other) }),
    };
    Ok(Cosigner {
        party: PartyId(fixed("party", row.try_get("party")?)?),
        device_id: row.try_get("device_id")?,
        name: row.try_get("name")?,
        instance: InstanceId(fixed("instance", row.try_get("instance")?)?),
        role,
        operators: serde_json::from_str(row.try_get("operators")?).map_err(json_error("operators"))?,
        required: u16::try_from(loaded(row.try_get("required")?)).unwrap_or(u16::MAX),
        version: row.try_get("version")?,
        measurements: serde_json::from_str(row.try_get("measurements")?).map_err(json_error("measurements"))?,
        module_id: row.try_get("module_id")?,
        development: row.try_get("development")?,
        paired_at_ms: loaded(row.try_get("paired_at_ms")?),
        last_seen_ms: row.try_get::<Option<i64>, _>("last_seen_ms")?.map(loaded),
    })
}

fn said_of(row: &SqliteRow) -> Result<Option<Said>, StoreError> {
    let kinds = [ApprovalKind::None, ApprovalKind::Handler, ApprovalKind::Auto];
    let Some(text) = row.try_get::<Option<&str>, _>("approval")? else { return Ok(None) };
    let approval = kinds.into_iter().find(|kind| approval_str(*kind) == text);
    let approval = approval.ok_or_else(|| StoreError::Value { what: "approval", detail: text.to_owned() })?;
    Ok(Some(Said { approval, digest: fixed("approval digest", row.try_get("approval_digest")?)? }))
}

fn paired_user(row: &SqliteRow) -> Result<PairedUser, StoreError> {
    let approval_key: Option<&[u8]> = row.try_get("approval_key")?;
    Ok(PairedUser {
        user: parsed("API user id", row.try_get("user")?)?,
        party: PartyId(fixed("party", row.try_get("party")?)?),
        approved: row.try_get::<&str, _>("status")? == "COMPLETED",
        auto_approve: row.try_get("auto_approve")?,
        require_intent: row.try_get("require_intent")?,
        paired_at_ms: loaded(row.try_get("paired_at_ms")?),
        jti: row.try_get("jti")?,
        confirmed: row.try_get("confirmed")?,
        approval_key: approval_key.map(|key| fixed("approval key", key)).transpose()?,
        said: said_of(row)?,
        gone_at_ms: row.try_get::<Option<i64>, _>("gone_at_ms")?.map(loaded),
    })
}

/// Stores a co-signer, or what changed about a known one since it paired last. Its device id stays.
pub async fn save(db: &mut SqliteConnection, new: &Cosigner) -> Result<(), StoreError> {
    let upsert = "INSERT INTO cosigners (party, device_id, instance, role, operators, required, version, measurements,
        module_id, development, paired_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (party) DO UPDATE SET operators = excluded.operators, required = excluded.required,
        version = excluded.version, measurements = excluded.measurements, module_id = excluded.module_id,
        development = excluded.development";
    sqlx::query(upsert)
        .bind(new.party.0.as_slice())
        .bind(&new.device_id)
        .bind(new.instance.0.as_slice())
        .bind(role_str(new.role))
        .bind(serde_json::to_string(&new.operators).map_err(json_error("operators"))?)
        .bind(i64::from(new.required))
        .bind(&new.version)
        .bind(serde_json::to_string(&new.measurements).map_err(json_error("measurements"))?)
        .bind(&new.module_id)
        .bind(new.development)
        .bind(stored(new.paired_at_ms))
        .execute(db)
        .await?;
    Ok(())
}

/// Notes when a co-signer's link came up or went down.
pub async fn seen(db: &mut SqliteConnection, party: &PartyId, at_ms: u64) -> Result<(), StoreError> {
    let update = "UPDATE cosigners SET last_seen_ms = ? WHERE party = ?";
    sqlx::query(update).bind(stored(at_ms)).bind(party.0.as_slice()).execute(db).await?;
    Ok(())
}

/// One co-signer, by its identity.
pub async fn get(db: &mut SqliteConnection, party: &PartyId) -> Result<Option<Cosigner>, StoreError> {
    let query = sqlx::query("SELECT * FROM cosigners WHERE party = ?").bind(party.0.as_slice());
    query.fetch_optional(db).await?.as_ref().map(cosigner).transpose()
}

/// One co-signer, by its id in the HTTP API.
pub async fn by_device(db: &mut SqliteConnection, device_id: &str) -> Result<Option<Cosigner>, StoreError> {
    let query = sqlx::query("SELECT * FROM cosigners WHERE device_id = ?").bind(device_id);
    query.fetch_optional(db).await?.as_ref().map(cosigner).transpose()
}

/// All co-signers, oldest first.
pub async fn list(db: &mut SqliteConnection) -> Result<Vec<Cosigner>, StoreError> {
    let rows = sqlx::query("SELECT * FROM cosigners ORDER BY paired_at_ms, device_id").fetch_all(db).await?;
    rows.iter().map(cosigner).collect()
}

/// Stores a pairing of a user.
pub async fn save_user(db: &mut SqliteConnection, new: &PairedUser) -> Result<(), StoreError> {
    let upsert = "INSERT INTO cosigner_users (user, party, status, auto_approve, require_intent, paired_at_ms, jti,
        confirmed, approval_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (user) DO UPDATE SET
        party = excluded.party, status = excluded.status, approval_key = excluded.approval_key, gone_at_ms = NULL,
        auto_approve = excluded.auto_approve, require_intent = excluded.require_intent, jti = excluded.jti,
        confirmed = excluded.confirmed";
    sqlx::query(upsert)
        .bind(new.user.as_str())
        .bind(new.party.0.as_slice())
        .bind(if new.approved { "COMPLETED" } else { "WAITING_FOR_APPROVAL" })
        .bind(new.auto_approve)
        .bind(new.require_intent)
        .bind(stored(new.paired_at_ms))
        .bind(&new.jti)
        .bind(new.confirmed)
        .bind(new.approval_key.as_ref().map(|key| key.as_slice()))
        .execute(db)
        .await?;
    Ok(())
}

/// Takes down what a co-signer says about its name and its API users. Whom it does not name any more, and who was confirmed,
/// was removed by its operators; named again, it is back.
pub async fn said(db: &mut SqliteConnection, said: &CosignerUsers, now_ms: u64) -> Result<(), StoreError> {
    let party = said.party.0.as_slice();
    sqlx::query("UPDATE cosigners SET name = ? WHERE party = ?").bind(&said.name).bind(party).execute(&mut *db).await?;
    let rows = sqlx::query("SELECT * FROM cosigner_users WHERE party = ?").bind(party).fetch_all(&mut *db).await?;
    for row in &rows {
        let known = paired_user(row)?;
        let id = known.user.as_str();
        match said.users.get(&known.user) {
            Some((approval, digest)) => {
                let update = "UPDATE cosigner_users SET approval = ?, approval_digest = ?, auto_approve = ?,
                    gone_at_ms = NULL WHERE user = ?";
                sqlx::query(update)
                    .bind(approval_str(*approval))
                    .bind(digest.as_slice())
                    .bind(*approval == ApprovalKind::Auto)
                    .bind(id)
                    .execute(&mut *db)
                    .await?;
                if known.said.is_some_and(|before| before.digest != *digest) {
                    let actor = format!("co-signer {}", said.party);
                    let detail = format!("{} {}", approval_str(*approval), hex::encode(digest));
                    audit::append(db, now_ms, &actor, "pairing.approval_changed", id, &detail).await?;
                }
            }
            None if known.confirmed && !known.is_gone() => {
                let update = "UPDATE cosigner_users SET gone_at_ms = ? WHERE user = ?";
                sqlx::query(update).bind(stored(now_ms)).bind(id).execute(&mut *db).await?;
                let actor = format!("co-signer {}", said.party);
                audit::append(db, now_ms, &actor, "pairing.gone", id, "its operators removed the API user").await?;
            }
            None => {}
        }
    }
    Ok(())
}

/// What owners approved of a co-signer is no longer so: all its pairings wait for them again. Says how many waited not.
pub async fn withdraw_approvals(db: &mut SqliteConnection, party: &PartyId) -> Result<u64, StoreError> {
    let update = "UPDATE cosigner_users SET status = 'WAITING_FOR_APPROVAL' WHERE party = ? AND status = 'COMPLETED'";
    Ok(sqlx::query(update).bind(party.0.as_slice()).execute(db).await?.rows_affected())
}

/// The pairing of a user, if it has one.
pub async fn user(db: &mut SqliteConnection, id: &str) -> Result<Option<PairedUser>, StoreError> {
    let row = sqlx::query("SELECT * FROM cosigner_users WHERE user = ?").bind(id).fetch_optional(db).await?;
    row.as_ref().map(paired_user).transpose()
}

/// All pairings of users.
pub async fn users(db: &mut SqliteConnection) -> Result<Vec<PairedUser>, StoreError> {
    let rows = sqlx::query("SELECT * FROM cosigner_users ORDER BY paired_at_ms, user").fetch_all(db).await?;
    rows.iter().map(paired_user).collect()
}

/// Whether an owner approved some user of this co-signer.
pub async fn is_approved(db: &mut SqliteConnection, party: &PartyId) -> Result<bool, StoreError> {
    let query = "SELECT COUNT(*) FROM cosigner_users WHERE party = ? AND status = 'COMPLETED'";
    let count: i64 = sqlx::query_scalar(query).bind(party.0.as_slice()).fetch_one(db).await?;
    Ok(count > 0)
}
