//! The HTTP API under `/v1`.

pub mod api_keys;
pub mod auth;
pub mod callback_setting;
pub mod callback_view;
pub mod challenges;
pub mod changes;
pub mod cosigners;
pub mod errors;
pub mod groups;
pub mod json;
pub mod keys;
pub mod next_nonce;
pub mod once;
pub mod pairing;
pub mod relay;
pub mod transaction_view;
pub mod transactions;
pub mod unmanaged_wallets;
pub mod users;
pub mod vault;
pub mod wallets;
pub mod whole;

use crate::clock::Clock;
use crate::config::{ApprovePairings, AssetSettings, Deadlines, Limits};
use crate::connections::Connections;
use crate::hub::Hub;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::store::Store;
use crate::store::nonces::Nonces;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use countersign_attest::{Measurements, TrustAnchor};
use countersign_wire::pairing_http::{ACCESS_TOKEN_PATH, CHALLENGE_PATH, PAIR_PATH, RELAY_PATH};
use errors::ApiError;
use std::sync::Arc;

/// Everything that handlers need.
pub struct App {
    /// The workspace's keys.
    pub identity: Arc<Identity>,
    /// Its base URL, the issuer of pairing tokens.
    pub url: String,
    /// Its database.
    pub store: Store,
    /// The nonces of request tokens.
    pub nonces: Nonces,
    /// The coordinator.
    pub service: Service,
    /// The co-signers' links.
    pub hub: Arc<Hub>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where attestation documents must lead.
    pub anchor: TrustAnchor,
    /// Accepted measurements; empty accepts any but those of debug mode.
    pub measurements: Vec<Measurements>,
    /// When a pairing counts.
    pub approve_pairings: ApprovePairings,
    /// The API user that signs for vault accounts that name none.
    pub default_signer: Option<String>,
    /// The API user that approves configuration changes; none: they are in force at once.
    pub config_change_signer: Option<String>,
    /// What transfers of an asset pay where their request does not say.
    pub assets: Vec<AssetSettings>,
    /// Limits.
    pub limits: Limits,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// Becomes `true` when the server stops: links end.
    pub stopping: tokio::sync::watch::Receiver<bool>,
    /// Challenges of pairings.
    pub challenges: challenges::Challenges,
    /// The coordinator's time.
    pub clock: Arc<Clock>,
    /// Open connections.
    pub connections: Arc<Connections>,
}

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    // Not nested: handlers compare the whole path with the one that the caller signed.
    Router::new()
        .route("/v1/management/api_users", get(users::list).post(users::create))
        .route("/v1/management/api_users/{id}/pairing_token", post(users::pairing_token))
        .route("/v1/cosigners", get(cosigners::list))
        .route("/v1/cosigners/{id}", get(cosigners::get))
        .route("/v1/cosigners/{id}/api_keys/{user}/approve", post(cosigners::approve))
        .route("/v1/cosigners/{id}/api_keys", get(api_keys::list))
        .route("/v1/cosigners/{id}/api_keys/{user}", get(api_keys::get).patch(api_keys::update))
        .route("/v1/cosigners/{id}/api_keys/{user}/{request}", get(api_keys::request))
        .route("/v1/config_changes", get(changes::list))
        .route("/v1/config_changes/{id}", get(changes::get))
        .route("/v1/config_changes/{id}/cancel", post(changes::cancel))
        .route("/v1/unmanaged_wallets", get(unmanaged_wallets::list).post(unmanaged_wallets::create))
        .route("/v1/unmanaged_wallets/{id}", get(unmanaged_wallets::get).delete(unmanaged_wallets::remove))
        .route(
            "/v1/unmanaged_wallets/{id}/{asset}",
            get(unmanaged_wallets::get_address)
                .post(unmanaged_wallets::create_address)
                .delete(unmanaged_wallets::remove_address),
        )
        .route("/v1/signing_groups", get(groups::list).post(groups::create))
        .route("/v1/signing_groups/{id}", get(groups::get))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", get(keys::get))
        .route("/v1/vault/accounts", get(vault::list).post(vault::create))
        .route("/v1/vault/accounts_paged", get(vault::paged))
        .route("/v1/vault/accounts/{id}", get(vault::get))
        .route("/v1/vault/accounts/{id}/{asset}", get(wallets::get).post(wallets::create))
        .route("/v1/vault/accounts/{id}/{asset}/next_nonce", get(next_nonce::get).put(next_nonce::put))
        .route("/v1/vault/accounts/{id}/{asset}/addresses_paginated", get(wallets::addresses))
        .route("/v1/vault/accounts/{id}/{asset}/key_certificate", get(wallets::certificate))
        .route("/v1/vault/accounts/{id}/{asset}/{change}/{index}/public_key_info", get(wallets::public_key))
        .route("/v1/transactions", get(transactions::list).post(transactions::create))
        .route("/v1/transactions/{id}", get(transactions::get))
        .route("/v1/transactions/{id}/cancel", post(transactions::cancel))
        .route("/v1/transactions/external_tx_id/{id}", get(transactions::by_external))
        .route(CHALLENGE_PATH, post(pairing::challenge))
        .route(PAIR_PATH, post(pairing::pair))
        .route(ACCESS_TOKEN_PATH, post(pairing::access_token))
        .route(RELAY_PATH, get(relay::open))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(map_response_with_state(Arc::clone(&app), finish))
        .with_state(app)
}

async fn no_such_path() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such path; the API is under /v1")
}

async fn no_such_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "not_allowed", "this path does not know this method")
}

/// Counts, and gives errors that come from the framework itself the API's form.
async fn finish(State(app): State<Arc<App>>, response: Response) -> Response {
    let status = response.status();
    app.metrics.request(status.as_u16());
    let is_json = response.headers().get(CONTENT_TYPE) == Some(&HeaderValue::from_static("application/json"));
    if (status.is_client_error() || status.is_server_error()) && !is_json {
        let sentence = status.canonical_reason().unwrap_or("the request cannot be served");
        return ApiError::new(status, "malformed", sentence).into_response();
    }
    response
}
