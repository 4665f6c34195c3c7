//! Exchanges over connections that are kept: who may use one again, and what happens when it breaks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use cosigner_core::{AddressRule, ExchangeFailure, ExchangeSpec, Purpose, Trust};
use cosigner_enclave::clock::Clock;
use cosigner_enclave::exchange::Exchanges;
use cosigner_enclave::limits::{MAX_IDLE_PER_PLACE, MAX_IDLE_TIME, MAX_REQUESTS_PER_CONNECTION};
use countersign_wire::command::Network;
use countersign_wire::dial::Address;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::certificates::{Authority, SelfSigned};
use support::exchange::{NAME, OK, broker, exchanges, spec, with_trust};
use support::server::Server;
use support::{StartAt, VALID_UNTIL_MS};
use tokio::task::JoinSet;

fn kept(authority: &Authority, port: u16) -> ExchangeSpec {
    ExchangeSpec { keep_alive: true, ..spec(authority, NAME, port) }
}

#[tokio::test]
async fn a_kept_connection_is_used_again_and_saves_its_steps() {
    let authority = Authority::new();
    let server = Server::keeping(authority.server(NAME), OK).await;
    let broker = broker();
    let exchanges = exchanges(&broker);
    let first = exchanges.run(kept(&authority, server.port)).await;
    assert!(!first.server.unwrap().reused);
    for _ in 0..20 {
        let report = exchanges.run(kept(&authority, server.port)).await;
        assert_eq!(report.outcome.unwrap().body, b"hi");
        assert!(report.server.unwrap().reused);
        let steps = report.steps;
        assert_eq!((steps.resolve_us, steps.connect_us, steps.tls_us), (None, None, None));
        assert!(steps.answer_us.is_some());
    }
    assert_eq!(server.sessions(), 1);
    assert_eq!(broker.dialled().len(), 1);
    assert!(!server.plain().contains("connection: close"));
}

#[tokio::test]
async fn a_connection_that_is_not_to_be_kept_is_used_once_and_says_so() {
    let authority = Authority::new();
    let server = Server::keeping(authority.server(NAME), OK).await;
    let broker = broker();
    let exchanges = exchanges(&broker);
    assert!(exchanges.run(kept(&authority, server.port)).await.outcome.is_ok());
    for purpose in [Purpose::Callback, Purpose::Pairing] {
        let once = ExchangeSpec { purpose, ..spec(&authority, NAME, server.port) };
        assert!(!exchanges.run(once).await.server.unwrap().reused);
    }
    // Calls of a workspace are never kept.
    let pairing = ExchangeSpec { purpose: Purpose::Pairing, ..kept(&authority, server.port) };
    assert!(!exchanges.run(pairing).await.server.unwrap().reused);
    assert_eq!(server.sessions(), 4);
    assert_eq!(server.plain().matches("connection: close").count(), 2);
}

#[tokio::test]
async fn exchanges_with_another_trust_or_address_rule_never_share_a_connection() {
    let authority = Authority::new();
    let server = Server::keeping(authority.server(NAME), OK).await;
    let pin = authority.last_pin().unwrap();
    let broker = broker();
    let exchanges = exchanges(&broker);
    let by_root = kept(&authority, server.port);
    let by_pin = ExchangeSpec { trust: Trust::Pinned(vec![pin]), ..by_root.clone() };
    let by_other_pins = ExchangeSpec { trust: Trust::Pinned(vec![pin, [1; 32]]), ..by_root.clone() };
    let narrower = Network { address: Address::V4([127, 0, 0, 1]), prefix: 32 };
    let other_rule = ExchangeSpec { addresses: AddressRule { networks: vec![narrower] }, ..by_root.clone() };
    for round in 0..2 {
        for spec in [&by_root, &by_pin, &by_other_pins, &other_rule] {
            let report = exchanges.run(spec.clone()).await;
            assert!(report.outcome.is_ok());
            assert_eq!(report.server.unwrap().reused, round == 1);
        }
    }
    assert_eq!(server.sessions(), 4);

    // A kept connection is no way around what would be refused now.
    let denied = ExchangeSpec { addresses: AddressRule { networks: vec![] }, ..by_root.clone() };
    assert!(matches!(exchanges.run(denied).await.outcome, Err(ExchangeFailure::AddressDenied(_))));
    let foreign = ExchangeSpec { trust: Trust::Root(Authority::new().der()), ..by_root };
    assert!(matches!(exchanges.run(foreign).await.outcome, Err(ExchangeFailure::Tls(_))));
}

