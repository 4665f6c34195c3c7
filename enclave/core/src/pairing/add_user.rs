//! `add-user`: the token is checked, the workspace proves its keys, the enclave proves itself, and the pairing is sealed.
//!
//! The new pairing's identity is sealed before the workspace learns of it, and kept from then on unless the workspace says
//! that it did not take the token: an interrupted pairing resumes under the same identity when the operator gives the same
//! token, or a new one for the same API user.

use super::settings::{check_same_pairing, is_added_as_asked, merged_initiators, new_pairing, take_settings};
use super::token::TokenClaims;
use super::{Endpoint, answer, call, is_final_refusal};
use crate::input::ExchangeOutcome;
use crate::limits::CLOCK_SKEW_MS;
use crate::serving::{Cx, ExchangeOwner, PairingState, Serving, blobs};
use crate::state::{Secret, UsedToken, User};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_channel::StaticKey;
use countersign_token::{PublicKey, verify as jws_verify};
use countersign_wire::admin::Done;
use countersign_wire::command::{AddUser, ApprovalSetting};
use countersign_wire::group::Role;
use countersign_wire::ids::{ApiUserId, PairingId};
use countersign_wire::pairing_http::{
    CHALLENGE_PATH, Challenge, ChallengeRequest, PAIR_PATH, PairAnswer, PairRequest, PairingBinding, pairing_binding,
    workspace_fingerprint,
};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{List, SigningIdentity};
use std::collections::btree_map::Entry;

/// An `add-user` under way.
pub(crate) struct AddFlow {
    /// The admin connection that waits for the result.
    pub connection: u64,
    add: AddUser,
    claims: TokenClaims,
    pairing: PairingId,
    stage: AddStage,
    /// The key for requests to this API user's handler, where it is to have its own.
    own_key: Option<Secret>,
    /// Whether the workspace may know the pairing's identity from an earlier attempt.
    offered_before: bool,
}

enum AddStage {
    /// The key for callback requests is still being made.
    CallbackKey,
    /// The workspace was asked for a challenge.
    Challenge,
    /// The workspace was given the token and the attestation document.
    Pairing { message_key: [u8; 32] },
}

fn role_text(role: Role) -> &'static str {
    match role {
        Role::Customer => "CUSTOMER",
        Role::Cloud => "CLOUD",
    }
}

impl AddFlow {
    /// Whether an API user is being added to this pairing.
    pub(crate) fn is_for(&self, pairing: &PairingId) -> bool {
        self.pairing == *pairing
    }
}

impl Serving {
    /// Starts an `add-user`. `None`: the result goes to `connection` when it is there.
    pub(crate) fn begin_add_user(
        &mut self,
        cx: &mut Cx<'_>,
        connection: u64,
        add: AddUser,
        callback_key: &mut Option<Secret>,
    ) -> Result<Option<Done>, Refusal> {
        if self.add.is_some() {
            return Err(Refusal::new(Code::Busy, "another API user is being added; try again when that is done"));
        }
        let claims = TokenClaims::parse(&add.token)?;
        let is_known =
            |p: &PairingState| p.record.workspace == claims.workspace && p.record.fingerprint == add.workspace;
        let was_used = self.used_tokens.contains_key(claims.jti.as_str());
        let has_user = |p: &&mut PairingState| is_known(p) && p.record.user(&claims.user).is_some();
        if let Some(known) = self.pairings.values_mut().find(has_user) {
            return added_before(known, &add, &claims, was_used).map(Some);
        }
        let known = self.pairings.values().find(|p| is_known(p));
        claims.check_time(cx.now)?;
        if was_used {
            return Err(Refusal::new(Code::TokenUsed, "this pairing token was used: get a new one"));
        }
        self.check_approval(add.role, &add.approval)?;
        merged_initiators(known.map_or(&[], |p| &p.record.initiators), &add.initiators)?;
        if add.role == Role::Cloud && add.allow_raw {
            let detail = "RAW is allowed at the customer's co-signer alone: repeat without --allow-raw";
            return Err(Refusal::new(Code::NotAllowed, detail));
        }
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
        let offered_before = known.is_some_and(|p| p.record.offered);
        self.add = Some(AddFlow {
            connection,
            add,
            claims,
            pairing,
            stage: AddStage::CallbackKey,
            own_key: None,
            offered_before,
        });
        self.continue_add_user(cx, callback_key).map(|()| None)
    }

