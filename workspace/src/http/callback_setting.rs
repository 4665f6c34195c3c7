//! A callback handler as a client proposes it, read into exactly what operators would sign.

use countersign_token::PublicKey;
use countersign_wire::command::{ApprovalSetting, Handler, HandlerTls, Network, RetrySchedule};
use countersign_wire::dial::Address;
use countersign_wire::limits::{
    MAX_ACTIVE_KEYS, MAX_HANDLER_DEADLINE_MS, MAX_NETWORKS, MAX_RETRY_EVERY_S, MAX_RETRY_SERIES_S, MAX_URL_BYTES,
    MIN_HANDLER_DEADLINE_MS, MIN_RETRY_EVERY_S,
};
use countersign_wire::{Bytes, List, Text};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use webpki::EndEntityCert;

/// Time for one call, in ms, where the client says nothing.
const DEFAULT_DEADLINE_MS: u32 = 30_000;

/// `callbackHandler` of a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Proposed {
    /// `BASIC` (tokens under a key) or `CERTIFICATE` (a pinned certificate); follows from the rest where it is absent.
    pub r#type: Option<String>,
    /// Base URL.
    pub url: String,
    /// The handler's public key, PEM.
    pub public_key: Option<String>,
    /// The certificate that is pinned by its public key, PEM.
    #[serde(alias = "cert")]
    pub certificate: Option<String>,
    /// What only this product has.
    #[serde(default)]
    pub countersign: Own,
}

/// `callbackHandler.countersign`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Own {
    /// A second public key, PEM: the next one of a rotation.
    pub next_public_key: Option<String>,
    /// A second certificate to pin, PEM: the next one of a rotation.
    pub next_certificate: Option<String>,
    /// The only certificate authority to trust, PEM.
    pub root_certificate: Option<String>,
    /// Non-public networks in which the handler may be, such as `10.1.0.0/16`.
    pub networks: Vec<String>,
    /// Time for one call, in ms.
    pub deadline_ms: Option<u32>,
    /// What follows a RETRY.
    pub retry: Option<Retry>,
    /// Whether request tokens carry times and a `jti`.
    pub dated_requests: bool,
    /// Whether requests are signed with a key of this API user alone.
    pub own_request_key: bool,
}

/// `callbackHandler.countersign.retry`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Retry {
    /// Seconds between two attempts.
    pub every_seconds: u32,
    /// Attempts after the first one.
    pub times: u16,
}

fn url(text: &str) -> Result<Text<MAX_URL_BYTES>, String> {
    let expected = || format!("url: expected https://HOST/PATH without user, query and fragment, got {text:.80?}");
    let rest = text.strip_prefix("https://").ok_or_else(expected)?;
    let host = rest.split('/').next().unwrap_or_default();
    let bad = |c: char| c.is_whitespace() || c.is_control() || "?#@\\".contains(c);
    if host.is_empty() || rest.contains(bad) {
        return Err(expected());
    }
    Text::new(text).map_err(|e| format!("url: {e}"))
}

fn key(name: &str, pem: &str) -> Result<Bytes<{ countersign_wire::limits::MAX_DER_BYTES }>, String> {
    let key = PublicKey::from_pem(pem).map_err(|e| format!("{name}: {e}"))?;
    Bytes::new(key.spki_der().to_vec()).map_err(|e| format!("{name}: {e}"))
}

fn certificate(name: &str, pem: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| format!("{name}: expected one certificate, PEM: {e}"))
}

/// SHA-256 of the certificate's SubjectPublicKeyInfo.
fn pin(name: &str, pem: &str) -> Result<[u8; 32], String> {
    let der = certificate(name, pem)?;
    let parsed = EndEntityCert::try_from(&der).map_err(|e| format!("{name}: {e}"))?;
    Ok(Sha256::digest(parsed.subject_public_key_info().as_ref()).into())
}

fn network(text: &String) -> Result<Network, String> {
    let expected = || format!("networks: expected such as 10.1.0.0/16, got {text:.80?}");
    let (address, prefix) = text.split_once('/').ok_or_else(expected)?;
    let address: IpAddr = address.parse().map_err(|_| expected())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse::<u8>().ok().filter(|prefix| *prefix <= most).ok_or_else(expected)?;
    Ok(Network { address: Address::from(address), prefix })
}

fn schedule(retry: Option<Retry>) -> Result<RetrySchedule, String> {
    let Some(Retry { every_seconds: every_s, times }) = retry else { return Ok(RetrySchedule::default()) };
    let series_s = u64::from(every_s).saturating_mul(u64::from(times));
    if !(MIN_RETRY_EVERY_S..=MAX_RETRY_EVERY_S).contains(&every_s) {
        return Err(format!(
            "retry: expected everySeconds of {MIN_RETRY_EVERY_S} to {MAX_RETRY_EVERY_S}, got {every_s}"
        ));
    }
    if series_s > MAX_RETRY_SERIES_S {
        return Err(format!(
            "retry: expected everySeconds times times of at most {MAX_RETRY_SERIES_S} seconds, got {series_s}"
        ));
    }
    Ok(RetrySchedule { every_s, times })
}

