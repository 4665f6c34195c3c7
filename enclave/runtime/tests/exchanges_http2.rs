//! Exchanges over HTTP/2: shared connections, and streams that end each for itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bytes::Bytes;
use cosigner_core::{ExchangeFailure, ExchangeSpec, HttpAnswer, HttpProtocol, Purpose};
use cosigner_enclave::limits::MAX_ANSWER_HEADERS;
use h2::Reason;
use hyper::{HeaderMap, Response};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::certificates::Authority;
use support::exchange::{NAME, OK, SECRET, broker, exchanges, spec};
use support::http2::{self, answer, body};
use support::server::Server;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// As many streams as the tests need.
const MANY: u32 = 100;

fn kept(authority: &Authority, port: u16) -> ExchangeSpec {
    ExchangeSpec { keep_alive: true, ..spec(authority, NAME, port) }
}

#[tokio::test]
async fn the_request_and_its_answer_are_the_same_as_in_http_1() {
    let authority = Authority::new();
    let seen = Arc::new(Mutex::new(None));
    let seen_there = seen.clone();
    let server = http2::start(authority.http2_server(NAME), MANY, move |(request, mut to)| {
        let seen = seen_there.clone();
        async move {
            let (uri, headers) = (request.uri().clone(), request.headers().clone());
            *seen.lock().unwrap() = Some((request.method().clone(), uri, headers, body(request).await));
            to.send_informational(Response::builder().status(103).body(()).unwrap()).unwrap();
            let mut stream = to.send_response(Response::builder().status(202).body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"hi"), false).unwrap();
            stream.send_trailers(HeaderMap::from_iter([("x".parse().unwrap(), "y".parse().unwrap())])).unwrap();
        }
    })
    .await;
    let report = exchanges(&broker()).run(kept(&authority, server.port)).await;
    assert_eq!(report.outcome, Ok(HttpAnswer { status: 202, body: b"hi".to_vec() }));
    assert_eq!(report.server.unwrap().protocol, HttpProtocol::Http2);
    let (method, uri, headers, sent) = seen.lock().unwrap().take().unwrap();
    assert_eq!(method, "POST");
    assert_eq!(uri.to_string(), format!("https://{NAME}:{}/v2/tx_sign_request?x=1", server.port));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["content-length"], SECRET.len().to_string());
    assert_eq!(headers["accept-encoding"], "identity");
    assert_eq!(headers.len(), 3);
    assert_eq!(sent, SECRET.as_bytes());
}

#[tokio::test]
async fn exchanges_share_one_connection_at_the_same_time() {
    let authority = Authority::new();
    let (waiting, all_there) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let server = http2::start(authority.http2_server(NAME), MANY, move |(request, to)| {
        let (waiting, all_there) = (waiting.clone(), all_there.clone());
        async move {
            // Each but the first answers only once all others are there too.
            let all = all_there.notified();
            match waiting.fetch_add(1, Ordering::Relaxed) {
                0 => {}
                20 => all_there.notify_waiters(),
                _ => all.await,
            }
            body(request).await;
            answer(to, "hi");
        }
    })
    .await;
    let broker = broker();
    let exchanges = Arc::new(exchanges(&broker));
    assert!(exchanges.run(kept(&authority, server.port)).await.outcome.is_ok());
    let mut running = JoinSet::new();
    for _ in 0..20 {
        let (exchanges, spec) = (exchanges.clone(), kept(&authority, server.port));
        running.spawn(async move { exchanges.run(spec).await });
    }
    for report in running.join_all().await {
        assert_eq!(report.outcome.unwrap().body, b"hi");
        assert!(report.server.unwrap().reused);
    }
    assert_eq!(server.sessions(), 1);
}

#[tokio::test]
async fn no_more_exchanges_share_a_connection_than_the_server_allows() {
    let authority = Authority::new();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen_most = most.clone();
    let server = http2::start(authority.http2_server(NAME), 2, move |(request, to)| {
        let (now, most) = (now.clone(), seen_most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            body(request).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            now.fetch_sub(1, Ordering::Relaxed);
            answer(to, "hi");
        }
    })
    .await;
    let broker = broker();
    let exchanges = Arc::new(exchanges(&broker));
    assert!(exchanges.run(kept(&authority, server.port)).await.outcome.is_ok());
    let mut running = JoinSet::new();
    for _ in 0..6 {
        let (exchanges, spec) = (exchanges.clone(), kept(&authority, server.port));
        running.spawn(async move { exchanges.run(spec).await.outcome });
    }
    assert!(running.join_all().await.iter().all(Result::is_ok));
    // None waited for a place: two went over the first connection, four over new ones.
    assert_eq!(most.load(Ordering::Relaxed), 6);
    assert_eq!(server.sessions(), 1 + 4);
}

