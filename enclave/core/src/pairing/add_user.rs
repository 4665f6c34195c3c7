//! `add-user`: the token is checked, the workspace proves its keys, the enclave proves itself, and the pairing is sealed.
//!
//! The new pairing's identity is sealed before the workspace learns of it, so that an interrupted pairing resumes when the
//! operator gives the same token again.

use super::{Endpoint, answer, call};
use crate::callback::check_handler;
use crate::exchange::url::HttpsUrl;
use crate::input::ExchangeOutcome;
use crate::limits::CLOCK_SKEW_MS;
use crate::serving::{Cx, ExchangeOwner, PairingState, Serving, blobs};
use crate::state::{Pairing, Secret, UsedToken, User};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_channel::StaticKey;
use countersign_token::{Claims, PublicKey, SigningKey, unverified_payload, verify as jws_verify};
use countersign_wire::admin::Done;
use countersign_wire::command::{AddUser, ApprovalSetting, Initiator};
use countersign_wire::group::Role;
use countersign_wire::ids::{ApiUserId, PairingId, WorkspaceId};
use countersign_wire::pairing_http::{
    CHALLENGE_PATH, Challenge, ChallengeRequest, PAIR_PATH, PairAnswer, PairRequest, PairingBinding, pairing_binding,
    workspace_fingerprint,
};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{Bytes, List, SigningIdentity, Text};
use std::collections::btree_map::Entry;

/// What a pairing token says.
#[derive(Debug, Clone)]
struct TokenClaims {
    url: String,
    workspace: WorkspaceId,
    user: ApiUserId,
    jti: Text<{ countersign_wire::limits::MAX_NAME_BYTES }>,
    expires_at_ms: u64,
}

/// An `add-user` under way.
pub(crate) struct AddFlow {
    /// The admin connection that waits for the result.
    pub connection: u64,
    add: AddUser,
    claims: TokenClaims,
    pairing: PairingId,
    stage: AddStage,
}

enum AddStage {
    /// The key for callback requests is still being made.
    CallbackKey,
    /// The workspace was asked for a challenge.
    Challenge,
    /// The workspace was given the token and the attestation document.
    Pairing { message_key: [u8; 32] },
}

fn token_claims(token: &str, now: u64) -> Result<TokenClaims, Refusal> {
    let invalid = |detail: String| Refusal::new(Code::TokenInvalid, format!("pairing token: {detail}"));
    let payload = unverified_payload(token).map_err(|e| invalid(e.to_string()))?;
    let claims = Claims::parse(&payload).map_err(|e| invalid(e.to_string()))?;
    let text = |name: &'static str| claims.string(name).map(str::to_owned).map_err(|e| invalid(e.to_string()));
    let date = |name: &'static str| {
        claims.numeric_date(name).map(|s| s.saturating_mul(1000)).map_err(|e| invalid(e.to_string()))
    };
    let (expires_at_ms, issued_at_ms) = (date("exp")?, date("iat")?);
    if issued_at_ms > now.saturating_add(CLOCK_SKEW_MS) {
        let ahead = issued_at_ms.saturating_sub(now) / 1000;
        let detail =
            format!("the pairing token is from {ahead} s in the future: check the clocks of workspace and enclave");
        return Err(Refusal::new(Code::ClockSkew, detail));
    }
    if expires_at_ms <= now {
        let ago = now.saturating_sub(expires_at_ms) / 1000;
        return Err(Refusal::new(Code::TokenExpired, format!("the pairing token expired {ago} s ago: get a new one")));
    }
    let user = text("sub")?;
    if text("userId")? != user {
        return Err(invalid("`sub` and `userId` differ".into()));
    }
    let url = text("iss")?;
    HttpsUrl::parse(&url).map_err(|e| invalid(format!("`iss`: {e}")))?;
    Ok(TokenClaims {
        url,
        workspace: text("tenantId")?.parse().map_err(|e| invalid(format!("`tenantId`: {e}")))?,
        user: user.parse().map_err(|e| invalid(format!("`sub`: {e}")))?,
        jti: Text::new(text("jti")?).map_err(|e| invalid(format!("`jti`: {e}")))?,
        expires_at_ms,
    })
}

