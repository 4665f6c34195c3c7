//! What operators set about API users and about the co-signer itself.

use super::{CUSTOMER, hostile, restart, set, status};
use cosigner_core::{HttpProtocol, ServerSeen};
use countersign_tests::simulator::{SimulatedHandler, World, add_user};
use countersign_token::{SigningKey, generate_p256, public_spki_der_of};
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::command::{AddUser, ApprovalSetting, Change, Handler, HandlerTls};
use countersign_wire::host_link::{Counter, CounterValue};
use countersign_wire::refusal::Code;
use countersign_wire::{Bytes, List, Text};
use std::net::{IpAddr, Ipv4Addr};

fn refused(answer: &AdminResponse) -> Option<Code> {
    match answer {
        AdminResponse::Refused(refusal) => Some(refusal.code),
        _ => None,
    }
}

#[test]
fn a_handlers_key_rotates_in_place_with_two_active() {
    let mut world = hostile();
    let (old, new) = (world.handler.clone(), SimulatedHandler::default());
    let key = |handler: &SimulatedHandler| Bytes::new(handler.public_key()).unwrap();
    let with =
        |keys: Vec<Bytes<_>>| ApprovalSetting::Handler(Handler { keys: List::new(keys).unwrap(), ..old.settings() });
    let authorise = |world: &mut countersign_tests::simulator::World, n: u8| {
        let request = world.request(n, &format!("message {n}"), "fine");
        world.authorise(CUSTOMER, &request).map(drop).map_err(|refusal| refusal.code)
    };
    set(&mut world, with(vec![key(&old), key(&new)]));
    assert_eq!(authorise(&mut world, 1), Ok(()), "the old key");
    world.handler = new.clone();
    assert_eq!(authorise(&mut world, 2), Ok(()), "and the new one");
    set(&mut world, with(vec![key(&new)]));
    assert_eq!(authorise(&mut world, 3), Ok(()));
    world.handler = old;
    assert_eq!(authorise(&mut world, 4), Err(Code::BadSignature), "the old one is retired");
}

#[test]
fn a_setting_that_could_not_work_is_refused_when_it_is_set_and_changes_nothing() {
    let mut world = hostile();
    let good = world.handler.settings();
    let before = status(&mut world).approval;
    let key = Bytes::new(public_spki_der_of(&generate_p256().unwrap()).unwrap()).unwrap();
    for bad in [
        Handler { url: Text::new("http://handler.example").unwrap(), ..good.clone() },
        Handler { url: Text::new("https://169.254.169.254").unwrap(), ..good.clone() },
        Handler { keys: List::default(), ..good.clone() },
        Handler { keys: List::new(vec![key.clone(), key]).unwrap(), ..good.clone() },
        Handler { tls: HandlerTls::Pinned(List::default()), ..good.clone() },
        Handler { deadline_ms: 0, ..good.clone() },
    ] {
        let answer = set(&mut world, ApprovalSetting::Handler(bad.clone()));
        assert!(matches!(refused(&answer), Some(Code::Malformed | Code::AddressDenied)), "{bad:?}: {answer:?}");
    }
    assert_eq!(status(&mut world).approval, before);
}

/// The next key for callback requests is another one than the pairing's.
fn other_spare_key(world: &mut World) -> SigningKey {
    let secret = generate_p256().unwrap().to_vec();
    let key = SigningKey::from_pkcs8_der(&secret).unwrap();
    world.callback_key = Some(secret);
    // It is made at the boot.
    restart(world);
    world.run(1_000, |_| false);
    key
}

#[test]
fn a_request_key_of_its_own_signs_what_the_handler_gets_and_lasts() {
    let mut world = hostile();
    let pairings = status(&mut world).request_key;
    let key = other_spare_key(&mut world);
    let own = Handler { own_request_key: true, ..world.handler.settings() };
    let answer = set(&mut world, ApprovalSetting::Handler(own));
    let AdminResponse::Done(Done::ApprovalSet { request_key, .. }) = answer else { panic!("{answer:?}") };
    assert!(request_key != pairings && *request_key == *key.public().spki_der());
    restart(&mut world);
    let seen = status(&mut world);
    assert!(seen.own_request_key && seen.request_key == request_key);
    world.known_to_handler = Some(key.public().clone());
    let request = world.request(1, "hello", "fine");
    assert!(world.authorise(CUSTOMER, &request).is_ok(), "signed with it, as the handler saw");
}

