//! Pairings: joining a workspace, keeping its link up, and the groups that it proposes.

mod add_user;
mod groups;
mod link;
mod settings;
mod token;

pub(crate) use add_user::AddFlow;
pub(crate) use link::Link;
pub(crate) use settings::merged_initiators;

use crate::effect::{AddressRule, Body, ExchangeSpec, Purpose, Trust};
use crate::exchange::url::HttpsUrl;
use crate::input::{ExchangeOutcome, HttpAnswer};
use crate::limits::{MAX_WORKSPACE_ANSWER_BYTES, WORKSPACE_DEADLINE_MS};
use countersign_wire::command::Network;
use countersign_wire::pairing_http::PairingError;
use countersign_wire::refusal::{Code, Refusal};
use serde::de::DeserializeOwned;

/// How a workspace is reached.
pub(crate) struct Endpoint<'a> {
    pub url: &'a str,
    pub root: Option<&'a [u8]>,
    pub networks: &'a [Network],
}

/// One call of a workspace's pairing endpoints.
pub(crate) fn call<T: serde::Serialize>(
    endpoint: &Endpoint<'_>,
    path: &str,
    body: &T,
) -> Result<ExchangeSpec, Refusal> {
    let url = HttpsUrl::parse(endpoint.url)
        .map_err(|e| Refusal::new(Code::Malformed, format!("the workspace's URL {}: {e}", endpoint.url)))?;
    let body = serde_json::to_vec(body).map_err(|e| Refusal::new(Code::Internal, e.to_string()))?;
    Ok(ExchangeSpec {
        purpose: Purpose::Pairing,
        host: url.host.clone(),
        port: url.port,
        path: url.path_to(path),
        content_type: "application/json",
        headers: Vec::new(),
        body: Body::Plain(body),
        addresses: AddressRule { networks: endpoint.networks.to_vec() },
        trust: endpoint.root.map_or(Trust::PublicRoots, |der| Trust::Root(der.to_vec())),
        max_answer_bytes: MAX_WORKSPACE_ANSWER_BYTES,
        deadline_ms: WORKSPACE_DEADLINE_MS,
        keep_alive: false,
    })
}

/// The answer of a call, or a refusal that says what the workspace said.
pub(crate) fn answer<T: DeserializeOwned>(outcome: ExchangeOutcome, what: &str) -> Result<T, Refusal> {
    use crate::input::ExchangeFailure as F;
    let HttpAnswer { status, body } = outcome.map_err(|failure| {
        let code = match failure {
            F::Dns(_) => Code::Dns,
            F::AddressDenied(_) => Code::AddressDenied,
            F::Connect(_) => Code::Connect,
            F::Tls(_) => Code::TlsUntrusted,
            F::Pin(_) => Code::PinMismatch,
            F::Lost(_) => Code::ConnectionLost,
            F::Http(_) | F::TooLarge(_) => Code::Malformed,
            F::Timeout(_) => Code::Timeout,
            F::Unavailable(_) => Code::Busy,
        };
        Refusal::new(code, format!("{what}: {failure}"))
    })?;
    if status != 200 {
        let said = serde_json::from_slice::<PairingError>(&body).ok();
        let reason = said.as_ref().map(|e| e.reason.as_str()).unwrap_or_default();
        let code = Code::ALL.iter().copied().find(|c| c.as_str() == reason).unwrap_or(Code::HttpStatus);
        let detail = said.map(|e| e.message).unwrap_or_else(|| "no explanation".to_owned());
        return Err(Refusal::new(code, format!("{what}: the workspace answered {status}: {detail}")));
    }
    serde_json::from_slice(&body)
        .map_err(|e| Refusal::new(Code::Malformed, format!("{what}: the workspace's answer: {e}")))
}

/// Whether the workspace itself says, in its own words, that it did not take the pairing token of this call. A status of
/// something in between does not say that, and neither does a challenge that is gone: a repeated call finds it gone too.
pub(crate) fn is_final_refusal(outcome: &ExchangeOutcome) -> bool {
    let Ok(HttpAnswer { status: 400..=499, body }) = outcome else { return false };
    let Ok(said) = serde_json::from_slice::<PairingError>(body) else { return false };
    let codes = [
        Code::TokenInvalid,
        Code::TokenExpired,
        Code::TokenUsed,
        Code::ClockSkew,
        Code::NotFound,
        Code::NotAllowed,
        Code::Conflict,
    ];
    codes.iter().any(|code| code.as_str() == said.reason)
}
