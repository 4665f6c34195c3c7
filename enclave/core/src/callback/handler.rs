//! How a handler is called: where to, with which limits, and whom TLS trusts.

use crate::effect::{AddressRule, ExchangeSpec, Purpose, Trust};
use crate::exchange::address::is_sound;
use crate::exchange::url::HttpsUrl;
use countersign_token::PublicKey;
use countersign_wire::command::{Handler, HandlerTls};
use countersign_wire::refusal::{Code, Refusal};

/// Path of a transaction's request, behind the configured base URL, in the public-key mode.
pub const TX_SIGN_REQUEST_PATH: &str = "/v2/tx_sign_request";
/// Largest answer of a handler in bytes.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// Shortest time for one call, in milliseconds.
pub const MIN_HANDLER_DEADLINE_MS: u32 = 1_000;
/// Longest time for one call, in milliseconds.
pub const MAX_HANDLER_DEADLINE_MS: u32 = 120_000;

/// Checks a handler as an operator's command brings it, so that a mistake shows at once and not at the first request.
pub fn check_handler(handler: &Handler) -> Result<(), Refusal> {
    target(handler)?;
    let malformed = |detail: String| Refusal::new(Code::Malformed, detail);
    for key in &handler.keys {
        PublicKey::from_spki_der(key).map_err(|e| malformed(format!("the handler's public key: {e}")))?;
    }
    if !handler.networks.iter().all(is_sound) {
        return Err(malformed("a network's prefix is longer than its address".into()));
    }
    if !(MIN_HANDLER_DEADLINE_MS..=MAX_HANDLER_DEADLINE_MS).contains(&handler.deadline_ms) {
        let detail = format!("expected a deadline of {MIN_HANDLER_DEADLINE_MS} to {MAX_HANDLER_DEADLINE_MS} ms");
        return Err(malformed(detail));
    }
    Ok(())
}

/// The call of `handler` with a signed request.
pub fn exchange(handler: &Handler, jwt: String) -> Result<ExchangeSpec, Refusal> {
    let (url, addresses) = target(handler)?;
    Ok(ExchangeSpec {
        purpose: Purpose::Callback,
        path: url.path_to(TX_SIGN_REQUEST_PATH),
        host: url.host,
        port: url.port,
        content_type: "application/jwt",
        body: jwt.into_bytes(),
        addresses,
        trust: match &handler.tls {
            HandlerTls::Root(root) => Trust::Root(root.to_vec()),
            HandlerTls::PublicRoots => Trust::PublicRoots,
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
    use countersign_wire::command::Network;
    use countersign_wire::dial::Address;
    use countersign_wire::{Bytes, List, Text};

    pub(crate) fn handler(url: &str) -> Handler {
        let key = public_spki_der_of(&generate_p256().unwrap()).unwrap();
        Handler {
            url: Text::new(url).unwrap(),
            public_key: Bytes::new(key).unwrap(),
            root: None,
            networks: List::default(),
            deadline_ms: 30_000,
        }
    }

    #[test]
    fn a_call_goes_to_the_protocols_path_below_the_base_url() {
        let spec = exchange(&handler("https://handler.example:8443/base/"), "a.b.c".into()).unwrap();
        assert_eq!((spec.host.as_str(), spec.port), ("handler.example", 8443));
        assert_eq!(spec.path, "/base/v2/tx_sign_request");
        assert_eq!(spec.content_type, "application/jwt");
        assert_eq!(spec.body, b"a.b.c");
        assert_eq!(spec.trust, Trust::PublicRoots);
        assert_eq!((spec.max_answer_bytes, spec.deadline_ms), (16 * 1024, 30_000));
        assert_eq!(spec.purpose, Purpose::Callback);
    }

    #[test]
    fn t26_a_given_root_is_the_only_one_trusted() {
        let handler = Handler { root: Some(Bytes::new([7u8; 4]).unwrap()), ..handler("https://handler.example") };
        assert_eq!(exchange(&handler, String::new()).unwrap().trust, Trust::Root(vec![7; 4]));
    }

    #[test]
    fn t28_a_literal_address_that_is_not_allowed_is_denied_before_any_call() {
        for url in ["https://127.0.0.1", "https://10.0.0.1/x", "https://[::1]", "https://[::ffff:169.254.169.254]"] {
            let refused = exchange(&handler(url), String::new()).map_err(|r| r.code).err();
            assert_eq!(refused, Some(Code::AddressDenied), "{url}");
        }
        let user = exchange(&handler("https://user@handler.example"), String::new()).map_err(|r| r.code).err();
        assert_eq!(user, Some(Code::Malformed));
        let networks = List::new(vec![Network { address: Address::V4([127, 0, 0, 1]), prefix: 32 }]).unwrap();
        let allowed = Handler { networks, ..handler("https://127.0.0.1:9000") };
        let spec = exchange(&allowed, String::new()).unwrap();
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
        assert_eq!(code(&Handler { public_key: Bytes::default(), ..good.clone() }), Err(Code::Malformed));
        for deadline_ms in [0, MIN_HANDLER_DEADLINE_MS - 1, MAX_HANDLER_DEADLINE_MS + 1] {
            assert_eq!(code(&Handler { deadline_ms, ..good.clone() }), Err(Code::Malformed));
        }
        let networks = List::new(vec![Network { address: Address::V4([0; 4]), prefix: 33 }]).unwrap();
        assert_eq!(code(&Handler { networks, ..good }), Err(Code::Malformed));
    }
}
