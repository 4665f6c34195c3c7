//! Configuration changes that an API user's callback handler approves. `ceremony/change` asks and judges the answer.

pub mod apply;

use crate::ceremony::{Approver, ChangeRecord, Payload};
use crate::http::App;
use crate::http::errors::ApiError;
use crate::store::{Write, audit, changes, cosigners};
use countersign_wire::callback::ConfigChange;
use countersign_wire::ids::{ApiUserId, ChangeId};
use countersign_wire::{Bytes, Text};
use serde_json::Value;

/// An API user is added.
pub const ADD_USER: &str = "ADD_USER";
/// An unmanaged wallet, or an address of one, is added.
pub const UNMANAGED_WALLET: &str = "UNMANAGED_WALLET";
/// An API user's callback handler is another one.
pub const COSIGNER_CALLBACK: &str = "COSIGNER_CALLBACK";

/// A change that somebody asks for.
pub struct Wish {
    /// Its id; what it makes has the same one.
    pub id: ChangeId,
    /// `ADD_USER`, …
    pub kind: &'static str,
    /// What the handler is shown beside.
    pub extra_info: Value,
    /// What it does.
    pub payload: Payload,
}

/// A new id.
pub fn new_id() -> ChangeId {
    ChangeId(*uuid::Uuid::new_v4().as_bytes())
}

/// Who approves changes, where the configuration names somebody.
async fn approver(app: &App, write: &mut Write) -> Result<Option<(ApiUserId, Approver)>, ApiError> {
    let Some(name) = &app.config_change_signer else { return Ok(None) };
    let cannot = |why: &str| {
        ApiError::conflict(format!(
            "[approvals] config_change_signer names API user {name}, {why}: configuration changes wait until it can \
             approve them, or until the workspace's configuration names another one"
        ))
    };
    let paired = cosigners::user(write, name).await?;
    let paired = paired.ok_or_else(|| cannot("which is not paired with a co-signer"))?;
    if paired.is_gone() {
        return Err(cannot("which its co-signer's operators removed"));
    }
    if !paired.approved {
        return Err(cannot("whose pairing waits for an owner's approval"));
    }
    let key =
        paired.approval_key.ok_or_else(|| cannot("which was paired before approval keys existed; pair it again"))?;
    Ok(Some((paired.user, Approver { party: paired.party, approval_key: key })))
}

/// Stores a change that has to be approved. `None`: the configuration names nobody, and it was put in force at once.
///
/// # Errors
/// The approving API user cannot approve now, there are too many changes, or it cannot be put in force.
pub async fn propose(
    app: &App,
    write: &mut Write,
    by: &ApiUserId,
    wish: Wish,
) -> Result<Option<ChangeRecord>, ApiError> {
    let (id, kind, now_ms) = (wish.id, wish.kind, app.clock.now_ms());
    let (signer, approver) = match approver(app, write).await? {
        Some((signer, approver)) => (signer, Some(approver)),
        None if matches!(wish.payload, Payload::SetApproval { .. }) => (by.clone(), None),
        None => {
            apply::apply(write, &wish.payload, now_ms).await?.map_err(|r| ApiError::conflict(r.detail.as_str()))?;
            let detail = format!(
                "{kind} of {} in force at once: [approvals] config_change_signer names nobody",
                changes::subject(&wish.payload)
            );
            audit::append(write, now_ms, by.as_str(), "config_change.at_once", &id.to_string(), &detail).await?;
            return Ok(None);
        }
    };
    let max = app.limits.max_pending_changes;
    if changes::count_open(write).await? >= max {
        let message =
            format!("{max} configuration changes wait for approval, the limit: have some decided or cancel them");
        return Err(ApiError::busy(message));
    }
    let extra_info = Bytes::new(wish.extra_info.to_string().into_bytes());
    let extra_info = extra_info.map_err(|e| ApiError::malformed(format!("the change is too long to be shown: {e}")))?;
    let change = ConfigChange { id, signer, kind: Text::cut(kind), extra_info };
    let record = ChangeRecord::new(change, approver, wish.payload, by.clone(), now_ms);
    changes::insert(write, &record).await?;
    let detail = format!("{kind} of {}", changes::subject(&record.payload));
    audit::append(write, now_ms, by.as_str(), "config_change.request", &id.to_string(), &detail).await?;
    Ok(Some(record))
}
