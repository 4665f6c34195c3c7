//! `/transactions`

use super::App;
use super::auth::{Caller, EDITORS, READERS};
use super::errors::ApiError;
use super::once::{self, Begun};
use super::transaction_view::shown;
use super::whole::whole;
use super::{json, keys, vault as accounts};
use crate::ceremony::{Input, TransactionRecord, TransactionStatus};
use crate::content::{self, Content, Wanted, What};
use crate::evm::amount::wei_of_gwei;
use crate::evm::transaction::{Transfer, Unsigned};
use crate::store::transactions::{self, Columns, Filter};
use crate::store::{Write, ceremonies, evm_nonces, vault};
use alloy_primitives::U256;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_wire::evm::Asset;
use countersign_wire::ids::TransactionId;
use countersign_wire::refusal::Code;
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

/// The transaction of a transfer. Its nonce is its own from here on: a retry sends the same bytes.
async fn build(
    app: &App,
    write: &mut Write,
    transaction: &TransactionId,
    content: &Content,
    wanted: &Wanted,
) -> Result<Unsigned, ApiError> {
    let (account, asset) = (content.vault_account, content.asset);
    let settings = app.assets.iter().find(|settings| settings.id == asset.id);
    let fee = |name: &str, given: Option<u128>, configured: Option<&String>| {
        let configured = || configured.and_then(|text| wei_of_gwei(text).ok());
        given.or_else(configured).ok_or_else(|| {
            let message =
                format!("expected {name} (Gwei): the workspace's configuration has no default for {}", asset.id);
            ApiError::malformed(message)
        })
    };
    let max_fee = fee("maxFee", wanted.max_fee, settings.and_then(|s| s.max_fee_gwei.as_ref()))?;
    let priority_fee = fee("priorityFee", wanted.priority_fee, settings.and_then(|s| s.priority_fee_gwei.as_ref()))?;
    if priority_fee > max_fee {
        return Err(ApiError::malformed("expected a priorityFee of at most maxFee, of which it is a part"));
    }
    let nonce = evm_nonces::next(write, account, asset.id, settings.map_or(0, |s| s.first_nonce)).await?;
    evm_nonces::hold(write, account, asset.id, nonce, transaction).await?;
    Ok(Unsigned::transfer(&Transfer {
        chain_id: asset.chain_id,
        nonce,
        to: wanted.to,
        value: wanted.value,
        gas_limit: wanted.gas_limit,
        max_fee,
        priority_fee,
    }))
}

/// Every co-signer has this cap: what is above is refused there, after the client was told that it was taken.
fn check_fee(unsigned: &Unsigned, asset: &Asset) -> Result<(), ApiError> {
    let (fee, cap) = (unsigned.max_fee_wei(), asset.max_fee_wei);
    if fee > U256::from(cap) {
        let message = format!(
            "expected a fee of at most {cap} Wei for {}, got up to {fee} (gas limit × maximum fee of one gas): lower one \
             of them",
            asset.id
        );
        return Err(ApiError::new(StatusCode::BAD_REQUEST, Code::FeeTooHigh.as_str(), message));
    }
    Ok(())
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
    let transaction = TransactionId(*uuid::Uuid::new_v4().as_bytes());
    let unsigned = match &content.what {
        What::Transfer(wanted) => Some(build(app, write, &transaction, content, wanted).await?.bytes()),
        What::Messages(_) | What::Transaction(_) => None,
    };
    if let Some(unsigned) = content.unsigned(unsigned.as_deref()) {
        check_fee(&unsigned, &asset)?;
    }
    let messages = content.messages(unsigned.as_deref());
    let request = TransactionRequest {
        transaction,
        group: key.group,
        key: key.key,
        signer: key.purpose.signer,
        method: Text::new(caller.method.clone()).map_err(too_long)?,
        path: Text::new(caller.uri.clone()).map_err(too_long)?,
        body: Bytes::new(caller.body.to_vec()).map_err(too_long)?,
        token: Some(Text::new(caller.token.clone()).map_err(too_long)?),
        unsigned: unsigned.map(Bytes::new).transpose().map_err(too_long)?,
    };
    let digests = messages.iter().map(|(_, digest)| *digest).collect();
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
