//! `/transactions`

use super::App;
use super::auth::{Caller, EDITORS, READERS};
use super::errors::ApiError;
use super::once::{self, Begun};
use super::whole::whole;
use super::{json, keys, vault as accounts};
use crate::ceremony::{Input, TransactionRecord, TransactionStatus};
use crate::clock::now_ms;
use crate::content::{self, Content};
use crate::store::transactions::{self, Columns, Filter, StoredTransaction};
use crate::store::{Write, ceremonies, vault};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_wire::ids::TransactionId;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::TransactionRequest;
use countersign_wire::{Bytes, Text};
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::sync::Arc;

/// Longest page, and its default.
const MAX_PAGE: u32 = 500;
const DEFAULT_PAGE: u32 = 200;
/// The only path and query of a request that co-signers take as a client's intent.
const INTENT_URI: &str = "/v1/transactions";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ListQuery {
    before: Option<u64>,
    after: Option<u64>,
    status: Option<String>,
    order_by: Option<String>,
    sort: Option<String>,
    limit: Option<u32>,
    assets: Option<String>,
    source_type: Option<String>,
    source_id: Option<String>,
}

impl ListQuery {
    fn filter(self) -> Result<Filter, ApiError> {
        let one_of = |name: &str, value: Option<&str>, first: &str, second: &str| match value {
            None => Ok(false),
            Some(v) if v == first => Ok(false),
            Some(v) if v == second => Ok(true),
            Some(v) => Err(ApiError::malformed(format!("{name}: expected {first} or {second}, got {v:?}"))),
        };
        let status = |text: String| {
            TransactionStatus::parse(&text)
                .ok_or_else(|| ApiError::malformed(format!("status: there is no status {text:?}")))
        };
        if self.source_type.as_deref().is_some_and(|t| t != "VAULT_ACCOUNT") {
            return Err(ApiError::malformed("sourceType: expected VAULT_ACCOUNT"));
        }
        Ok(Filter {
            after_ms: self.after,
            before_ms: self.before,
            status: self.status.map(status).transpose()?,
            asset: self.assets,
            vault_account: self.source_id.as_deref().map(accounts::number).transpose()?,
            by_update: one_of("orderBy", self.order_by.as_deref(), "createdAt", "lastUpdated")?,
            ascending: one_of("sort", self.sort.as_deref(), "DESC", "ASC")?,
            limit: json::limit(self.limit, DEFAULT_PAGE, MAX_PAGE)?,
        })
    }
}

/// The sub-status: why a transaction ended as it did, or that a signature may exist all the same.
fn sub_status(record: &TransactionRecord, now_ms: u64) -> String {
    let code = || record.reason.as_ref().map(|r| r.code.as_str().to_uppercase()).unwrap_or_default();
    match record.status {
        TransactionStatus::Cancelled | TransactionStatus::Timeout | TransactionStatus::Failed
            if record.signature_may_exist(now_ms) =>
        {
            "SIGNATURE_MAY_EXIST".to_owned()
        }
        TransactionStatus::Rejected if record.reason.as_ref().is_some_and(|r| r.code == Code::Rejected) => {
            "REJECTED_BY_CALLBACK_HANDLER".to_owned()
        }
        TransactionStatus::PendingAuthorization if record.waiting => "WAITING_FOR_CALLBACK_HANDLER".to_owned(),
        status if status.is_final() => code(),
        _ => String::new(),
    }
}

fn refusal(refusal: &Refusal) -> Value {
    value!({"code": refusal.code.as_str(), "detail": refusal.detail.as_str()})
}

fn signed_messages(record: &TransactionRecord, content: &Content) -> Vec<Value> {
    let signed = content.messages.iter().zip(&record.signatures);
    let shown = signed.filter_map(|((content, _), signature)| {
        let signature = signature.as_ref()?;
        let (r, s) = (hex::encode(signature.r), hex::encode(signature.s));
        Some(value!({
            "content": content,
            "algorithm": "MPC_ECDSA_SECP256K1",
            "derivationPath": record.path.elements(),
            "publicKey": hex::encode(record.public_key),
            "signature": {"fullSig": format!("{r}{s}"), "r": r, "s": s, "v": signature.v},
        }))
    });
    shown.collect()
}