fn check_approval(approval: &ApprovalSetting) -> Result<(), Refusal> {
    match approval {
        ApprovalSetting::Handler(handler) => check_handler(handler),
        ApprovalSetting::None | ApprovalSetting::Auto => Ok(()),
    }
}

fn check_initiators(initiators: &[Initiator]) -> Result<(), Refusal> {
    for initiator in initiators {
        let key = PublicKey::from_spki_der(&initiator.public_key);
        let detail = match key {
            Ok(key) if key.algorithm() == countersign_token::Algorithm::Rs256 => continue,
            Ok(_) => "expected an RSA key: clients sign their requests with RS256".to_owned(),
            Err(error) => error.to_string(),
        };
        return Err(Refusal::new(Code::Malformed, format!("public key of initiator {}: {detail}", initiator.user)));
    }
    Ok(())
}

/// Adds or replaces initiators, sorted by id.
pub(crate) fn merge_initiators(pairing: &mut Pairing, new: &[Initiator]) -> Result<(), Refusal> {
    check_initiators(new)?;
    let mut all = pairing.initiators.to_vec();
    all.retain(|known| new.iter().all(|n| n.user != known.user));
    all.extend(new.iter().cloned());
    all.sort_by(|a, b| a.user.cmp(&b.user));
    pairing.initiators = List::new(all).map_err(|e| Refusal::new(Code::Busy, format!("initiators: {e}")))?;
    Ok(())
}

fn role_text(role: Role) -> &'static str {
    match role {
        Role::Customer => "CUSTOMER",
        Role::Cloud => "CLOUD",
    }
}

impl Serving {
    /// Starts an `add-user`. The result goes to `connection` when it is there.
    pub(crate) fn begin_add_user(
        &mut self,
        cx: &mut Cx<'_>,
        connection: u64,
        add: AddUser,
        callback_key: &mut Option<Secret>,
    ) -> Result<(), Refusal> {
        if self.add.is_some() {
            return Err(Refusal::new(Code::Busy, "another API user is being added; try again when that is done"));
        }
        let claims = token_claims(&add.token, cx.now)?;
        if self.used_tokens.contains_key(claims.jti.as_str()) {
            return Err(Refusal::new(Code::TokenUsed, "this pairing token was used: get a new one"));
        }
        check_approval(&add.approval)?;
        check_initiators(&add.initiators)?;
        if add.role == Role::Cloud && add.approval != ApprovalSetting::None {
            return Err(Refusal::new(Code::NotAllowed, "a cloud co-signer has neither handler nor auto-approve"));
        }
        if add.role == Role::Cloud && add.allow_raw {
            let detail = "RAW is allowed at the customer's co-signer alone: repeat without --allow-raw";
            return Err(Refusal::new(Code::NotAllowed, detail));
        }
        let known = self.pairings.values().find(|p| p.record.workspace == claims.workspace);
        let pairing = match known {
            // One that the workspace never confirmed may be completed with other settings, under the same identity.
            Some(known) if !known.record.is_confirmed() => known.record.id,
            Some(known) => {
                check_same_pairing(&known.record, &add, &claims)?;
                known.record.id
            }
            None if self.pairings.len() >= countersign_wire::limits::MAX_PAIRINGS => {
                return Err(Refusal::new(Code::Busy, "this co-signer has as many pairings as it can hold"));
            }
            None => PairingId(cx.random()),
        };
        self.add = Some(AddFlow { connection, add, claims, pairing, stage: AddStage::CallbackKey });
        self.continue_add_user(cx, callback_key)
    }

