//! Links to workspaces whose tokens are no good, or whose relay refuses them: the co-signer tries again by itself, and
//! less and less often.

use super::CUSTOMER;
use cosigner_core::{Effect, HttpAnswer, Input};
use countersign_tests::simulator::{Base, Faults, World};
use countersign_wire::host_link::LinkDown;
use countersign_wire::pairing_http::ACCESS_TOKEN_PATH;
use std::sync::{Arc, Mutex};

const BAD_TOKENS: [&str; 5] = ["", "a b", "a\\nb", "token\\r\\nX: y", "é"];

/// A world in which every access token that the customer's co-signer has its host use is seen.
fn world() -> (World, Arc<Mutex<Vec<String>>>) {
    let mut world = Base::connected(1, Faults::none());
    world.workspace.silent = true;
    let tokens: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&tokens);
    world.on_effect = Some(Box::new(move |i, effect| {
        if let (CUSTOMER, Effect::LinkOpen { access_token, .. }) = (i, effect) {
            seen.lock().unwrap().push(access_token.to_string());
        }
    }));
    (world, tokens)
}

/// Runs until the host was asked once more to open the link.
fn opened_again(world: &mut World, tokens: &Arc<Mutex<Vec<String>>>, limit_ms: u64) -> bool {
    let before = tokens.lock().unwrap().len();
    let seen = Arc::clone(tokens);
    world.run(limit_ms, |_| seen.lock().unwrap().len() > before)
}

fn down(world: &mut World, reason: LinkDown) {
    let pairing = world.cosigners[CUSTOMER].pairing.unwrap();
    world.input(CUSTOMER, 10, Input::LinkDown { pairing, reason });
    world.run(20, |_| false);
}

#[test]
fn an_access_token_that_no_header_takes_never_reaches_the_host_and_the_next_one_does() {
    let (mut world, tokens) = world();
    let mut bad = BAD_TOKENS.iter();
    world.on_exchange = Some(Box::new(move |i, spec| {
        if i != CUSTOMER || spec.path != ACCESS_TOKEN_PATH {
            return None;
        }
        let body = format!(r#"{{"accessToken": "{}", "expiresIn": 900}}"#, bad.next()?);
        Some(Ok(HttpAnswer { status: 200, body: body.into_bytes() }))
    }));
    down(&mut world, LinkDown::Unauthorised);
    assert!(opened_again(&mut world, &tokens, 600_000), "it asks until the token is one");
    assert_eq!(*tokens.lock().unwrap(), ["access"]);
}

#[test]
fn a_link_that_the_host_cannot_open_is_asked_for_again() {
    for reason in [LinkDown::Refused, LinkDown::Unauthorised] {
        let (mut world, tokens) = world();
        down(&mut world, reason);
        assert!(opened_again(&mut world, &tokens, 5_000), "{reason:?}");
    }
}

#[test]
fn a_relay_that_refuses_every_token_is_asked_less_and_less_often_until_a_link_stays_up() {
    let (mut world, tokens) = world();
    world.run(60_000, |_| false);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        down(&mut world, LinkDown::Unauthorised);
        let since = world.now;
        assert!(opened_again(&mut world, &tokens, 120_000));
        pauses.push(world.now - since);
    }
    assert!(pauses[0] < 2_000, "tokens expire: {pauses:?}");
    assert!(pauses[1..].windows(2).all(|p| p[1] >= p[0] || p[0] > 50_000), "{pauses:?}");
    assert!(pauses.iter().sum::<u64>() > 180_000, "{pauses:?}");
    // The link stays up for a while: the next refusal is the first one again.
    world.run(60_000, |_| false);
    down(&mut world, LinkDown::Unauthorised);
    assert!(opened_again(&mut world, &tokens, 2_000));
}
