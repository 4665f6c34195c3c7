//! Exchanges against real TLS servers on the loopback, through a broker that dials.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use cosigner_core::{ExchangeFailure, ExchangeOutcome, ExchangeSpec, HttpAnswer, HttpProtocol, Purpose, Trust};
use cosigner_enclave::clock::Clock;
use cosigner_enclave::exchange::Exchanges;
use cosigner_enclave::limits::{MAX_ANSWER_HEAD_BYTES, MAX_CALLBACKS, MAX_WORKSPACE_CALLS};
use cosigner_enclave::transport::Unix;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::certificates::Authority;
use support::exchange::{NAME, OK, SECRET, broker, exchanges, spec};
use support::server::{LOOPBACK, Server};
use support::{NOW_MS, StartAt, VALID_UNTIL_MS, clock};
use tokio::net::TcpListener;

#[tokio::test]
async fn an_exchange_sends_exactly_the_request_and_returns_the_whole_answer() {
    let authority = Authority::new();
    let server = Server::answering(authority.server(NAME), OK).await;
    let broker = broker();
    let answer = exchanges(&broker).run(spec(&authority, NAME, server.port)).await.outcome;
    assert_eq!(answer, Ok(HttpAnswer { status: 200, body: b"hi".to_vec() }));
    let expected = format!(
        "POST /v2/tx_sign_request?x=1 HTTP/1.1\r\nhost: {NAME}:{}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\naccept-encoding: identity\r\nconnection: close\r\n\r\n{SECRET}",
        server.port,
        SECRET.len()
    );
    assert_eq!(server.plain(), expected);
}

#[tokio::test]
async fn an_address_is_its_own_name() {
    let authority = Authority::new();
    let server = Server::answering(authority.server("127.0.0.1"), OK).await;
    let broker = Broker::start();
    let answer = exchanges(&broker).run(spec(&authority, "127.0.0.1", server.port)).await.outcome;
    assert_eq!(answer.unwrap().status, 200);
    assert!(broker.asked.lock().unwrap().resolved.is_empty());
}

#[tokio::test]
async fn t26_a_host_that_ends_tls_itself_sees_no_request() {
    let trusted = Authority::named("trusted");
    // One that does not hide, and one that says it is the trusted one.
    for (hosts_own, reason) in
        [(Authority::named("own"), "UnknownIssuer"), (Authority::named("trusted"), "BadSignature")]
    {
        let server = Server::answering(hosts_own.server(NAME), OK).await;
        let answer = exchanges(&broker()).run(spec(&trusted, NAME, server.port)).await.outcome;
        assert_eq!(answer, Err(ExchangeFailure::Tls(format!("invalid peer certificate: {reason}"))));
        assert_eq!(server.plain(), "");
        assert_eq!(server.seen.lock().unwrap().sessions, 0);
    }
}

#[tokio::test]
async fn t26_the_public_authorities_do_not_vouch_for_a_private_one() {
    let authority = Authority::new();
    let server = Server::answering(authority.server(NAME), OK).await;
    let spec = ExchangeSpec { trust: Trust::PublicRoots, ..spec(&authority, NAME, server.port) };
    assert!(matches!(exchanges(&broker()).run(spec).await.outcome, Err(ExchangeFailure::Tls(_))));
    assert_eq!(server.plain(), "");
}

#[tokio::test]
async fn t27_a_name_that_the_host_resolves_to_another_server_discloses_nothing() {
    let authority = Authority::new();
    let server = Server::answering(authority.server("somebody-else.test"), OK).await;
    let answer = exchanges(&broker()).run(spec(&authority, NAME, server.port)).await.outcome;
    let Err(ExchangeFailure::Tls(reason)) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("not valid for name"), "{reason}");
    assert_eq!(server.plain(), "");
}

#[tokio::test]
async fn t43_certificates_are_checked_against_the_cores_clock() {
    let authority = Authority::new();
    let server = Server::answering(authority.server(NAME), OK).await;
    let broker = broker();
    let years_ms = 365 * 24 * 3600 * 1000;
    for (now_ms, reason) in [(NOW_MS + 2 * years_ms, "expired"), (NOW_MS - 3 * years_ms, "not valid yet")] {
        let clock = Clock::start(StartAt(now_ms)).unwrap();
        let exchanges = Exchanges::new(Arc::new(broker.transport()), clock.shared());
        let answer = exchanges.run(spec(&authority, NAME, server.port)).await.outcome;
        let Err(ExchangeFailure::Tls(text)) = answer else { panic!("{answer:?}") };
        assert!(text.contains(reason), "{text}");
    }
    assert_eq!(server.plain(), "");
}