    /// Goes on as soon as there is a key for callback requests.
    pub(crate) fn continue_add_user(
        &mut self,
        cx: &mut Cx<'_>,
        callback_key: &mut Option<Secret>,
    ) -> Result<(), Refusal> {
        let Some(flow) = &self.add else { return Ok(()) };
        if !matches!(flow.stage, AddStage::CallbackKey) {
            return Ok(());
        }
        let id = flow.pairing;
        if let Entry::Vacant(place) = self.pairings.entry(id) {
            let Some(key) = callback_key.take() else { return Ok(()) };
            let record = new_pairing(cx, flow, key);
            let secret: zeroize::Zeroizing<[u8; 32]> = zeroize::Zeroizing::new(cx.random());
            let identity = SigningIdentity::from_secret(&secret);
            let record = Pairing { identity: Secret::new(&*secret), ..record };
            let channel_key = StaticKey::generate(&mut *cx.caps.entropy);
            place.insert(PairingState::new(record, identity, channel_key));
        }
        if let Some(known) = self.pairings.get_mut(&id).filter(|p| !p.record.is_confirmed()) {
            take_settings(&mut known.record, flow);
        }
        let started = self.ask_challenge(cx, id);
        if started.is_err() {
            self.drop_add_user(cx);
        }
        started
    }

    fn ask_challenge(&mut self, cx: &mut Cx<'_>, id: PairingId) -> Result<(), Refusal> {
        let (Some(flow), Some(pairing)) = (self.add.as_mut(), self.pairings.get_mut(&id)) else { return Ok(()) };
        let user = User {
            id: flow.claims.user.clone(),
            approval: flow.add.approval.clone(),
            allow_raw: flow.add.allow_raw,
            unconfirmed: Some(flow.claims.jti.clone()),
        };
        let mut users = pairing.record.users.to_vec();
        users.retain(|known| known.id != user.id);
        users.push(user);
        users.sort_by(|a, b| a.id.cmp(&b.id));
        pairing.record.users = List::new(users).map_err(|e| Refusal::new(Code::Busy, format!("API users: {e}")))?;
        pairing.save(cx);
        let endpoint = Endpoint {
            url: &flow.claims.url,
            root: flow.add.workspace_root.as_deref(),
            networks: &flow.add.workspace_networks,
        };
        let request = ChallengeRequest { user_id: flow.claims.user.to_string() };
        let spec = call(&endpoint, CHALLENGE_PATH, &request)?;
        flow.stage = AddStage::Challenge;
        cx.exchange(ExchangeOwner::AddUser, spec);
        Ok(())
    }

    /// The workspace answered. Returns what to tell which admin connection, when that is decided.
    pub(crate) fn add_user_exchange(
        &mut self,
        cx: &mut Cx<'_>,
        outcome: ExchangeOutcome,
    ) -> Option<(u64, Result<Done, Refusal>)> {
        let flow = self.add.as_ref()?;
        let connection = flow.connection;
        let result = match flow.stage {
            AddStage::CallbackKey => return None,
            AddStage::Challenge => match self.challenged(cx, outcome) {
                Ok(()) => return None,
                Err(refusal) => Err(refusal),
            },
            AddStage::Pairing { message_key } => self.paired(cx, message_key, outcome),
        };
        match &result {
            Ok(_) => self.add = None,
            // The workspace may have taken the token: the same token may be given again, under the same identity.
            Err(refusal) if is_transport(refusal.code) => self.add = None,
            Err(_) => self.drop_add_user(cx),
        }
        Some((connection, result))
    }

