//! The endpoints that enclaves call: challenge, pairing, access token. See `countersign_wire::pairing_http`.

use super::App;
use super::auth::read_body;
use super::errors::ApiError;
use crate::clock::now_ms;
use crate::config::ApprovePairings;
use crate::identity::random_32;
use crate::pairing_token::{self, PairingClaims};
use crate::store::cosigners::{Cosigner, PairedUser, role_str};
use crate::store::pairing::{self as tokens, Issued};
use crate::store::users::UserRole;
use crate::store::{Write, audit, cosigners, users};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::{Document, Expectation, Measurements, NonceCheck, parse_unverified, verify};
use countersign_token::strict_json;
use countersign_wire::group::Role;
use countersign_wire::ids::{InstanceId, PartyId};
use countersign_wire::limits::MAX_OPERATORS;
use countersign_wire::pairing_http::{
    AccessToken, AccessTokenRequest, Challenge, ChallengeRequest, PairAnswer, PairRequest, PairingBinding,
    pairing_binding,
};
use countersign_wire::refusal::{Code, Refusal};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// How long a challenge, and an attestation document that answers it, are good, in ms.
const CHALLENGE_MS: u64 = 5 * 60 * 1000;
/// How long an access token is good, in seconds.
const ACCESS_TOKEN_SECONDS: u64 = 15 * 60;

/// Challenges that were given out and not answered. They live in memory: after a restart an enclave asks for another one.
pub struct Challenges {
    open: Mutex<VecDeque<([u8; 32], String, u64)>>,
    max: usize,
}

impl Challenges {
    /// At most `max` at one time.
    pub fn new(max: usize) -> Self {
        Self { open: Mutex::default(), max }
    }