#[test]
fn an_api_user_that_is_added_with_a_request_key_of_its_own_has_it_beside_the_pairings() {
    let mut world = hostile();
    let pairings = status(&mut world).request_key;
    let key = other_spare_key(&mut world);
    let own = Handler { own_request_key: true, ..world.handler.settings() };
    let add =
        AddUser { approval: ApprovalSetting::Handler(own), ..add_user(&world, CUSTOMER, "own-key", "jti-own-key") };
    let answer = world.operator(CUSTOMER, Change::AddUser(Box::new(add)));
    let AdminResponse::Done(Done::UserAdded { user, pairing, callback_public_key, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(*callback_public_key, *key.public().spki_der(), "what is given to the handler");
    restart(&mut world);
    match world.ask_admin(CUSTOMER, &AdminRequest::Callback { pairing, user }) {
        AdminResponse::Callback(seen) => assert!(seen.own_request_key && seen.request_key == callback_public_key),
        other => panic!("no status: {other:?}"),
    }
    assert_eq!(status(&mut world).request_key, pairings, "the other API user's requests are signed as before");
}

#[test]
fn a_name_is_for_people_and_lasts() {
    let mut world = hostile();
    let name = Text::new("paris-1").unwrap();
    assert_eq!(world.operator(CUSTOMER, Change::Rename { name: name.clone() }), AdminResponse::Done(Done::Renamed));
    restart(&mut world);
    match world.ask_admin(CUSTOMER, &AdminRequest::Describe) {
        AdminResponse::Described(description) => assert_eq!(description.name, name),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_call_is_in_the_status_and_in_the_log_with_its_reason_code() {
    let mut world = hostile();
    for (n, note) in ["fine", "reject-me"].into_iter().enumerate() {
        let request = world.request(n as u8 + 1, &format!("message {n}"), note);
        let _ = world.authorise(CUSTOMER, &request);
    }
    let seen = status(&mut world);
    assert_eq!((seen.user.approved, seen.user.rejected, seen.attempts.len()), (1, 1, 2));
    assert_eq!(seen.user.last_attempt.unwrap().code, Some(Code::Rejected));
    let AdminResponse::Events(log) = world.ask_admin(CUSTOMER, &AdminRequest::Events { after: 0 }) else {
        panic!("no log")
    };
    let codes: Vec<_> = log
        .lines
        .iter()
        .filter(|line| line.kind.as_str() == "callback")
        .map(|line| line.fields.iter().find(|(name, _)| name.as_str() == "code").map(|(_, code)| code.to_string()))
        .collect();
    assert_eq!(codes, [None, Some("rejected".to_owned())]);
}

fn counter(world: &World, name: &str, reason: Option<&str>) -> Option<CounterValue> {
    let fits = |counter: &&Counter| {
        let label = counter.labels.iter().find(|(name, _)| name.as_str() == "reason").map(|(_, value)| value.as_str());
        counter.name.as_str() == name && label == reason
    };
    world.cosigners[CUSTOMER].counters.iter().find(fits).map(|counter| counter.value.clone())
}

#[test]
fn calls_are_counted_by_user_and_reason_and_an_operators_test_is_not() {
    let mut world = hostile();
    for (n, note) in ["fine", "fine too", "reject-me"].into_iter().enumerate() {
        let request = world.request(n as u8 + 1, &format!("message {n}"), note);
        let _ = world.authorise(CUSTOMER, &request);
    }
    let (pairing, user) = (world.cosigners[CUSTOMER].pairing.unwrap(), world.base.signer_user.clone());
    world.operator(CUSTOMER, Change::TestCallback { pairing, user: user.clone() });
    world.run(3_000, |_| false);
    assert_eq!(counter(&world, "callbacks_total", Some("approved")), Some(CounterValue::Total(2)));
    assert_eq!(counter(&world, "callbacks_total", Some("rejected")), Some(CounterValue::Total(1)));
    match counter(&world, "callback_seconds", None) {
        Some(CounterValue::Histogram { count, .. }) => assert_eq!(count, 3),
        other => panic!("{other:?}"),
    }
    let is_of_user = |counter: &&Counter| {
        counter.labels.iter().any(|(name, value)| name.as_str() == "user" && value.as_str() == user.as_str())
    };
    let counters = &world.cosigners[CUSTOMER].counters;
    let calls =
        counters.iter().filter(|counter| ["callbacks_total", "callback_seconds"].contains(&counter.name.as_str()));
    assert_eq!(calls.filter(is_of_user).count(), 3);
    let seen = status(&mut world);
    assert_eq!((seen.user.approved, seen.attempts.len()), (2, 4), "the test is listed, and approved nothing");
}

#[test]
fn a_certificate_that_soon_ends_is_warned_of_in_the_log_and_in_the_metrics() {
    const DAY_MS: u64 = 86_400_000;
    let mut world = hostile();
    let expires = world.now + 10 * DAY_MS;
    world.handler_server = Some(ServerSeen {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certificate_expires_at_ms: expires,
        certificate_pin: [7; 32],
        protocol: HttpProtocol::Http1,
        reused: false,
    });
    let request = world.request(1, "hello", "fine");
    world.authorise(CUSTOMER, &request).unwrap();
    let warnings = |world: &mut World| {
        let AdminResponse::Events(log) = world.ask_admin(CUSTOMER, &AdminRequest::Events { after: 0 }) else {
            panic!("no log")
        };
        log.lines.iter().filter(|line| line.kind.as_str() == "certificate").count()
    };
    assert_eq!(warnings(&mut world), 1);
    world.run(3_000, |_| false);
    let gauge = counter(&world, "handler_certificate_expires_at_seconds", None);
    assert_eq!(gauge, Some(CounterValue::Gauge(expires / 1_000)));
    assert_eq!(warnings(&mut world), 1, "once");
}
