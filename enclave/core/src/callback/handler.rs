//! How a handler is called: where to, with which limits, and whom TLS trusts.

use super::series::check_schedule;
use crate::effect::{AddressRule, Body, ExchangeSpec, Purpose, Trust};
use crate::exchange::address::is_sound;
use crate::exchange::url::HttpsUrl;
use countersign_token::PublicKey;
use countersign_wire::command::{Handler, HandlerMode, HandlerTls};
use countersign_wire::limits::{MAX_HANDLER_DEADLINE_MS, MIN_HANDLER_DEADLINE_MS};
use countersign_wire::refusal::{Code, Refusal};

/// Largest answer of a handler in bytes.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// What a handler is asked for: which of the protocol's paths, behind the configured base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// A signature.
    TxSignRequest,
    /// Its word about a configuration change.
    ConfigChangeSignRequest,
}

impl Endpoint {
    fn path(self, mode: HandlerMode) -> &'static str {
        match (self, mode.has_tokens()) {
            (Endpoint::TxSignRequest, true) => "/v2/tx_sign_request",
            (Endpoint::TxSignRequest, false) => "/tx_sign_request",
            (Endpoint::ConfigChangeSignRequest, true) => "/v2/config_change_sign_request",
            (Endpoint::ConfigChangeSignRequest, false) => "/config_change_sign_request",
        }
    }
}

/// Checks a handler as an operator's command brings it, so that a mistake shows at once and not at the first request.
pub fn check_handler(handler: &Handler) -> Result<(), Refusal> {
    let malformed = |detail: String| Refusal::new(Code::Malformed, detail);
    target(handler)?;
    let mode = mode(handler)?;
    keys(handler)?;
    if handler.keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(malformed("the same public key is given twice".into()));
    }
    if let HandlerTls::Pinned(pins) = &handler.tls
        && (pins.is_empty() || pins.windows(2).any(|pair| matches!(pair, [a, b] if a == b)))
    {
        return Err(malformed("expected one pin, or two different ones".into()));
    }
    if !mode.has_tokens() && (handler.dated_requests || handler.own_request_key) {
        let detail = "dated requests and a request key of one's own are for handlers with a public key: without one, \
                      requests are plain JSON";
        return Err(malformed(detail.into()));
    }
    if !handler.networks.iter().all(is_sound) {
        return Err(malformed("a network's prefix is longer than its address".into()));
    }
    if !(MIN_HANDLER_DEADLINE_MS..=MAX_HANDLER_DEADLINE_MS).contains(&handler.deadline_ms) {
        let detail = format!("expected a deadline of {MIN_HANDLER_DEADLINE_MS} to {MAX_HANDLER_DEADLINE_MS} ms");
        return Err(malformed(detail));
    }
    check_schedule(&handler.retry)
}

/// The handler's public keys; none in the JSON modes.
pub fn keys(handler: &Handler) -> Result<Vec<PublicKey>, Refusal> {
    let key = |der: &[u8]| {
        PublicKey::from_spki_der(der)
            .map_err(|e| Refusal::new(Code::Malformed, format!("the handler's public key: {e}")))
    };
    handler.keys.iter().map(|der| key(der)).collect()
}

fn mode(handler: &Handler) -> Result<HandlerMode, Refusal> {
    handler.mode().ok_or_else(|| {
        let detail = "a handler without a public key needs a pinned certificate or a certificate authority of its own: \
                      otherwise nothing says who answers";
        Refusal::new(Code::Malformed, detail)
    })
}