#[tokio::test]
async fn t31_a_slow_stream_meets_its_deadline_and_the_others_do_not_notice() {
    let authority = Authority::new();
    let (count, reset) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let saw_reset = reset.clone();
    let server = http2::start(authority.http2_server(NAME), MANY, move |(request, mut to)| {
        let (number, saw_reset) = (count.fetch_add(1, Ordering::Relaxed), saw_reset.clone());
        async move {
            body(request).await;
            match number {
                // One byte after the other, until the client has enough.
                1 => {
                    let mut stream = to.send_response(Response::new(()), false).unwrap();
                    loop {
                        let _ = stream.send_data(Bytes::from_static(b"x"), false);
                        let ended = std::future::poll_fn(|cx| stream.poll_reset(cx));
                        if let Ok(reason) = tokio::time::timeout(Duration::from_millis(50), ended).await {
                            assert_eq!(reason.unwrap(), Reason::CANCEL);
                            return saw_reset.notify_one();
                        }
                    }
                }
                2 => {
                    tokio::time::sleep(Duration::from_millis(1200)).await;
                    answer(to, "late");
                }
                _ => answer(to, "hi"),
            }
        }
    })
    .await;
    let broker = broker();
    let exchanges = Arc::new(exchanges(&broker));
    assert!(exchanges.run(kept(&authority, server.port)).await.outcome.is_ok());
    let slow = ExchangeSpec { deadline_ms: 600, ..kept(&authority, server.port) };
    let there = exchanges.clone();
    let slow = tokio::spawn(async move { there.run(slow).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let late = exchanges.run(kept(&authority, server.port)).await;
    assert_eq!(late.outcome.unwrap().body, b"late");
    assert!(late.server.unwrap().reused);
    assert_eq!(slow.await.unwrap().outcome, Err(ExchangeFailure::Timeout(600)));
    tokio::time::timeout(Duration::from_secs(10), reset.notified()).await.expect("the stream was not reset");
    assert_eq!((server.sessions(), exchanges.running()), (1, 0));
    // What was slow once is not used for others.
    assert!(!exchanges.run(kept(&authority, server.port)).await.server.unwrap().reused);
}

#[tokio::test]
async fn t31_a_connection_whose_only_stream_is_stuck_is_closed() {
    let authority = Authority::new();
    let server = http2::start(authority.http2_server(NAME), MANY, |(request, to)| async move {
        body(request).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        answer(to, "too late");
    })
    .await;
    let broker = broker();
    let exchanges = exchanges(&broker);
    let start = Instant::now();
    let stuck = ExchangeSpec { deadline_ms: 300, ..kept(&authority, server.port) };
    assert_eq!(exchanges.run(stuck).await.outcome, Err(ExchangeFailure::Timeout(300)));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!((exchanges.running(), exchanges.idle_connections()), (0, 0));
    // Nothing holds the host's stream open any more.
    tokio::time::timeout(Duration::from_secs(10), async {
        while exchanges.open_connections() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the connection is still open");
}

#[tokio::test]
async fn t23_an_answer_over_the_limit_is_refused_in_http_2_too() {
    let authority = Authority::new();
    for declared in [true, false] {
        let server = http2::start(authority.http2_server(NAME), MANY, move |(request, mut to)| async move {
            body(request).await;
            let head = Response::builder();
            let head = if declared { head.header("content-length", "1001") } else { head };
            let mut stream = to.send_response(head.body(()).unwrap(), false).unwrap();
            let _ = stream.send_data(Bytes::from(vec![b'x'; 1001]), true);
        })
        .await;
        let outcome = exchanges(&broker()).run(kept(&authority, server.port)).await.outcome;
        assert_eq!(outcome, Err(ExchangeFailure::TooLarge(1000)));
    }
}

#[tokio::test]
async fn what_is_refused_in_http_1_is_refused_in_http_2() {
    let authority = Authority::new();
    let gzip: fn() -> Response<()> = || Response::builder().header("content-encoding", "gzip").body(()).unwrap();
    let many: fn() -> Response<()> = || {
        let head = (0..=MAX_ANSWER_HEADERS).fold(Response::builder(), |head, _| head.header("x", "y"));
        head.body(()).unwrap()
    };
    for head in [gzip, many] {
        let server = http2::start(authority.http2_server(NAME), MANY, move |(request, mut to)| async move {
            body(request).await;
            let _ = to.send_response(head(), true);
        })
        .await;
        let outcome = exchanges(&broker()).run(kept(&authority, server.port)).await.outcome;
        assert!(matches!(outcome, Err(ExchangeFailure::Http(_))), "{outcome:?}");
    }
    // A server that chose HTTP/2 and speaks HTTP/1.1.
    let server = Server::start(authority.http2_server(NAME), |mut session| async move {
        session.write(OK).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let outcome = exchanges(&broker()).run(kept(&authority, server.port)).await.outcome;
    assert!(matches!(outcome, Err(ExchangeFailure::Http(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_stream_that_the_server_resets_is_asked_again_over_a_new_connection_only_if_it_was_kept() {
    let authority = Authority::new();
    let count = Arc::new(AtomicUsize::new(0));
    let server = http2::start(authority.http2_server(NAME), MANY, move |(request, mut to)| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move {
            body(request).await;
            match number {
                0 | 2 => answer(to, "hi"),
                _ => to.send_reset(Reason::REFUSED_STREAM),
            }
        }
    })
    .await;
    let broker = broker();
    let exchanges = exchanges(&broker);
    assert!(exchanges.run(kept(&authority, server.port)).await.outcome.is_ok());
    let again = exchanges.run(kept(&authority, server.port)).await;
    assert_eq!(again.outcome.unwrap().body, b"hi");
    assert!(!again.server.unwrap().reused);
    assert_eq!(server.sessions(), 2);
    // Kept and new are both refused now: no third attempt.
    let refused = exchanges.run(kept(&authority, server.port)).await;
    assert!(matches!(refused.outcome, Err(ExchangeFailure::Lost(_))), "{:?}", refused.outcome);
    assert_eq!(server.sessions(), 3);
}

#[tokio::test]
async fn calls_of_a_workspace_are_in_http_1() {
    let authority = Authority::new();
    let server = Server::answering(authority.http2_server(NAME), OK).await;
    let pairing = ExchangeSpec { purpose: Purpose::Pairing, ..kept(&authority, server.port) };
    let report = exchanges(&broker()).run(pairing).await;
    assert_eq!(report.outcome.unwrap().status, 200);
    assert_eq!(report.server.unwrap().protocol, HttpProtocol::Http1);
}