fn shown(stored: &StoredTransaction) -> Result<Value, ApiError> {
    let record = &stored.record;
    let content = content::read(&record.request.body).map_err(|e| ApiError::internal(&e))?;
    let signed = signed_messages(record, &content);
    let body: Value = serde_json::from_slice(&record.request.body).map_err(|e| ApiError::internal(&e))?;
    let ended = record.status.is_final();
    let rejected = record.status == TransactionStatus::Rejected;
    let completed = record.status == TransactionStatus::Completed;
    let reason = record.reason.as_ref();
    let trouble = reason.filter(|_| !ended).map(|r| value!({"type": "WARN", "message": r.to_string()}));
    let signer = record.request.signer.as_str();
    Ok(value!({
        "id": record.request.transaction.to_string(),
        "externalTxId": stored.external_tx_id,
        "status": record.status.as_str(),
        "subStatus": sub_status(record, now_ms()),
        "operation": record.operation.as_str(),
        "note": content.note.unwrap_or_default(),
        "assetId": content.asset.id,
        "source": {"type": "VAULT_ACCOUNT", "id": content.vault_account.to_string()},
        "createdAt": record.created_at_ms,
        "lastUpdated": record.updated_at_ms,
        "createdBy": stored.initiator,
        "signedBy": if completed { vec![signer] } else { Vec::new() },
        "rejectedBy": if rejected { signer } else { "" },
        "signerId": signer,
        "keyId": record.request.key.to_string(),
        "extraParameters": body.get("extraParameters"),
        "signedMessages": signed,
        "rejection": reason.filter(|_| ended && !completed).map(refusal),
        "systemMessages": trouble.into_iter().collect::<Vec<_>>(),
    }))
}

/// `GET /transactions`
pub async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let filter = json::query::<ListQuery>(&caller.uri)?.filter()?;
    let found = transactions::list(&mut *app.store.read().await?, &filter).await?;
    Ok(Json(found.iter().map(shown).collect::<Result<Vec<_>, _>>()?.into()))
}

fn id_of(id: &str) -> Result<TransactionId, ApiError> {
    id.parse().map_err(|_| ApiError::not_found("transaction", id))
}

/// `GET /transactions/{id}`
pub async fn get(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let stored = transactions::get(&mut *app.store.read().await?, &id_of(&id)?).await?;
    Ok(Json(shown(&stored.ok_or_else(|| ApiError::not_found("transaction", &id))?)?))
}

/// `GET /transactions/external_tx_id/{id}`
pub async fn by_external(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&READERS)?;
    let stored = transactions::by_external(&mut *app.store.read().await?, &id).await?;
    Ok(Json(shown(&stored.ok_or_else(|| ApiError::not_found("transaction with the externalTxId", &id))?)?))
}

/// The request as it goes to every co-signer, and what this workspace read out of it.
async fn record_of(
    app: &App,
    write: &mut Write,
    caller: &Caller,
    content: &Content,
) -> Result<TransactionRecord, ApiError> {
    let (account, asset) = (content.vault_account, content.asset);
    if vault::get_account(write, account).await?.is_none() {
        return Err(ApiError::not_found("vault account", account));
    }
    let no_address = || {
        let message = format!(
            "vault account {account} has no {} address yet: POST /v1/vault/accounts/{account}/{} first",
            asset.id, asset.id
        );
        ApiError::conflict(message)
    };
    let wallet = vault::get_wallet(write, account, asset.id).await?.ok_or_else(no_address)?;
    let certified = wallet.certified().ok_or_else(no_address)?;
    let key = ceremonies::get_key(write, &wallet.key).await?.ok_or_else(no_address)?.record;
    if !key.purpose.allows(content.operation) {
        let message = format!("the key of this vault account's {} was not made for {}", asset.id, content.operation);
        return Err(ApiError::new(StatusCode::CONFLICT, Code::PurposeMismatch.as_str(), message));
    }
    keys::approved(write, key.purpose.signer.as_str()).await?;
    let too_long = |e: countersign_wire::OutOfBounds| ApiError::malformed(e.to_string());
    let request = TransactionRequest {
        transaction: TransactionId(*uuid::Uuid::new_v4().as_bytes()),
        group: key.group,
        key: key.key,
        signer: key.purpose.signer,
        method: Text::new(caller.method.clone()).map_err(too_long)?,
        path: Text::new(caller.uri.clone()).map_err(too_long)?,
        body: Bytes::new(caller.body.to_vec()).map_err(too_long)?,
        token: Some(Text::new(caller.token.clone()).map_err(too_long)?),
    };
    let digests = content.messages.iter().map(|(_, digest)| *digest).collect();
    let authorise_ms = app.deadlines.authorisation.saturating_mul(1000);
    Ok(TransactionRecord::new(
        request,
        content.operation,
        digests,
        certified.path,
        certified.public_key,
        app.clock.now_ms(),
        authorise_ms,
    ))
}