#[tokio::test]
async fn a_connection_that_the_server_closes_after_an_answer_is_replaced() {
    let authority = Authority::new();
    // Closes without a word, as servers do whose patience is over.
    let server = Server::answering(authority.server(NAME), OK).await;
    let broker = broker();
    let exchanges = exchanges(&broker);
    for _ in 0..10 {
        let report = exchanges.run(kept(&authority, server.port)).await;
        assert_eq!(report.outcome.unwrap().body, b"hi");
    }
    assert_eq!(server.sessions(), 10);
}

#[tokio::test]
async fn a_kept_connection_that_breaks_before_any_answer_is_replaced_once() {
    let authority = Authority::new();
    // Answers the first request of each connection, reads the second one and resets.
    let server = Server::start(authority.server(NAME), |mut session| async move {
        session.read_request().await;
        session.write(OK).await;
        session.read_request().await;
        session.reset();
    })
    .await;
    let broker = broker();
    let exchanges = exchanges(&broker);
    assert!(exchanges.run(kept(&authority, server.port)).await.outcome.is_ok());
    let report = exchanges.run(kept(&authority, server.port)).await;
    assert_eq!(report.outcome.unwrap().body, b"hi");
    assert!(!report.server.unwrap().reused);
    assert!(report.steps.tls_us.is_some());
    assert_eq!(server.sessions(), 2);
}

#[tokio::test]
async fn a_connection_that_breaks_is_not_replaced_if_it_is_new_or_an_answer_began() {
    let authority = Authority::new();
    let count = Arc::new(AtomicUsize::new(0));
    let requests = count.clone();
    let server = Server::start(authority.server(NAME), move |mut session| {
        let requests = requests.clone();
        async move {
            while session.read_request().await {
                match requests.fetch_add(1, Ordering::Relaxed) {
                    0 => session.write(OK).await,
                    1 => {
                        session.write(b"HTTP/1.1 20").await;
                        return session.reset();
                    }
                    _ => return session.reset(),
                }
            }
        }
    })
    .await;
    let broker = broker();
    let exchanges = exchanges(&broker);
    assert!(exchanges.run(kept(&authority, server.port)).await.outcome.is_ok());
    // An answer began.
    let began = exchanges.run(kept(&authority, server.port)).await;
    assert!(matches!(began.outcome, Err(ExchangeFailure::Lost(_))), "{:?}", began.outcome);
    assert_eq!((server.sessions(), count.load(Ordering::Relaxed)), (1, 2));
    // A new connection.
    let new = exchanges.run(kept(&authority, server.port)).await;
    assert!(matches!(new.outcome, Err(ExchangeFailure::Lost(_))), "{:?}", new.outcome);
    assert_eq!((server.sessions(), count.load(Ordering::Relaxed)), (2, 3));
}

