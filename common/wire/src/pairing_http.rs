//! Bodies of the workspace's pairing endpoints (JSON), which the enclave calls over TLS that ends inside it.
//!
//! | call | request | answer |
//! |---|---|---|
//! | `POST /v1/pair_device/challenge` | [`ChallengeRequest`] | [`Challenge`] |
//! | `POST /v1/pair_device` | [`PairRequest`] | [`PairAnswer`] |
//! | `POST /v1/access_token` | [`AccessTokenRequest`] | [`AccessToken`] |
//!
//! Errors are `{"message": "...", "code": <number>, "reason": "<refusal code>"}` with a 4xx status. Byte strings are
//! standard base64 with padding, keys and hashes lower-case hex. Unknown members are refused.

use crate::ids::{WorkspaceFingerprint, WorkspaceId};
use crate::message::digest_of;
use serde::{Deserialize, Serialize};

/// Path of the challenge call.
pub const CHALLENGE_PATH: &str = "/v1/pair_device/challenge";
/// Path of the pairing call.
pub const PAIR_PATH: &str = "/v1/pair_device";
/// Path of the access token call.
pub const ACCESS_TOKEN_PATH: &str = "/v1/access_token";
/// Path of the relay's WebSocket.
pub const RELAY_PATH: &str = "/v1/relay";
/// Domain of the hash that a pairing's attestation document carries as `user_data`.
pub const PAIRING_BINDING_DOMAIN: &str = "countersign/pairing-binding/v2";

/// Asks for a challenge.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// The API user of the token.
    pub user_id: String,
}

/// A challenge, and the workspace's public keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// 32 bytes in hex that mean something to the workspace alone; single-use, valid for five minutes: the nonce of the
    /// attestation document.
    pub challenge: String,
    /// P-256 key that signs pairing tokens, SubjectPublicKeyInfo DER in base64.
    pub token_key: String,
    /// Ed25519 key that signs messages to co-signers, hex.
    pub message_key: String,
}

/// Pairs. The attestation document's nonce is the challenge, its `public_key` the pairing's identity, its `user_data`
/// [`pairing_binding`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRequest {
    /// The pairing token.
    pub token: String,
    /// The challenge.
    pub challenge: String,
    /// The attestation document, base64.
    pub document: String,
    /// The pairing's identity (Ed25519), hex.
    pub party: String,
    /// The instance's identity (Ed25519), hex.
    pub instance: String,
    /// `CUSTOMER` or `CLOUD`.
    pub role: String,
    /// The operators' public keys, hex, sorted.
    pub operators: Vec<String>,
    /// How many operators must sign a change.
    pub required: u16,
    /// Whether the user was paired with auto-approve.
    pub auto_approve: bool,
    /// Whether intent is required.
    pub require_intent: bool,
    /// Software version.
    pub version: String,
    /// The API user's approval key (Ed25519), hex: it signs the user's word about configuration changes.
    pub approval_key: String,
}

/// The workspace's answer.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PairAnswer {
    /// The device's id at the workspace.
    pub device_id: String,
    /// Long-lived; it stays inside the enclave.
    pub refresh_token: String,
    /// `COMPLETED`, or `WAITING_FOR_APPROVAL` of an owner.
    pub status: String,
}

/// Exchanges a refresh token.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccessTokenRequest {
    /// The refresh token.
    pub refresh_token: String,
}

/// A short-lived token for the relay.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccessToken {
    /// The token.
    pub access_token: String,
    /// Seconds until it expires.
    pub expires_in: u64,
}

/// An error of these endpoints.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PairingError {
    /// What was expected and what to do.
    pub message: String,
    /// The HTTP status.
    pub code: u32,
    /// The refusal code as text.
    #[serde(default)]
    pub reason: String,
}

/// The fingerprint that an operator's command names: SHA-256 over the workspace's id, its message key and its token key
/// (SubjectPublicKeyInfo DER), in that order. With the id in it no other workspace can pass under that id.
pub fn workspace_fingerprint(
    workspace: &WorkspaceId,
    token_key_der: &[u8],
    message_key: &[u8; 32],
) -> WorkspaceFingerprint {
    let bytes = [&workspace.0[..], message_key, token_key_der].concat();
    WorkspaceFingerprint(digest_of("countersign/workspace-fingerprint/v2", &bytes))
}

/// What the attestation document of a pairing binds, beside its nonce and public key.
pub struct PairingBinding<'a> {
    /// The pairing's identity.
    pub party: [u8; 32],
    /// The instance's identity.
    pub instance: [u8; 32],
    /// Operators, sorted.
    pub operators: &'a [[u8; 32]],
    /// How many must sign.
    pub required: u16,
    /// The workspace's id.
    pub workspace: [u8; 16],
    /// The API user's id.
    pub user: &'a str,
    /// The token's `jti`.
    pub jti: &'a str,
    /// `CUSTOMER` or `CLOUD`.
    pub role: &'a str,
    /// The API user's approval key.
    pub approval_key: [u8; 32],
}

/// The 32-byte `user_data` of a pairing's attestation document: SHA-256 over the Borsh encoding of the binding's fields in order.
pub fn pairing_binding(binding: &PairingBinding<'_>) -> [u8; 32] {
    let fields = (
        binding.party,
        binding.instance,
        binding.operators,
        binding.required,
        binding.workspace,
        binding.user,
        binding.jti,
        binding.role,
        binding.approval_key,
    );
    digest_of(PAIRING_BINDING_DOMAIN, &borsh::to_vec(&fields).unwrap_or_default())
}