impl Proposed {
    /// The setting.
    ///
    /// # Errors
    /// The sentence says what was expected.
    pub fn setting(&self) -> Result<ApprovalSetting, String> {
        let own = &self.countersign;
        let both = |name: &'static str, first: &Option<String>, second: &Option<String>| match (first, second) {
            (None, Some(_)) => Err(format!("{name}: expected the present one where there is a next one")),
            (first, second) => Ok([first.clone(), second.clone()].into_iter().flatten().collect::<Vec<_>>()),
        };
        let keys = both("publicKey", &self.public_key, &own.next_public_key)?;
        let keys = keys.iter().map(|pem| key("publicKey", pem)).collect::<Result<Vec<_>, _>>()?;
        let pins = both("certificate", &self.certificate, &own.next_certificate)?;
        let pins = pins.iter().map(|pem| pin("certificate", pem)).collect::<Result<Vec<_>, _>>()?;
        let fits = match self.r#type.as_deref() {
            None => true,
            Some("BASIC") => !keys.is_empty(),
            Some("CERTIFICATE") => !pins.is_empty(),
            Some(other) => return Err(format!("type: expected BASIC or CERTIFICATE, got {other:.80?}")),
        };
        if !fits {
            return Err("type: expected BASIC with a publicKey, CERTIFICATE with a certificate".to_owned());
        }
        let tls = match (&own.root_certificate, pins.is_empty()) {
            (Some(_), false) => return Err("expected a pinned certificate or a root certificate, not both".to_owned()),
            (Some(root), true) => {
                let der = certificate("rootCertificate", root)?;
                HandlerTls::Root(Bytes::new(der.to_vec()).map_err(|e| format!("rootCertificate: {e}"))?)
            }
            (None, false) => HandlerTls::Pinned(List::<_, MAX_ACTIVE_KEYS>::new(pins).map_err(|e| e.to_string())?),
            (None, true) => HandlerTls::PublicRoots,
        };
        let networks = own.networks.iter().map(network).collect::<Result<Vec<_>, _>>()?;
        let deadline_ms = own.deadline_ms.unwrap_or(DEFAULT_DEADLINE_MS);
        if !(MIN_HANDLER_DEADLINE_MS..=MAX_HANDLER_DEADLINE_MS).contains(&deadline_ms) {
            return Err(format!(
                "deadlineMs: expected {MIN_HANDLER_DEADLINE_MS} to {MAX_HANDLER_DEADLINE_MS}, got {deadline_ms}"
            ));
        }
        let handler = Handler {
            url: url(&self.url)?,
            keys: List::new(keys).map_err(|e| e.to_string())?,
            tls,
            networks: List::<_, MAX_NETWORKS>::new(networks).map_err(|e| format!("networks: {e}"))?,
            deadline_ms,
            retry: schedule(own.retry)?,
            dated_requests: own.dated_requests,
            own_request_key: own.own_request_key,
        };
        if handler.mode().is_none() {
            return Err(
                "expected a publicKey, a certificate or a rootCertificate: nothing would say who answers".into()
            );
        }
        Ok(ApprovalSetting::Handler(handler))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn setting(own: Value) -> Result<ApprovalSetting, String> {
        let key = rcgen::KeyPair::generate().unwrap().public_key_pem();
        let all = json!({"url": "https://handler.example", "publicKey": key, "countersign": own});
        serde_json::from_value::<Proposed>(all).unwrap().setting()
    }

    fn retried(every_s: u32, times: u64) -> Result<ApprovalSetting, String> {
        setting(json!({"retry": {"everySeconds": every_s, "times": times}}))
    }

    /// What a co-signer's operators could not sign is not proposed to them.
    #[test]
    fn times_are_those_that_co_signers_take() {
        for good in [MIN_HANDLER_DEADLINE_MS, MAX_HANDLER_DEADLINE_MS] {
            assert!(setting(json!({"deadlineMs": good})).is_ok(), "{good}");
        }
        for bad in [MIN_HANDLER_DEADLINE_MS - 1, MAX_HANDLER_DEADLINE_MS + 1, 300_000] {
            let error = setting(json!({"deadlineMs": bad})).unwrap_err();
            assert_eq!(error, format!("deadlineMs: expected 1000 to 120000, got {bad}"));
        }
        let most = MAX_RETRY_SERIES_S / u64::from(MAX_RETRY_EVERY_S);
        assert!(retried(MIN_RETRY_EVERY_S, 1).is_ok() && retried(MAX_RETRY_EVERY_S, most).is_ok());
        for (every_s, times) in [(MIN_RETRY_EVERY_S - 1, 1), (MAX_RETRY_EVERY_S + 1, 1), (MAX_RETRY_EVERY_S, most + 1)]
        {
            assert!(retried(every_s, times).unwrap_err().starts_with("retry: expected"), "{every_s} {times}");
        }
    }
}