#[tokio::test]
async fn t28_a_denied_address_is_never_dialled() {
    let authority = Authority::new();
    let broker = Broker::start();
    broker.answer("metadata.test", &[IpAddr::from([169, 254, 169, 254]), "::ffff:10.0.0.1".parse().unwrap()]);
    let exchanges = exchanges(&broker);
    for host in ["metadata.test", "169.254.169.254", "[::1]", "10.0.0.1"] {
        let answer = exchanges.run(spec(&authority, host, 443)).await.outcome;
        assert!(matches!(answer, Err(ExchangeFailure::AddressDenied(_))), "{host}: {answer:?}");
    }
    assert_eq!(broker.dialled(), []);
}

#[tokio::test]
async fn t29_the_address_that_was_checked_is_the_one_that_is_dialled() {
    let authority = Authority::new();
    let server = Server::answering(authority.server(NAME), OK).await;
    let broker = broker();
    broker.answer(NAME, &[IpAddr::from([169, 254, 169, 254])]);
    assert!(exchanges(&broker).run(spec(&authority, NAME, server.port)).await.outcome.is_ok());
    assert_eq!(broker.dialled(), [(LOOPBACK, server.port)]);
    assert_eq!(broker.asked.lock().unwrap().resolved, [NAME]);
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_followed_by_the_next_allowed_one() {
    let authority = Authority::new();
    let server = Server::answering(authority.server(NAME), OK).await;
    let broker = Broker::start();
    let closed = IpAddr::from([127, 0, 0, 2]);
    broker.answer(NAME, &[IpAddr::from([10, 0, 0, 1]), closed, LOOPBACK]);
    assert!(exchanges(&broker).run(spec(&authority, NAME, server.port)).await.outcome.is_ok());
    assert_eq!(broker.dialled(), [(closed, server.port), (LOOPBACK, server.port)]);
}

#[tokio::test]
async fn t30_a_redirect_is_an_answer_and_is_not_followed() {
    let authority = Authority::new();
    let redirect = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
    let server = Server::answering(authority.server(NAME), redirect).await;
    let broker = broker();
    let answer = exchanges(&broker).run(spec(&authority, NAME, server.port)).await.outcome;
    assert_eq!(answer, Ok(HttpAnswer { status: 307, body: vec![] }));
    assert_eq!(broker.dialled().len(), 1);
    assert_eq!(server.seen.lock().unwrap().sessions, 1);
}

#[tokio::test]
async fn t23_an_answer_over_the_limit_is_refused_declared_or_not() {
    let authority = Authority::new();
    let declared = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".to_vec();
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..11 {
        chunked.extend_from_slice(b"64\r\n");
        chunked.extend_from_slice(&[b'x'; 100]);
        chunked.extend_from_slice(b"\r\n");
    }
    let mut until_closed = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    until_closed.extend_from_slice(&[b'x'; 1001]);
    for answer in [declared, chunked, until_closed] {
        let server = Server::answering(authority.server(NAME), answer).await;
        let answer = exchanges(&broker()).run(spec(&authority, NAME, server.port)).await.outcome;
        assert_eq!(answer, Err(ExchangeFailure::TooLarge(1000)));
    }
}

#[tokio::test]
async fn an_answer_of_exactly_the_limit_is_taken() {
    let authority = Authority::new();
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec();
    answer.extend_from_slice(&[b'x'; 1000]);
    let server = Server::answering(authority.server(NAME), answer).await;
    let answer = exchanges(&broker()).run(spec(&authority, NAME, server.port)).await.outcome;
    assert_eq!(answer.unwrap().body.len(), 1000);
}

#[tokio::test]
async fn t31_one_byte_at_a_time_meets_the_deadline_and_the_slot_is_free_again() {
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
    let start = Instant::now();
    let answer = exchanges.run(ExchangeSpec { deadline_ms: 400, ..spec(&authority, NAME, server.port) }).await.outcome;
    assert_eq!(answer, Err(ExchangeFailure::Timeout(400)));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(exchanges.running(), 0);
}

#[tokio::test]
async fn t31_the_deadline_holds_before_tls_too() {
    let authority = Authority::new();
    let silent = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let answer =
        exchanges(&broker()).run(ExchangeSpec { deadline_ms: 200, ..spec(&authority, NAME, port) }).await.outcome;
    assert_eq!(answer, Err(ExchangeFailure::Timeout(200)));
}

#[tokio::test]
async fn t47_no_more_exchanges_than_allowed_run_at_once() {
    let authority = Authority::new();
    let silent = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let broker = broker();
    let exchanges = Arc::new(exchanges(&broker));
    let mut running = tokio::task::JoinSet::new();
    // However many handlers are slow, calls of workspaces have places of their own, and the other way round.
    let mut all = 0;
    for (purpose, most) in [(Purpose::Callback, MAX_CALLBACKS), (Purpose::Pairing, MAX_WORKSPACE_CALLS)] {
        for _ in 0..most {
            let spec = ExchangeSpec { purpose, ..spec(&authority, NAME, port) };
            let exchanges = exchanges.clone();
            running.spawn(async move { exchanges.run(spec).await.outcome });
        }
        all += most;
        while exchanges.running() < all {
            tokio::task::yield_now().await;
        }
        let answer = exchanges.run(ExchangeSpec { purpose, ..spec(&authority, NAME, port) }).await.outcome;
        assert!(matches!(answer, Err(ExchangeFailure::Unavailable(_))), "{answer:?}");
    }
    running.shutdown().await;
    assert_eq!(exchanges.running(), 0);
}

#[tokio::test]
async fn a_compressed_answer_is_refused() {
    let authority = Authority::new();
    let gzip = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi";
    let server = Server::answering(authority.server(NAME), gzip).await;
    let answer = exchanges(&broker()).run(spec(&authority, NAME, server.port)).await.outcome;
    assert!(matches!(answer, Err(ExchangeFailure::Http(_))), "{answer:?}");
}

#[tokio::test]
async fn a_reset_within_the_answer_is_no_answer() {
    let authority = Authority::new();
    let server = Server::start(authority.server(NAME), |mut session| async move {
        session.read_request().await;
        session.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        session.reset();
    })
    .await;
    let answer = exchanges(&broker()).run(spec(&authority, NAME, server.port)).await.outcome;
    assert!(matches!(answer, Err(ExchangeFailure::Lost(_))), "{answer:?}");
}

/// Answers with `answer`, then ends the TCP connection in order, without a word of TLS.
async fn without_a_notice(authority: &Authority, answer: &'static str) -> ExchangeOutcome {
    let server = Server::start(authority.server(NAME), move |mut session| async move {
        session.read_request().await;
        session.write(answer).await;
        let (tcp, _) = session.stream.into_inner();
        drop(tcp);
    })
    .await;
    exchanges(&broker()).run(spec(authority, NAME, server.port)).await.outcome
}

#[tokio::test]
async fn an_answer_of_announced_length_that_the_host_cut_off_is_no_answer() {
    let authority = Authority::new();
    let of_a_length = "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"action\":\"APPROVE\"";
    let in_chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{\"action\":\"APPROVE\"}\r\n";
    let half_a_head = "HTTP/1.1 200 OK\r\n";
    for answer in [of_a_length, in_chunks, half_a_head] {
        let outcome = without_a_notice(&authority, answer).await;
        assert!(matches!(outcome, Err(ExchangeFailure::Lost(_))), "{answer}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_needs_no_notice_from_tls() {
    let authority = Authority::new();
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let answer: &'static str = format!("{version} 200 OK\r\n\r\n{{\"action\":\"APPROVE\"}}").leak();
        let outcome = without_a_notice(&authority, answer).await;
        assert_eq!(outcome, Ok(HttpAnswer { status: 200, body: br#"{"action":"APPROVE"}"#.to_vec() }));
    }
}

#[tokio::test]
async fn a_server_that_closes_too_early_gave_no_answer() {
    let authority = Authority::new();
    let half_a_head = b"HTTP/1.1 200 OK\r\nContent-".to_vec();
    let half_a_body = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec();
    let half_a_chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab".to_vec();
    let no_last_chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n".to_vec();
    for answer in [Vec::new(), half_a_head, half_a_body, half_a_chunk, no_last_chunk] {
        let server = Server::answering(authority.server(NAME), answer.clone()).await;
        let outcome = exchanges(&broker()).run(spec(&authority, NAME, server.port)).await.outcome;
        assert!(matches!(outcome, Err(ExchangeFailure::Lost(_))), "{}: {outcome:?}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn words_before_and_after_the_answer_are_passed_over() {
    let authority = Authority::new();
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                  HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nTrailer: x\r\n\r\n";
    let server = Server::answering(authority.server(NAME), answer).await;
    let outcome = exchanges(&broker()).run(spec(&authority, NAME, server.port)).await.outcome;
    assert_eq!(outcome, Ok(HttpAnswer { status: 200, body: b"hi".to_vec() }));
}

#[tokio::test]
async fn a_report_says_how_long_each_step_took_and_whose_certificate_was_taken() {
    let authority = Authority::new();
    let server = Server::answering(authority.server(NAME), OK).await;
    let broker = broker();
    let report = exchanges(&broker).run(spec(&authority, NAME, server.port)).await;
    let steps = [report.steps.resolve_us, report.steps.connect_us, report.steps.tls_us, report.steps.answer_us];
    assert!(steps.iter().all(|step| step.is_some_and(|us| us > 0)), "{steps:?}");
    let seen = report.server.unwrap();
    assert_eq!((seen.address, seen.protocol, seen.reused), (LOOPBACK, HttpProtocol::Http1, false));
    assert_eq!(seen.certificate_expires_at_ms, VALID_UNTIL_MS);
    assert_eq!(Some(seen.certificate_pin), authority.last_pin());

    // A literal address needs no resolving.
    let server = Server::answering(authority.server("127.0.0.1"), OK).await;
    let report = exchanges(&broker).run(spec(&authority, "127.0.0.1", server.port)).await;
    assert!(report.steps.resolve_us.is_none() && report.steps.answer_us.is_some());
}

#[tokio::test]
async fn a_report_of_a_failure_says_how_far_it_came() {
    let authority = Authority::new();
    let broker = broker();
    let exchanges = exchanges(&broker);

    let unknown = exchanges.run(spec(&authority, "unknown.test", 443)).await;
    assert!(unknown.steps.resolve_us.is_some() && unknown.steps.connect_us.is_none());

    let server = Server::answering(authority.server("somebody-else.test"), OK).await;
    let untrusted = exchanges.run(spec(&authority, NAME, server.port)).await;
    assert!(untrusted.steps.tls_us.is_some() && untrusted.steps.answer_us.is_none());
    assert_eq!(untrusted.server, None);

    let silent = Server::start(authority.server(NAME), |mut session| async move {
        session.read_request().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let timed_out = exchanges.run(ExchangeSpec { deadline_ms: 500, ..spec(&authority, NAME, silent.port) }).await;
    assert_eq!(timed_out.outcome, Err(ExchangeFailure::Timeout(500)));
    assert!(timed_out.steps.tls_us.is_some() && timed_out.steps.answer_us.is_none());
    assert_eq!(timed_out.server.map(|server| server.address), Some(LOOPBACK));
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let authority = Authority::new();
    let mut long_head = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    long_head.resize(MAX_ANSWER_HEAD_BYTES + 1000, b'x');
    let mut many_headers = b"HTTP/1.1 200 OK\r\n".to_vec();
    many_headers.extend(b"X: y\r\n".repeat(101));
    many_headers.extend(b"Content-Length: 0\r\n\r\n");
    let bad_chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec();
    for answer in [b"220 mail.test ESMTP\r\n".to_vec(), vec![0; 100], long_head, many_headers, bad_chunk] {
        let server = Server::answering(authority.server(NAME), answer).await;
        let answer = exchanges(&broker()).run(spec(&authority, NAME, server.port)).await.outcome;
        assert!(matches!(answer, Err(ExchangeFailure::Http(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn each_way_of_not_getting_there_has_its_own_error() {
    let authority = Authority::new();
    let broker = broker();
    let exchanges = exchanges(&broker);

    let unknown = exchanges.run(spec(&authority, "unknown.test", 443)).await.outcome;
    assert_eq!(unknown, Err(ExchangeFailure::Dns("no such name".into())));
    let no_name = exchanges.run(spec(&authority, "not a name", 443)).await.outcome;
    assert!(matches!(no_name, Err(ExchangeFailure::Dns(_))), "{no_name:?}");

    let port = {
        let closed = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        closed.local_addr().unwrap().port()
    };
    let refused = exchanges.run(spec(&authority, NAME, port)).await.outcome;
    assert!(matches!(refused, Err(ExchangeFailure::Connect(_))), "{refused:?}");

    let closing = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = closing.local_addr().unwrap().port();
    let closer = tokio::spawn(async move { drop(closing.accept().await) });
    let closed = exchanges.run(spec(&authority, NAME, port)).await.outcome;
    assert!(matches!(closed, Err(ExchangeFailure::Connect(_))), "{closed:?}");
    closer.await.unwrap();

    let no_host = Unix { path: PathBuf::from("/nonexistent/host.sock") };
    let no_host = Exchanges::new(Arc::new(no_host), clock().shared());
    let unavailable = no_host.run(spec(&authority, NAME, 443)).await.outcome;
    assert!(matches!(unavailable, Err(ExchangeFailure::Unavailable(_))), "{unavailable:?}");
}
