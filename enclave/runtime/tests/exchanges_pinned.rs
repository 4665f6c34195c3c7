//! Exchanges whose server is known by its key.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use cosigner_core::{ExchangeFailure, Trust};
use cosigner_enclave::clock::Clock;
use cosigner_enclave::exchange::Exchanges;
use std::sync::Arc;
use support::certificates::{Authority, SelfSigned};
use support::exchange::{NAME, OK, broker, exchanges, with_trust};
use support::server::Server;
use support::{NOW_MS, StartAt, VALID_UNTIL_MS};

const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;

#[tokio::test]
async fn a_pinned_key_is_trusted_whoever_signed_it_and_whatever_its_name() {
    let signed_itself = SelfSigned::new();
    let authority = Authority::new();
    let by_an_authority = authority.server("somebody-else.test");
    for (config, pin) in [
        (signed_itself.server(), signed_itself.pin()),
        (signed_itself.tls12_server(), signed_itself.pin()),
        (by_an_authority, authority.last_pin().unwrap()),
    ] {
        let server = Server::answering(config, OK).await;
        let broker = broker();
        for pins in [vec![pin], vec![[7; 32], pin]] {
            let report = exchanges(&broker).run(with_trust(Trust::Pinned(pins), NAME, server.port)).await;
            assert_eq!(report.outcome.unwrap().status, 200);
            let seen = report.server.unwrap();
            assert_eq!((seen.certificate_pin, seen.certificate_expires_at_ms), (pin, VALID_UNTIL_MS));
        }
    }
}

#[tokio::test]
async fn t26_another_key_than_a_pinned_one_is_named_and_sees_no_request() {
    let (pinned, hosts_own) = (SelfSigned::new(), SelfSigned::new());
    for config in [hosts_own.server(), hosts_own.tls12_server()] {
        let server = Server::answering(config, OK).await;
        let trust = Trust::Pinned(vec![pinned.pin()]);
        let report = exchanges(&broker()).run(with_trust(trust, NAME, server.port)).await;
        let seen: String = hosts_own.pin().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(report.outcome, Err(ExchangeFailure::Pin(seen)));
        assert_eq!(report.server, None);
        assert_eq!(server.plain(), "");
    }
}

#[tokio::test]
async fn t26_whoever_shows_a_pinned_certificate_without_its_key_sees_no_request() {
    let (pinned, hosts_own) = (SelfSigned::new(), SelfSigned::new());
    let server = Server::answering(pinned.server_with_the_key_of(&hosts_own), OK).await;
    let trust = Trust::Pinned(vec![pinned.pin()]);
    let outcome = exchanges(&broker()).run(with_trust(trust, NAME, server.port)).await.outcome;
    assert!(matches!(outcome, Err(ExchangeFailure::Tls(_))), "{outcome:?}");
    assert_eq!(server.plain(), "");
}

#[tokio::test]
async fn no_pin_trusts_nobody() {
    let server = Server::answering(SelfSigned::new().server(), OK).await;
    let outcome = exchanges(&broker()).run(with_trust(Trust::Pinned(vec![]), NAME, server.port)).await.outcome;
    assert!(matches!(outcome, Err(ExchangeFailure::Pin(_))), "{outcome:?}");
}

#[tokio::test]
async fn t43_a_pinned_certificate_is_checked_against_the_cores_clock() {
    let pinned = SelfSigned::new();
    let server = Server::answering(pinned.server(), OK).await;
    let broker = broker();
    for (now_ms, reason) in [(NOW_MS + 2 * YEAR_MS, "expired"), (NOW_MS - 3 * YEAR_MS, "not valid yet")] {
        let clock = Clock::start(StartAt(now_ms)).unwrap();
        let exchanges = Exchanges::new(Arc::new(broker.transport()), clock.shared());
        let trust = Trust::Pinned(vec![pinned.pin()]);
        let outcome = exchanges.run(with_trust(trust, NAME, server.port)).await.outcome;
        let Err(ExchangeFailure::Tls(text)) = outcome else { panic!("{outcome:?}") };
        assert!(text.contains(reason), "{text}");
    }
    assert_eq!(server.plain(), "");
}