    /// Goes on as soon as there are the keys for callback requests: a new pairing's, and the API user's own where its handler
    /// is to have one.
    pub(crate) fn continue_add_user(
        &mut self,
        cx: &mut Cx<'_>,
        callback_key: &mut Option<Secret>,
    ) -> Result<(), Refusal> {
        let Some(flow) = &mut self.add else { return Ok(()) };
        if !matches!(flow.stage, AddStage::CallbackKey) {
            return Ok(());
        }
        let wants_own = matches!(&flow.add.approval, ApprovalSetting::Handler(handler) if handler.own_request_key);
        if wants_own && flow.own_key.is_none() {
            let Some(key) = callback_key.take() else { return Ok(()) };
            flow.own_key = Some(key);
        }
        let id = flow.pairing;
        if let Entry::Vacant(place) = self.pairings.entry(id) {
            let Some(key) = callback_key.take() else { return Ok(()) };
            let secret: zeroize::Zeroizing<[u8; 32]> = zeroize::Zeroizing::new(cx.random());
            let identity = SigningIdentity::from_secret(&secret);
            let record = new_pairing(id, &flow.add, &flow.claims, Secret::new(&*secret), key, cx.now);
            let channel_key = StaticKey::generate(&mut *cx.caps.entropy);
            place.insert(PairingState::new(record, identity, channel_key));
        }
        if let Some(known) = self.pairings.get_mut(&id).filter(|p| !p.record.is_confirmed()) {
            take_settings(&mut known.record, &flow.add, &flow.claims);
        }
        let started = self.ask_challenge(cx, id);
        if started.is_err() {
            self.drop_add_user(cx);
        }
        started
    }

    fn ask_challenge(&mut self, cx: &mut Cx<'_>, id: PairingId) -> Result<(), Refusal> {
        let (Some(flow), Some(pairing)) = (self.add.as_mut(), self.pairings.get_mut(&id)) else { return Ok(()) };
        pairing.check_fits(&flow.claims.user, &flow.add.approval)?;
        let user = User {
            id: flow.claims.user.clone(),
            approval: flow.add.approval.clone(),
            allow_raw: flow.add.allow_raw,
            unconfirmed: Some(flow.claims.jti.clone()),
            approval_key: Secret::new(&*zeroize::Zeroizing::new(cx.random::<32>())),
            request_key: flow.own_key.take().unwrap_or_default(),
        };
        let mut users = pairing.record.users.to_vec();
        users.retain(|known| known.id != user.id);
        users.push(user);
        users.sort_by(|a, b| a.id.cmp(&b.id));
        pairing.request_keys.forget();
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
        let (result, keep) = match flow.stage {
            AddStage::CallbackKey => return None,
            AddStage::Challenge => match self.challenged(cx, outcome) {
                Ok(()) => return None,
                Err(refusal) => (Err(refusal), false),
            },
            AddStage::Pairing { message_key } => {
                // Whatever else came instead of an answer, the workspace may have taken the token under this identity.
                let keep = !is_final_refusal(&outcome);
                let result = self.paired(cx, message_key, outcome);
                (result.map_err(|refusal| if keep { resumable(refusal) } else { refusal }), keep)
            }
        };
        if result.is_ok() || keep {
            self.add = None;
        } else {
            self.drop_add_user(cx);
        }
        Some((connection, result))
    }