    fn challenged(&mut self, cx: &mut Cx<'_>, outcome: ExchangeOutcome) -> Result<(), Refusal> {
        let challenge: Challenge = answer(outcome, "pairing challenge")?;
        let Some(flow) = self.add.as_mut() else { return Ok(()) };
        let pairing =
            self.pairings.get(&flow.pairing).ok_or_else(|| Refusal::new(Code::Internal, "the pairing is gone"))?;
        let malformed = |what: &str| Refusal::new(Code::Malformed, format!("pairing challenge: {what}"));
        let token_key = STANDARD.decode(&challenge.token_key).map_err(|_| malformed("token_key is not base64"))?;
        let message_key = hex::decode(&challenge.message_key).ok().and_then(|k| <[u8; 32]>::try_from(k).ok());
        let message_key = message_key.ok_or_else(|| malformed("message_key is not 32 bytes of hex"))?;
        let nonce = hex::decode(&challenge.challenge)
            .ok()
            .filter(|n| n.len() == 32)
            .ok_or_else(|| malformed("challenge is not 32 bytes of hex"))?;
        let fingerprint = workspace_fingerprint(&token_key, &message_key);
        if fingerprint != flow.add.workspace {
            let detail = format!(
                "the workspace's keys have fingerprint {fingerprint}, the operator named {}",
                flow.add.workspace
            );
            return Err(Refusal::new(Code::WorkspaceUntrusted, detail));
        }
        let untrusted = |e: String| Refusal::new(Code::TokenInvalid, format!("pairing token: {e}"));
        let key = PublicKey::from_spki_der(&token_key).map_err(|e| untrusted(e.to_string()))?;
        jws_verify(&flow.add.token, &key).map_err(|e| untrusted(e.to_string()))?;

        let operators: Vec<[u8; 32]> = self.settings.operators.iter().map(|(id, _)| id.0).collect();
        let party = pairing.party();
        let binding = PairingBinding {
            party: party.0,
            instance: self.instance.0,
            operators: &operators,
            required: self.settings.required,
            workspace: flow.claims.workspace.0,
            user: flow.claims.user.as_str(),
            jti: flow.claims.jti.as_str(),
            role: role_text(flow.add.role),
        };
        let document = cx
            .caps
            .attestor
            .document(&nonce, &pairing_binding(&binding), &party.0)
            .map_err(|e| Refusal::new(Code::Internal, e.to_string()))?;
        let request = PairRequest {
            token: flow.add.token.to_string(),
            challenge: challenge.challenge,
            document: STANDARD.encode(document),
            party: party.to_string(),
            instance: self.instance.to_string(),
            role: role_text(flow.add.role).to_owned(),
            operators: operators.iter().map(hex::encode).collect(),
            required: self.settings.required,
            auto_approve: flow.add.approval == ApprovalSetting::Auto,
            require_intent: flow.add.require_intent,
            version: cx.caps.version.to_owned(),
        };
        let endpoint = Endpoint {
            url: &flow.claims.url,
            root: flow.add.workspace_root.as_deref(),
            networks: &flow.add.workspace_networks,
        };
        let spec = call(&endpoint, PAIR_PATH, &request)?;
        flow.stage = AddStage::Pairing { message_key };
        cx.exchange(ExchangeOwner::AddUser, spec);
        Ok(())
    }

    fn paired(&mut self, cx: &mut Cx<'_>, message_key: [u8; 32], outcome: ExchangeOutcome) -> Result<Done, Refusal> {
        let paired: PairAnswer = answer(outcome, "pairing")?;
        let gone = || Refusal::new(Code::Internal, "the pairing is gone");
        let flow = self.add.as_ref().ok_or_else(gone)?;
        let (claims, add, id) = (flow.claims.clone(), flow.add.clone(), flow.pairing);
        if paired.refresh_token.is_empty() {
            return Err(Refusal::new(Code::Malformed, "pairing: the workspace gave an empty refresh token"));
        }
        let used =
            UsedToken { jti: claims.jti.clone(), forget_at_ms: claims.expires_at_ms.saturating_add(CLOCK_SKEW_MS) };
        if !self.use_token(cx, used) {
            return Err(Refusal::new(
                Code::Busy,
                "too many pairing tokens were used in the last hour; try again later",
            ));
        }
        self.settings.epoch = self.settings.epoch.saturating_add(1);
        cx.save(blobs::settings(), &self.settings);
        let pairing = self.pairings.get_mut(&id).ok_or_else(gone)?;
        merge_initiators(&mut pairing.record, &add.initiators)?;
        pairing.record.message_key = message_key;
        pairing.record.refresh_token = Secret::new(paired.refresh_token.as_bytes());
        pairing.record.users.iter_mut().filter(|u| u.id == claims.user).for_each(|u| u.unconfirmed = None);
        pairing.save(cx);
        let key = SigningKey::from_pkcs8_der(pairing.record.callback_key.expose())
            .map_err(|e| Refusal::new(Code::Internal, e.to_string()))?;
        let callback_public_key =
            Bytes::new(key.public().spki_der()).map_err(|e| Refusal::new(Code::Internal, e.to_string()))?;
        let done = Done::UserAdded {
            user: claims.user,
            pairing: id,
            party: pairing.party(),
            workspace: claims.workspace,
            callback_public_key,
        };
        pairing.open_link(cx);
        Ok(done)
    }