#[tokio::test]
async fn t31_a_replaced_connection_has_no_more_time_than_the_first() {
    let authority = Authority::new();
    let count = Arc::new(AtomicUsize::new(0));
    let server = Server::start(authority.server(NAME), move |mut session| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            session.read_request().await;
            if first {
                session.write(OK).await;
                session.read_request().await;
                tokio::time::sleep(Duration::from_millis(1500)).await;
                session.reset();
            } else {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    })
    .await;
    let broker = broker();
    let exchanges = exchanges(&broker);
    assert!(exchanges.run(kept(&authority, server.port)).await.outcome.is_ok());
    let start = Instant::now();
    let second = ExchangeSpec { deadline_ms: 2000, ..kept(&authority, server.port) };
    assert_eq!(exchanges.run(second).await.outcome, Err(ExchangeFailure::Timeout(2000)));
    assert_eq!(server.sessions(), 2);
    // With a time of its own the second attempt would have ended 3.5 s after the start.
    assert!(start.elapsed() < Duration::from_millis(3400), "{:?}", start.elapsed());
    assert_eq!(exchanges.running(), 0);
}

#[tokio::test]
async fn t31_a_connection_whose_exchange_timed_out_is_not_used_again() {
    let authority = Authority::new();
    let server = Server::start(authority.server(NAME), |mut session| async move {
        session.read_request().await;
        session.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        for _ in 0..1000 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            session.write(b"x").await;
        }
    })
    .await;
    let broker = broker();
    let exchanges = exchanges(&broker);
    for sessions in 1..=2 {
        let slow = ExchangeSpec { deadline_ms: 300, ..kept(&authority, server.port) };
        assert_eq!(exchanges.run(slow).await.outcome, Err(ExchangeFailure::Timeout(300)));
        assert_eq!((server.sessions(), exchanges.idle_connections()), (sessions, 0));
    }
}

#[tokio::test]
async fn an_expired_certificate_is_not_used_again() {
    let pinned = SelfSigned::new();
    let server = Server::keeping(pinned.server(), OK).await;
    let broker = broker();
    // It expires in a second.
    let clock = Clock::start(StartAt(VALID_UNTIL_MS - 1000)).unwrap();
    let exchanges = Exchanges::new(Arc::new(broker.transport()), clock.shared());
    let trust = Trust::Pinned(vec![pinned.pin()]);
    let spec = ExchangeSpec { keep_alive: true, ..with_trust(trust, NAME, server.port) };
    assert!(exchanges.run(spec.clone()).await.outcome.is_ok());
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let outcome = exchanges.run(spec).await.outcome;
    let Err(ExchangeFailure::Tls(text)) = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("expired"), "{text}");
    assert_eq!(server.plain().matches("POST").count(), 1);
}

#[tokio::test]
async fn idle_connections_are_few_and_are_closed_in_time() {
    let authority = Authority::new();
    let server = Server::keeping(authority.server(NAME), OK).await;
    let broker = broker();
    let exchanges = Arc::new(exchanges(&broker));
    let mut running = JoinSet::new();
    for _ in 0..3 * MAX_IDLE_PER_PLACE {
        let (exchanges, spec) = (exchanges.clone(), kept(&authority, server.port));
        running.spawn(async move { exchanges.run(spec).await.outcome });
    }
    assert!(running.join_all().await.iter().all(Result::is_ok));
    assert!(server.sessions() > MAX_IDLE_PER_PLACE);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(exchanges.idle_connections(), MAX_IDLE_PER_PLACE);
    tokio::time::sleep(MAX_IDLE_TIME + Duration::from_millis(1500)).await;
    assert_eq!(exchanges.idle_connections(), 0);
    // And the next exchange opens a new one.
    let before = server.sessions();
    assert!(exchanges.run(kept(&authority, server.port)).await.outcome.is_ok());
    assert_eq!(server.sessions(), before + 1);
}

#[tokio::test]
async fn a_connection_takes_so_many_requests_and_no_more() {
    let authority = Authority::new();
    let server = Server::keeping(authority.server(NAME), OK).await;
    let broker = broker();
    let exchanges = exchanges(&broker);
    for _ in 0..=MAX_REQUESTS_PER_CONNECTION {
        assert!(exchanges.run(kept(&authority, server.port)).await.outcome.is_ok());
    }
    assert_eq!(server.sessions(), 2);
}