/// `POST /transactions`: stores the client's request whole, then answers with an id.
pub async fn create(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(&EDITORS)?;
    if caller.uri != INTENT_URI {
        return Err(ApiError::malformed(format!("expected POST {INTENT_URI} without a query string")));
    }
    let content = content::read(&caller.body).map_err(|e| ApiError::malformed(e.to_string()))?;
    whole(async move { submit(&app, &caller, &content).await }).await
}

/// Everything that is open is in memory: it is limited in number and in bytes.
async fn check_open(app: &App, write: &mut Write, record: &TransactionRecord) -> Result<(), ApiError> {
    let (limits, open) = (&app.limits, transactions::measure_open(write).await?);
    if open.count >= limits.max_open_transactions {
        let message = format!("{} transactions have not ended, the limit; try again when some have", open.count);
        return Err(ApiError::busy(message));
    }
    let bytes = transactions::request_bytes(record);
    if open.bytes.saturating_add(bytes) > limits.max_open_transaction_bytes {
        let message = format!(
            "the requests of transactions that have not ended hold {} bytes of {}, this one has {bytes}; try again when \
             some have ended",
            open.bytes, limits.max_open_transaction_bytes
        );
        return Err(ApiError::busy(message));
    }
    Ok(())
}

pub(crate) async fn submit(app: &App, caller: &Caller, content: &Content) -> Result<Response, ApiError> {
    let mut write = match once::begin(app, caller).await? {
        Begun::Answered(response) => return Ok(response),
        Begun::New(write) => write,
    };
    if let Some(external) = &content.external_tx_id
        && let Some(existing) = transactions::id_of_external(&mut write, external).await?
    {
        drop(write);
        app.service.resume(existing).await?;
        let message = format!("externalTxId {external:?} is transaction {existing}; GET it, or use a new externalTxId");
        return Err(ApiError::conflict(message).with("existingId", existing.to_string()));
    }
    let record = record_of(app, &mut write, caller, content).await?;
    check_open(app, &mut write, &record).await?;
    let columns = Columns {
        initiator: caller.user.id.as_str(),
        external_tx_id: content.external_tx_id.as_deref(),
        asset: content.asset.id,
        vault_account: content.vault_account,
    };
    transactions::insert(&mut write, &record, &columns).await?;
    let body = value!({"id": record.request.transaction.to_string(), "status": record.status.as_str()});
    let response = once::finish(app, write, caller, StatusCode::OK, &body).await?;
    // It is stored: where the coordinator has ended, the next one takes it up.
    let _ = app.service.take_up(record.request.transaction).await;
    Ok(response)
}

/// `POST /transactions/{id}/cancel`
pub async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.require(&EDITORS)?;
    let transaction = id_of(&id)?;
    let not_found = || ApiError::not_found("transaction", &id);
    let found = transactions::get(&mut *app.store.read().await?, &transaction).await?.ok_or_else(not_found)?;
    if !found.record.status.is_final() {
        app.service.resume(transaction).await?;
        app.service.submit(Input::CancelTransaction { transaction }).await?;
    }
    let after = async { transactions::get(&mut *app.store.read().await?, &transaction).await };
    let after = after.await.map_err(|e| ApiError::unknown(&e))?.ok_or_else(not_found)?;
    let status = after.record.status;
    if !status.is_final() {
        return Err(ApiError::not_yet("the transaction is just being taken up; cancel it again"));
    }
    if status != TransactionStatus::Cancelled {
        let message = format!("the transaction has ended as {}", status.as_str());
        return Err(ApiError::conflict(message).with("status", status.as_str()));
    }
    Ok(Json(value!({"success": true})))
}
