//! The endpoints that enclaves call: challenge, pairing, access token. See `countersign_wire::pairing_http`.

use super::App;
use super::auth::read_body;
use super::challenges::{CHALLENGE_MS, Taken};
use super::errors::ApiError;
use super::whole::whole;
use crate::ceremony::{Approver, Input};
use crate::clock::now_ms;
use crate::config::ApprovePairings;
use crate::identity::random_32;
use crate::pairing_token::{self, PairingClaims};
use crate::store::cosigners::{Cosigner, PairedUser, role_str};
use crate::store::pairing::{self as tokens, Issued};
use crate::store::users::UserRole;
use crate::store::{Write, audit, changes, cosigners, users};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::{AttestationError, Document, Expectation, Measurements, NonceCheck, parse_unverified, verify};
use countersign_token::strict_json;
use countersign_wire::group::Role;
use countersign_wire::ids::{ChangeId, InstanceId, PartyId};
use countersign_wire::limits::MAX_OPERATORS;
use countersign_wire::pairing_http::{
    AccessToken, AccessTokenRequest, Challenge, ChallengeRequest, PairAnswer, PairRequest, PairingBinding,
    pairing_binding,
};
use countersign_wire::refusal::{Code, Refusal};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long an access token is good, in seconds.
const ACCESS_TOKEN_SECONDS: u64 = 15 * 60;

/// The role that a user of this workspace role is paired as.
pub fn role_of(role: UserRole) -> Option<Role> {
    match role {
        UserRole::Signer => Some(Role::Customer),
        UserRole::CloudCosigner => Some(Role::Cloud),
        _ => None,
    }
}

fn refused(refusal: &Refusal) -> ApiError {
    let status = match refusal.code {
        Code::TokenInvalid | Code::TokenExpired | Code::ClockSkew => StatusCode::UNAUTHORIZED,
        Code::TokenUsed | Code::Conflict => StatusCode::CONFLICT,
        Code::Malformed => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::FORBIDDEN,
    };
    ApiError::refused(status, refusal)
}

fn refuse<T>(code: Code, detail: impl Into<String>) -> Result<T, ApiError> {
    Err(refused(&Refusal::new(code, detail)))
}

async fn body<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, ApiError> {
    let bytes = read_body(request.into_body(), app.deadlines.request_body).await?;
    strict_json::from_slice(&bytes).map_err(|e| ApiError::malformed(format!("the body cannot be read: {e}")))
}

/// `POST /v1/pair_device/challenge`
pub async fn challenge(State(app): State<Arc<App>>, request: Request) -> Result<Json<Challenge>, ApiError> {
    let asked: ChallengeRequest = body(&app, request).await?;
    let known = users::get(&mut *app.store.read().await?, &asked.user_id).await?;
    if known.is_none() {
        return refuse(Code::NotFound, "there is no such API user in this workspace; is the pairing token one of it?");
    }
    let challenge = app.challenges.give(&asked.user_id, now_ms()).map_err(|e| ApiError::internal(&e))?;
    Ok(Json(Challenge {
        challenge: hex::encode(challenge),
        token_key: STANDARD.encode(app.identity.token_key.public().spki_der()),
        message_key: hex::encode(app.identity.message_key.public()),
    }))
}

/// A pairing request, each field of its form.
struct Asked {
    party: PartyId,
    instance: InstanceId,
    role: Role,
    operators: Vec<[u8; 32]>,
    challenge: [u8; 32],
    document: Vec<u8>,
    approval_key: [u8; 32],
}

fn hex_32(name: &str, text: &str) -> Result<[u8; 32], ApiError> {
    let malformed = || ApiError::malformed(format!("{name}: expected 64 lower-case hexadecimal digits"));
    text.parse::<PartyId>().map(|id| id.0).map_err(|_| malformed())
}