    fn challenged(&mut self, cx: &mut Cx<'_>, outcome: ExchangeOutcome) -> Result<(), Refusal> {
        let challenge: Challenge = answer(outcome, "pairing challenge")?;
        let Some(flow) = self.add.as_mut() else { return Ok(()) };
        let pairing =
            self.pairings.get_mut(&flow.pairing).ok_or_else(|| Refusal::new(Code::Internal, "the pairing is gone"))?;
        let malformed = |what: &str| Refusal::new(Code::Malformed, format!("pairing challenge: {what}"));
        let token_key = STANDARD.decode(&challenge.token_key).map_err(|_| malformed("token_key is not base64"))?;
        let message_key = hex::decode(&challenge.message_key).ok().and_then(|k| <[u8; 32]>::try_from(k).ok());
        let message_key = message_key.ok_or_else(|| malformed("message_key is not 32 bytes of hex"))?;
        let nonce = hex::decode(&challenge.challenge)
            .ok()
            .filter(|n| n.len() == 32)
            .ok_or_else(|| malformed("challenge is not 32 bytes of hex"))?;
        let fingerprint = workspace_fingerprint(&flow.claims.workspace, &token_key, &message_key);
        if fingerprint != flow.add.workspace {
            let detail = format!(
                "the workspace's id and keys have fingerprint {fingerprint}, the operator named {}",
                flow.add.workspace
            );
            return Err(Refusal::new(Code::WorkspaceUntrusted, detail));
        }
        let untrusted = |e: String| Refusal::new(Code::TokenInvalid, format!("pairing token: {e}"));
        let key = PublicKey::from_spki_der(&token_key).map_err(|e| untrusted(e.to_string()))?;
        jws_verify(&flow.add.token, &key).map_err(|e| untrusted(e.to_string()))?;

        let operators: Vec<[u8; 32]> = self.settings.operators.iter().map(|(id, _)| id.0).collect();
        let party = pairing.party();
        let approval_key = pairing.approval_public_key(&flow.claims.user).unwrap_or_default();
        let binding = PairingBinding {
            party: party.0,
            instance: self.instance.0,
            operators: &operators,
            required: self.settings.required,
            workspace: flow.claims.workspace.0,
            user: flow.claims.user.as_str(),
            jti: flow.claims.jti.as_str(),
            role: role_text(flow.add.role),
            approval_key,
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
            approval_key: hex::encode(approval_key),
        };
        let endpoint = Endpoint {
            url: &flow.claims.url,
            root: flow.add.workspace_root.as_deref(),
            networks: &flow.add.workspace_networks,
        };
        let spec = call(&endpoint, PAIR_PATH, &request)?;
        flow.stage = AddStage::Pairing { message_key };
        pairing.record.offered = true;
        pairing.save(cx);
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
        pairing.record.initiators = merged_initiators(&pairing.record.initiators, &add.initiators)?;
        pairing.record.message_key = message_key;
        pairing.record.refresh_token = Secret::new(paired.refresh_token.as_bytes());
        pairing.record.users.iter_mut().filter(|u| u.id == claims.user).for_each(|u| u.unconfirmed = None);
        pairing.save(cx);
        let done = user_added(pairing, claims.user)?;
        pairing.open_link(cx);
        Ok(done)
    }

    /// Takes back what an `add-user` that was refused left behind. An identity that the workspace may know from an earlier
    /// attempt stays.
    fn drop_add_user(&mut self, cx: &mut Cx<'_>) {
        let Some(flow) = self.add.take() else { return };
        let Some(pairing) = self.pairings.get_mut(&flow.pairing) else { return };
        pairing.record.users.retain(|u| u.id != flow.claims.user || u.unconfirmed.is_none());
        if pairing.record.users.is_empty() && !pairing.record.is_confirmed() && !flow.offered_before {
            self.pairings.remove(&flow.pairing);
            cx.delete(blobs::pairing(flow.pairing));
        } else {
            pairing.save(cx);
        }
    }
}

/// What an operator is to do when the workspace may have taken the token and nothing says so.
fn resumable(refusal: Refusal) -> Refusal {
    let detail = format!(
        "{}; the workspace may have taken the token: repeat this with the same token, or with a new one for the same API \
         user, and the pairing goes on under the same identity",
        refusal.detail
    );
    Refusal::new(refusal.code, detail)
}

/// The API user is there already: perhaps only the answer that said so was lost.
fn added_before(
    known: &mut PairingState,
    add: &AddUser,
    claims: &TokenClaims,
    was_used: bool,
) -> Result<Done, Refusal> {
    if was_used && is_added_as_asked(&known.record, add, claims) {
        return user_added(known, claims.user.clone());
    }
    check_same_pairing(&known.record, add, claims)?;
    let detail = format!(
        "API user {} is added to this co-signer already, and a pairing token does not change it: see `cosigner \
         get-status` and `cosigner list-users`",
        claims.user
    );
    Err(Refusal::new(Code::Conflict, detail))
}

fn user_added(pairing: &mut PairingState, user: ApiUserId) -> Result<Done, Refusal> {
    let callback_public_key = pairing.request_public_key(&user)?;
    Ok(Done::UserAdded {
        user,
        pairing: pairing.record.id,
        party: pairing.party(),
        workspace: pairing.record.workspace,
        callback_public_key,
    })
}