/// The call of `handler` with a request's body.
pub fn exchange(handler: &Handler, endpoint: Endpoint, body: Body) -> Result<ExchangeSpec, Refusal> {
    let (url, addresses) = target(handler)?;
    let mode = mode(handler)?;
    Ok(ExchangeSpec {
        purpose: Purpose::Callback,
        path: url.path_to(endpoint.path(mode)),
        host: url.host,
        port: url.port,
        content_type: if mode.has_tokens() { "application/jwt" } else { "application/json" },
        headers: Vec::new(),
        body,
        addresses,
        trust: match &handler.tls {
            HandlerTls::PublicRoots => Trust::PublicRoots,
            HandlerTls::Root(root) => Trust::Root(root.to_vec()),
            HandlerTls::Pinned(pins) => Trust::Pinned(pins.to_vec()),
        },
        max_answer_bytes: MAX_ANSWER_BYTES,
        deadline_ms: handler.deadline_ms,
        keep_alive: true,
    })
}

fn target(handler: &Handler) -> Result<(HttpsUrl, AddressRule), Refusal> {
    let url =
        HttpsUrl::parse(&handler.url).map_err(|e| Refusal::new(Code::Malformed, format!("the handler's URL: {e}")))?;
    let addresses = AddressRule { networks: handler.networks.to_vec() };
    match url.literal {
        Some(address) if !addresses.allows(address) => {
            let detail =
                format!("the handler's address {address} is not a public one, and no operator allowed its network");
            Err(Refusal::new(Code::AddressDenied, detail))
        }
        _ => Ok((url, addresses)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use countersign_token::{generate_p256, public_spki_der_of};
    use countersign_wire::command::{Network, RetrySchedule};
    use countersign_wire::dial::Address;
    use countersign_wire::{Bytes, List, Text};

    pub(crate) fn handler(url: &str) -> Handler {
        let key = public_spki_der_of(&generate_p256().unwrap()).unwrap();
        Handler {
            url: Text::new(url).unwrap(),
            keys: List::new(vec![Bytes::new(key).unwrap()]).unwrap(),
            tls: HandlerTls::PublicRoots,
            networks: List::default(),
            deadline_ms: 30_000,
            retry: RetrySchedule::default(),
            dated_requests: false,
            own_request_key: false,
        }
    }

    fn called(handler: &Handler, body: &[u8]) -> Result<ExchangeSpec, Refusal> {
        exchange(handler, Endpoint::TxSignRequest, Body::Plain(body.to_vec()))
    }

    #[test]
    fn a_call_goes_to_the_protocols_path_below_the_base_url() {
        let spec = called(&handler("https://handler.example:8443/base/"), b"a.b.c").unwrap();
        assert_eq!((spec.host.as_str(), spec.port), ("handler.example", 8443));
        assert_eq!(spec.path, "/base/v2/tx_sign_request");
        assert_eq!(spec.content_type, "application/jwt");
        assert_eq!(spec.body.bytes().unwrap(), b"a.b.c");
        assert_eq!(spec.trust, Trust::PublicRoots);
        assert_eq!((spec.max_answer_bytes, spec.deadline_ms), (16 * 1024, 30_000));
        assert_eq!(spec.purpose, Purpose::Callback);
    }

    #[test]
    fn t26_a_given_root_is_the_only_one_trusted() {
        let rooted = |der: &[u8]| Handler {
            tls: HandlerTls::Root(Bytes::new(der.to_vec()).unwrap()),
            ..handler("https://h.example")
        };
        assert_eq!(called(&rooted(&[7; 4]), b"").unwrap().trust, Trust::Root(vec![7; 4]));
    }

    #[test]
    fn each_of_the_five_modes_has_its_path_its_content_type_and_its_trust() {
        let good = handler("https://h.example");
        let root = || HandlerTls::Root(Bytes::new([7u8; 4].to_vec()).unwrap());
        let pinned = || HandlerTls::Pinned(List::new(vec![[1; 32], [2; 32]]).unwrap());
        let tokens = ("/v2/tx_sign_request", "/v2/config_change_sign_request", "application/jwt");
        let plain = ("/tx_sign_request", "/config_change_sign_request", "application/json");
        for (tls, keys, trust, (tx, change, content_type)) in [
            (HandlerTls::PublicRoots, good.keys.clone(), Trust::PublicRoots, tokens),
            (pinned(), List::default(), Trust::Pinned(vec![[1; 32], [2; 32]]), plain),
            (root(), List::default(), Trust::Root(vec![7; 4]), plain),
            (pinned(), good.keys.clone(), Trust::Pinned(vec![[1; 32], [2; 32]]), tokens),
            (root(), good.keys.clone(), Trust::Root(vec![7; 4]), tokens),
        ] {
            let handler = Handler { tls, keys, ..good.clone() };
            assert_eq!(check_handler(&handler), Ok(()));
            let spec = called(&handler, b"x").unwrap();
            assert_eq!((spec.path.as_str(), spec.content_type, &spec.trust), (tx, content_type, &trust));
            let spec = exchange(&handler, Endpoint::ConfigChangeSignRequest, Body::Plain(Vec::new())).unwrap();
            assert_eq!(spec.path, change);
            let dated = Handler { dated_requests: true, ..handler.clone() };
            assert_eq!(check_handler(&dated).is_ok(), !handler.keys.is_empty());
        }
        let nobody = Handler { keys: List::default(), ..good };
        assert!(called(&nobody, b"").is_err());
    }

    #[test]
    fn t28_a_literal_address_that_is_not_allowed_is_denied_before_any_call() {
        for url in ["https://127.0.0.1", "https://10.0.0.1/x", "https://[::1]", "https://[::ffff:169.254.169.254]"] {
            let refused = called(&handler(url), b"").map_err(|r| r.code).err();
            assert_eq!(refused, Some(Code::AddressDenied), "{url}");
        }
        let user = called(&handler("https://user@handler.example"), b"").map_err(|r| r.code).err();
        assert_eq!(user, Some(Code::Malformed));
        let networks = List::new(vec![Network { address: Address::V4([127, 0, 0, 1]), prefix: 32 }]).unwrap();
        let allowed = Handler { networks, ..handler("https://127.0.0.1:9000") };
        let spec = called(&allowed, b"").unwrap();
        assert!(spec.addresses.allows("127.0.0.1".parse().unwrap()));
        assert!(!spec.addresses.allows("127.0.0.2".parse().unwrap()));
    }

    #[test]
    fn a_handler_is_checked_when_it_is_set() {
        assert_eq!(check_handler(&handler("https://handler.example")), Ok(()));
        let code = |h: &Handler| check_handler(h).map_err(|r| r.code);
        let good = handler("https://handler.example");
        assert_eq!(
            code(&Handler { url: Text::new("http://h.example").unwrap(), ..good.clone() }),
            Err(Code::Malformed)
        );
        let bad_key = List::new(vec![Bytes::default()]).unwrap();
        assert_eq!(code(&Handler { keys: bad_key, ..good.clone() }), Err(Code::Malformed));
        let twice = List::new(vec![good.keys[0].clone(), good.keys[0].clone()]).unwrap();
        assert_eq!(code(&Handler { keys: twice, ..good.clone() }), Err(Code::Malformed));
        for pins in [vec![], vec![[1; 32], [1; 32]]] {
            let tls = HandlerTls::Pinned(List::new(pins).unwrap());
            assert_eq!(code(&Handler { tls, ..good.clone() }), Err(Code::Malformed));
        }
        assert_eq!(code(&Handler { keys: List::default(), ..good.clone() }), Err(Code::Malformed), "nobody vouches");
        let retry = RetrySchedule { every_s: 1, times: 1 };
        assert_eq!(code(&Handler { retry, ..good.clone() }), Err(Code::Malformed));
        for deadline_ms in [0, MIN_HANDLER_DEADLINE_MS - 1, MAX_HANDLER_DEADLINE_MS + 1] {
            assert_eq!(code(&Handler { deadline_ms, ..good.clone() }), Err(Code::Malformed));
        }
        let networks = List::new(vec![Network { address: Address::V4([0; 4]), prefix: 33 }]).unwrap();
        assert_eq!(code(&Handler { networks, ..good }), Err(Code::Malformed));
    }
}