fn asked(request: &PairRequest) -> Result<Asked, ApiError> {
    let role = match request.role.as_str() {
        "CUSTOMER" => Role::Customer,
        "CLOUD" => Role::Cloud,
        other => return Err(ApiError::malformed(format!("role: expected CUSTOMER or CLOUD, got {other:?}"))),
    };
    let operators = request.operators.iter().map(|o| hex_32("operators", o)).collect::<Result<Vec<_>, _>>()?;
    let sorted = operators.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if operators.is_empty() || operators.len() > MAX_OPERATORS || !sorted {
        return Err(ApiError::malformed(format!("operators: expected 1 to {MAX_OPERATORS} keys, sorted, each once")));
    }
    if request.required == 0 || usize::from(request.required) > operators.len() {
        return Err(ApiError::malformed("required: expected 1 to the number of operators"));
    }
    if request.version.len() > 32 {
        return Err(ApiError::malformed("version: expected at most 32 bytes"));
    }
    Ok(Asked {
        party: PartyId(hex_32("party", &request.party)?),
        instance: InstanceId(hex_32("instance", &request.instance)?),
        role,
        operators,
        challenge: hex_32("challenge", &request.challenge)?,
        approval_key: hex_32("approval_key", &request.approval_key)?,
        document: STANDARD.decode(&request.document).map_err(|_| ApiError::malformed("document: expected base64"))?,
    })
}

/// The error, and which setting may be the cause where the document is of another root.
fn explained(error: &AttestationError, development: bool) -> String {
    match (error, development) {
        (AttestationError::Chain { .. }, false) => format!(
            "{error}. This workspace trusts real hardware only: for development co-signers its configuration has to name \
             their root, as [trust] development_root"
        ),
        (AttestationError::Chain { .. }, true) => format!(
            "{error}. This workspace trusts one development root only, [trust] development_root of its configuration: \
             name this co-signer's there, or none for real hardware"
        ),
        _ => error.to_string(),
    }
}

/// Verifies the attestation document: fresh, answering the challenge, bound to this party, its operators and this pairing.
fn attested(app: &App, asked: &Asked, request: &PairRequest, claims: &PairingClaims) -> Result<Document, Refusal> {
    let refused = |detail: String| Refusal::new(Code::AttestationRefused, detail);
    let any;
    let accepted = if app.measurements.is_empty() {
        // Any image; owners see which. `verify` still refuses one in debug mode.
        let shown = parse_unverified(&asked.document).map_err(|e| refused(e.to_string()))?;
        any = [Measurements::of(shown.for_display()).map_err(|e| refused(e.to_string()))?];
        &any[..]
    } else {
        &app.measurements
    };
    let expectation = Expectation {
        anchor: &app.anchor,
        now_ms: now_ms(),
        max_age_ms: CHALLENGE_MS,
        nonce: NonceCheck::Equals(&asked.challenge),
        measurements: accepted,
    };
    let document =
        verify(&asked.document, &expectation).map_err(|e| refused(explained(&e, app.anchor.is_development())))?;
    let binding = PairingBinding {
        party: asked.party.0,
        instance: asked.instance.0,
        operators: &asked.operators,
        required: request.required,
        workspace: app.identity.workspace.0,
        user: claims.user.as_str(),
        jti: &claims.jti,
        role: role_str(asked.role),
        approval_key: asked.approval_key,
    };
    if document.public_key.as_deref() != Some(asked.party.0.as_slice()) {
        return Err(refused("expected the document's public key to be the party's identity".to_owned()));
    }
    if document.user_data.as_deref() != Some(pairing_binding(&binding).as_slice()) {
        return Err(refused(
            "expected the document to be bound to this request: party, operators, user and token".to_owned(),
        ));
    }
    Ok(document)
}

/// The token is used, once. A pairing whose answer was lost may be repeated by the same co-signer: until the refresh token
/// of that answer is used, nobody else can have it.
async fn use_token(
    write: &mut Write,
    claims: &PairingClaims,
    party: &PartyId,
    before: Option<&PairedUser>,
) -> Result<(), ApiError> {
    let unanswered = |b: &PairedUser| !b.confirmed && b.jti.as_ref() == Some(&claims.jti);
    match tokens::token(write, &claims.jti).await? {
        Issued::Unused => Ok(tokens::use_token(write, &claims.jti, party).await?),
        Issued::UsedBy(by) if by == *party && before.is_some_and(unanswered) => Ok(()),
        Issued::UsedBy(_) => {
            refuse(Code::TokenUsed, "this pairing token was used: ask the workspace's owner for a new one")
        }
        Issued::Unknown => {
            refuse(Code::TokenInvalid, "this workspace does not know the pairing token: ask its owner for a new one")
        }
    }
}