    fn give(&self, challenge: [u8; 32], user: String, now_ms: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, _, until)| *until > now_ms);
        while open.len() >= self.max {
            open.pop_front();
        }
        open.push_back((challenge, user, now_ms.saturating_add(CHALLENGE_MS)));
    }

    /// Takes a challenge of this user, once.
    fn take(&self, challenge: &[u8; 32], user: &str, now_ms: u64) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = open.iter().position(|(c, u, until)| c == challenge && u == user && *until > now_ms);
        found.is_some_and(|index| open.remove(index).is_some())
    }
}

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
    let challenge = random_32().map_err(|e| ApiError::internal(&e))?;
    app.challenges.give(challenge, asked.user_id, now_ms());
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
        document: STANDARD.decode(&request.document).map_err(|_| ApiError::malformed("document: expected base64"))?,
    })
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
    let document = verify(&asked.document, &expectation).map_err(|e| refused(e.to_string()))?;
    let binding = PairingBinding {
        party: asked.party.0,
        instance: asked.instance.0,
        operators: &asked.operators,
        required: request.required,
        workspace: app.identity.workspace.0,
        user: claims.user.as_str(),
        jti: &claims.jti,
        role: role_str(asked.role),
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
async fn use_token(write: &mut Write, claims: &PairingClaims, party: &PartyId) -> Result<(), ApiError> {
    match tokens::token(write, &claims.jti).await? {
        Issued::Unused => Ok(tokens::use_token(write, &claims.jti, party).await?),
        Issued::UsedBy(before) if before == *party && !tokens::refresh_was_used(write, &claims.jti).await? => Ok(()),
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

/// The co-signer's row: new, or what is known about it brought up to date.
async fn cosigner(
    write: &mut Write,
    app: &App,
    asked: &Asked,
    request: &PairRequest,
    document: &Document,
) -> Result<Cosigner, ApiError> {
    let known = cosigners::get(write, &asked.party).await?;
    if known.as_ref().is_some_and(|k| k.role != asked.role || k.instance != asked.instance) {
        return refuse(Code::Conflict, "this co-signer is paired with another role or instance");
    }
    let device_id = known.as_ref().map(|k| k.device_id.clone());
    let cosigner = Cosigner {
        party: asked.party,
        device_id: device_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        instance: asked.instance,
        role: asked.role,
        operators: request.operators.clone(),
        required: request.required,
        version: request.version.clone(),
        measurements: measurements(document),
        module_id: document.module_id.clone(),
        development: app.anchor.is_development(),
        paired_at_ms: known.map_or_else(now_ms, |k| k.paired_at_ms),
        last_seen_ms: None,
    };
    cosigners::save(write, &cosigner).await?;
    Ok(cosigner)
}

/// `POST /v1/pair_device`
pub async fn pair(State(app): State<Arc<App>>, request: Request) -> Result<Json<PairAnswer>, ApiError> {
    let answer = pair_inner(&app, request).await;
    if let Err(error) = &answer {
        app.metrics.refusal(error.reason());
    }
    answer
}

async fn pair_inner(app: &App, request: Request) -> Result<Json<PairAnswer>, ApiError> {
    let request: PairRequest = body(app, request).await?;
    let claims =
        pairing_token::check(&app.identity, &app.url, &request.token, now_ms() / 1000).map_err(|r| refused(&r))?;
    let asked = asked(&request)?;
    if !app.challenges.take(&asked.challenge, claims.user.as_str(), now_ms()) {
        let detail = "the challenge is unknown, used, or older than five minutes: ask for another one and try again";
        return refuse(Code::AttestationRefused, detail);
    }
    let document = attested(app, &asked, &request, &claims).map_err(|r| refused(&r))?;
    let refresh_token = hex::encode(random_32().map_err(|e| ApiError::internal(&e))?);

    let mut write = app.store.write().await?;
    let user = users::get(&mut write, claims.user.as_str()).await?;
    let user = user.ok_or_else(|| ApiError::not_found("API user", &claims.user))?;
    if role_of(user.role) != Some(asked.role) {
        let detail = format!("an API user of role {} is not paired as {}", user.role, role_str(asked.role));
        return refuse(Code::NotAllowed, detail);
    }
    let before = cosigners::user(&mut write, claims.user.as_str()).await?;
    if before.as_ref().is_some_and(|b| b.party != asked.party) {
        return refuse(Code::Conflict, "this API user is paired with another co-signer: create another API user");
    }
    use_token(&mut write, &claims, &asked.party).await?;
    let cosigner = cosigner(&mut write, app, &asked, &request, &document).await?;
    let approved = app.approve_pairings == ApprovePairings::AtOnce || before.is_some_and(|b| b.approved);
    let paired = PairedUser {
        user: claims.user.clone(),
        party: asked.party,
        approved,
        auto_approve: request.auto_approve,
        require_intent: request.require_intent,
        paired_at_ms: now_ms(),
    };
    cosigners::save_user(&mut write, &paired).await?;
    tokens::insert_refresh(&mut write, &refresh_token, &asked.party, &claims.jti, now_ms()).await?;
    let detail = format!(
        "party {} operators {} measurements {} auto_approve {} require_intent {}",
        asked.party,
        request.operators.join(","),
        cosigner.measurements.values().cloned().collect::<Vec<_>>().join(","),
        request.auto_approve,
        request.require_intent
    );
    audit::append(&mut write, now_ms(), claims.user.as_str(), "cosigner.pair", &cosigner.device_id, &detail).await?;
    write.commit().await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t40_a_challenge_is_good_once_for_its_user_and_for_five_minutes() {
        let challenges = Challenges::new(2);
        challenges.give([1; 32], "a".into(), 0);
        assert!(!challenges.take(&[1; 32], "b", 1));
        assert!(!challenges.take(&[2; 32], "a", 1));
        assert!(challenges.take(&[1; 32], "a", CHALLENGE_MS - 1));
        assert!(!challenges.take(&[1; 32], "a", 1), "once");
        challenges.give([1; 32], "a".into(), 0);
        assert!(!challenges.take(&[1; 32], "a", CHALLENGE_MS));
    }

    #[test]
    fn t47_challenges_are_bounded_and_the_oldest_goes_first() {
        let challenges = Challenges::new(2);
        for n in 1..=3 {
            challenges.give([n; 32], "a".into(), 0);
        }
        assert!(!challenges.take(&[1; 32], "a", 1));
        assert!(challenges.take(&[2; 32], "a", 1) && challenges.take(&[3; 32], "a", 1));
    }
}
