//! What most exchanges of the tests are like.

use super::broker::Broker;
use super::certificates::Authority;
use super::clock;
use super::server::LOOPBACK;
use cosigner_core::{AddressRule, Body, ExchangeSpec, Purpose, Trust};
use cosigner_enclave::exchange::Exchanges;
use cosigner_enclave::transport::Unix;
use countersign_wire::command::Network;
use countersign_wire::dial::Address;
use std::sync::Arc;

pub const NAME: &str = "handler.test";
pub const SECRET: &str = "the body that nobody else may see";
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

pub fn exchanges(broker: &Broker) -> Exchanges<Unix> {
    Exchanges::new(Arc::new(broker.transport()), clock().shared())
}

/// A broker that knows [`NAME`] as the loopback.
pub fn broker() -> Broker {
    let broker = Broker::start();
    broker.answer(NAME, &[LOOPBACK]);
    broker
}

/// Over a connection of its own, to a server with a certificate of `authority`.
pub fn spec(authority: &Authority, host: &str, port: u16) -> ExchangeSpec {
    with_trust(Trust::Root(authority.der()), host, port)
}

pub fn with_trust(trust: Trust, host: &str, port: u16) -> ExchangeSpec {
    ExchangeSpec {
        purpose: Purpose::Callback,
        host: host.into(),
        port,
        path: "/v2/tx_sign_request?x=1".into(),
        content_type: "application/json",
        headers: Vec::new(),
        body: Body::Plain(SECRET.into()),
        addresses: AddressRule { networks: vec![Network { address: Address::V4([127, 0, 0, 0]), prefix: 8 }] },
        trust,
        max_answer_bytes: 1000,
        deadline_ms: 20_000,
        keep_alive: false,
    }
}