fn measurements(document: &Document) -> BTreeMap<String, String> {
    let shown = [0u8, 1, 2, 8].into_iter().filter_map(|pcr| {
        let value = document.pcrs.get(&pcr).filter(|value| value.iter().any(|byte| *byte != 0))?;
        Some((format!("pcr{pcr}"), hex::encode(value)))
    });
    shown.collect()
}

/// The co-signer's row: new, or what is known about it brought up to date. Says as well whether it is what owners saw who
/// approved a pairing of it; where it is not, their approvals are withdrawn.
async fn cosigner(
    write: &mut Write,
    app: &App,
    asked: &Asked,
    request: &PairRequest,
    document: &Document,
) -> Result<(Cosigner, bool), ApiError> {
    let known = cosigners::get(write, &asked.party).await?;
    if known.as_ref().is_some_and(|k| k.role != asked.role || k.instance != asked.instance) {
        return refuse(Code::Conflict, "this co-signer is paired with another role or instance");
    }
    let device_id = known.as_ref().map(|k| k.device_id.clone());
    let cosigner = Cosigner {
        party: asked.party,
        device_id: device_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        name: known.as_ref().map(|k| k.name.clone()).unwrap_or_default(),
        instance: asked.instance,
        role: asked.role,
        operators: request.operators.clone(),
        required: request.required,
        version: request.version.clone(),
        measurements: measurements(document),
        module_id: document.module_id.clone(),
        development: app.anchor.is_development(),
        paired_at_ms: known.as_ref().map_or_else(now_ms, |k| k.paired_at_ms),
        last_seen_ms: None,
    };
    let unchanged = known.as_ref().is_some_and(|k| k.is_as_approved(&cosigner));
    cosigners::save(write, &cosigner).await?;
    if !unchanged
        && app.approve_pairings == ApprovePairings::Owner
        && cosigners::withdraw_approvals(write, &asked.party).await? > 0
    {
        let detail = "its operators or measurements changed since owners approved its pairings";
        audit::append(write, now_ms(), "workspace", "pairing.withdraw", &cosigner.device_id, detail).await?;
    }
    Ok((cosigner, unchanged))
}

/// `POST /v1/pair_device`
pub async fn pair(State(app): State<Arc<App>>, request: Request) -> Result<Json<PairAnswer>, ApiError> {
    let answer = checked(&app, request).await;
    if let Err(error) = &answer {
        app.metrics.refusal(error.reason());
    }
    answer
}

async fn checked(app: &Arc<App>, request: Request) -> Result<Json<PairAnswer>, ApiError> {
    let request: PairRequest = body(app, request).await?;
    let claims =
        pairing_token::check(&app.identity, &app.url, &request.token, now_ms() / 1000).map_err(|r| refused(&r))?;
    let asked = asked(&request)?;
    match app.challenges.take(&asked.challenge, claims.user.as_str(), now_ms()) {
        Taken::Good => {}
        Taken::Refused => {
            let detail =
                "the challenge is unknown, used, or older than five minutes: ask for another one and try again";
            return refuse(Code::AttestationRefused, detail);
        }
        Taken::TooMany => {
            let message = "too many attempts to pair in the last five minutes; try again when they are over";
            return Err(ApiError::busy(message));
        }
    }
    let document = attested(app, &asked, &request, &claims).map_err(|r| refused(&r))?;
    let app = Arc::clone(app);
    whole(async move { store_pairing(&app, &request, &claims, &asked, &document).await }).await
}

/// Configuration changes that wait for a word of this API user under another key: it cannot come any more.
async fn asked_elsewhere(write: &mut Write, paired: &PairedUser) -> Result<Vec<ChangeId>, ApiError> {
    let now = Approver { party: paired.party, approval_key: paired.approval_key.unwrap_or_default() };
    let open = changes::open(write).await?;
    let other =
        open.iter().filter(|c| c.change.signer == paired.user && c.approver.as_ref().is_some_and(|a| *a != now));
    Ok(other.map(|c| c.change.id).collect())
}