    /// Takes back what an `add-user` that was refused left behind.
    fn drop_add_user(&mut self, cx: &mut Cx<'_>) {
        let Some(flow) = self.add.take() else { return };
        let Some(pairing) = self.pairings.get_mut(&flow.pairing) else { return };
        pairing.record.users.retain(|u| u.id != flow.claims.user || u.unconfirmed.is_none());
        if pairing.record.users.is_empty() && !pairing.record.is_confirmed() {
            self.pairings.remove(&flow.pairing);
            cx.delete(blobs::pairing(flow.pairing));
        } else {
            pairing.save(cx);
        }
    }
}

fn is_transport(code: Code) -> bool {
    matches!(code, Code::Dns | Code::Connect | Code::Timeout | Code::Busy)
}

/// A second API user shares the pairing, so what belongs to the pairing must be the same.
fn check_same_pairing(known: &Pairing, add: &AddUser, claims: &TokenClaims) -> Result<(), Refusal> {
    if known.users.iter().any(|u| u.id == claims.user && u.unconfirmed.is_none()) {
        return Err(Refusal::new(
            Code::Conflict,
            format!("API user {} is paired with this co-signer already", claims.user),
        ));
    }
    let differing = [
        ("workspace key", known.fingerprint == add.workspace),
        ("workspace URL", known.url.as_str() == claims.url),
        ("role", known.role == add.role),
        ("require-intent setting", known.require_intent == add.require_intent),
    ];
    match differing.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((what, _)) => Err(Refusal::new(
            Code::Conflict,
            format!("the workspace is paired here with another {what}; give the same"),
        )),
    }
}

/// What an operator's command says about an unconfirmed pairing.
fn take_settings(pairing: &mut Pairing, flow: &AddFlow) {
    pairing.role = flow.add.role;
    pairing.fingerprint = flow.add.workspace;
    pairing.url = Text::cut(flow.claims.url.clone());
    pairing.root = flow.add.workspace_root.clone();
    pairing.networks = flow.add.workspace_networks.clone();
    pairing.require_intent = flow.add.require_intent;
    pairing.peer_measurements = flow.add.peer_measurements.clone();
}

fn new_pairing(cx: &mut Cx<'_>, flow: &AddFlow, callback_key: Secret) -> Pairing {
    Pairing {
        id: flow.pairing,
        identity: Secret::default(),
        role: flow.add.role,
        workspace: flow.claims.workspace,
        fingerprint: flow.add.workspace,
        message_key: [0; 32],
        url: Text::cut(flow.claims.url.clone()),
        root: flow.add.workspace_root.clone(),
        networks: flow.add.workspace_networks.clone(),
        refresh_token: Secret::default(),
        require_intent: flow.add.require_intent,
        peer_measurements: flow.add.peer_measurements.clone(),
        callback_key,
        users: List::default(),
        initiators: List::default(),
        groups: List::default(),
        intent_floor_ms: cx.now.saturating_sub(crate::limits::INTENT_MAX_AGE_MS),
    }
}