async fn store_pairing(
    app: &App,
    request: &PairRequest,
    claims: &PairingClaims,
    asked: &Asked,
    document: &Document,
) -> Result<Json<PairAnswer>, ApiError> {
    let refresh_token = hex::encode(random_32().map_err(|e| ApiError::internal(&e))?);

    let mut write = app.store.write().await?;
    let user = users::get(&mut write, claims.user.as_str()).await?;
    let user = user.ok_or_else(|| ApiError::not_found("API user", &claims.user))?;
    if role_of(user.role) != Some(asked.role) {
        let detail = format!("an API user of role {} is not paired as {}", user.role, role_str(asked.role));
        return refuse(Code::NotAllowed, detail);
    }
    let before = cosigners::user(&mut write, claims.user.as_str()).await?;
    // Once its co-signer's operators removed it, another co-signer may have it.
    if before.as_ref().is_some_and(|b| b.party != asked.party && !b.is_gone()) {
        return refuse(Code::Conflict, "this API user is paired with another co-signer: create another API user");
    }
    use_token(&mut write, claims, &asked.party, before.as_ref()).await?;
    let (cosigner, unchanged) = cosigner(&mut write, app, asked, request, document).await?;
    let same = |b: &PairedUser| b.auto_approve == request.auto_approve && b.require_intent == request.require_intent;
    let stays = |b: &PairedUser| b.party == asked.party && !b.is_gone();
    let carried = unchanged && before.as_ref().is_some_and(|b| b.approved && same(b) && stays(b));
    let approved = app.approve_pairings == ApprovePairings::AtOnce || carried;
    let paired = PairedUser {
        user: claims.user.clone(),
        party: asked.party,
        approved,
        auto_approve: request.auto_approve,
        require_intent: request.require_intent,
        paired_at_ms: now_ms(),
        jti: Some(claims.jti.clone()),
        confirmed: false,
        approval_key: Some(asked.approval_key),
        said: None,
        gone_at_ms: None,
    };
    cosigners::save_user(&mut write, &paired).await?;
    let stands = cosigners::is_approved(&mut write, &asked.party).await?;
    if !stands {
        tokens::revoke_access(&mut write, &asked.party).await?;
    }
    let jti_before = before.as_ref().and_then(|b| b.jti.as_deref());
    tokens::insert_refresh(&mut write, &refresh_token, &asked.party, &claims.jti, jti_before, now_ms()).await?;
    let detail = format!(
        "party {} operators {} measurements {} auto_approve {} require_intent {} approval_key {}",
        asked.party,
        request.operators.join(","),
        cosigner.measurements.values().cloned().collect::<Vec<_>>().join(","),
        request.auto_approve,
        request.require_intent,
        request.approval_key
    );
    audit::append(&mut write, now_ms(), claims.user.as_str(), "cosigner.pair", &cosigner.device_id, &detail).await?;
    let asked_before = asked_elsewhere(&mut write, &paired).await?;
    write.commit().await?;
    for change in asked_before {
        // The coordinator may be gone: the process is stopping then.
        let _ = app.service.tell(Input::CancelChange { change }).await;
    }
    if !stands {
        // What already runs was opened on an approval that is no more.
        app.hub.cut(&asked.party);
    }
    tracing::info!(party = %asked.party, user = %claims.user, status = paired.status(), "a co-signer was paired");
    Ok(Json(PairAnswer { device_id: cosigner.device_id, refresh_token, status: paired.status().to_owned() }))
}

/// `POST /v1/access_token`
pub async fn access_token(State(app): State<Arc<App>>, request: Request) -> Result<Json<AccessToken>, ApiError> {
    let asked: AccessTokenRequest = body(&app, request).await?;
    let access_token = hex::encode(random_32().map_err(|e| ApiError::internal(&e))?);
    let mut write = app.store.write().await?;
    let Some(party) = tokens::use_refresh(&mut write, &asked.refresh_token, now_ms()).await? else {
        return refuse(Code::TokenInvalid, "the refresh token is not one of this workspace: pair the co-signer again");
    };
    if !cosigners::is_approved(&mut write, &party).await? {
        write.commit().await?;
        return refuse(
            Code::WaitingForOwner,
            "an owner of the workspace has not approved this co-signer's pairing yet",
        );
    }
    let expires_at_ms = now_ms().saturating_add(ACCESS_TOKEN_SECONDS.saturating_mul(1000));
    tokens::insert_access(&mut write, &access_token, &party, expires_at_ms).await?;
    write.commit().await?;
    Ok(Json(AccessToken { access_token, expires_in: ACCESS_TOKEN_SECONDS }))
}
