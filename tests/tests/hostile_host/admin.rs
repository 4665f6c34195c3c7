//! The host between operators and their enclave.

use super::{ALL, CUSTOMER};
use cosigner_core::Input;
use countersign_tests::simulator::{Base, Client, Faults, World, add_user};
use countersign_wire::SigningIdentity;
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::command::{Change, SignedCommand};
use countersign_wire::ids::OperatorId;
use countersign_wire::refusal::Code;
use countersign_wire::status::Description;
use countersign_wire::{List, Text};
use std::sync::Arc;

fn connected() -> World {
    Base::connected(1, Faults::none())
}

fn code(answer: &AdminResponse) -> Option<Code> {
    match answer {
        AdminResponse::Refused(refusal) => Some(refusal.code),
        _ => None,
    }
}

fn describe(world: &mut World, i: usize) -> Description {
    match world.ask_admin(i, &AdminRequest::Describe) {
        AdminResponse::Described(description) => description,
        other => panic!("{other:?}"),
    }
}

fn add_initiator(world: &World, user: &str) -> Change {
    let pairing = world.cosigners[CUSTOMER].pairing.unwrap();
    Change::AddInitiator { pairing, initiator: Client::new(user).initiator() }
}

fn initiators(world: &mut World) -> usize {
    let pairing = world.cosigners[CUSTOMER].pairing.unwrap();
    match world.ask_admin(CUSTOMER, &AdminRequest::Initiators { pairing }) {
        AdminResponse::Initiators(initiators) => initiators.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn t36_a_pairing_token_is_used_once_whoever_gives_it_again_and_across_a_restart() {
    let mut world = connected();
    let add = add_user(&world, CUSTOMER, "signer-2", "jti-once");
    let first = world.operator(CUSTOMER, Change::AddUser(Box::new(add.clone())));
    assert!(matches!(first, AdminResponse::Done(Done::UserAdded { .. })), "{first:?}");
    let same_jti = add_user(&world, CUSTOMER, "signer-3", "jti-once");
    for _ in 0..2 {
        let answer = world.operator(CUSTOMER, Change::AddUser(Box::new(same_jti.clone())));
        assert_eq!(code(&answer), Some(Code::TokenUsed), "{answer:?}");
        // The very same command: the operator is told that it was done; nothing is, but that the command counts.
        let epoch = describe(&mut world, CUSTOMER).settings_epoch;
        assert_eq!(world.operator(CUSTOMER, Change::AddUser(Box::new(add.clone()))), first);
        assert_eq!(describe(&mut world, CUSTOMER).settings_epoch, epoch + 1);
        world.crash_keeping(CUSTOMER, usize::MAX);
        assert!(world.run(20_000, |w| w.cosigners[CUSTOMER].link_open));
    }
    // Long after, the very token is expired.
    world.run(2 * 3_600_000, |_| false);
    let answer = world.operator(CUSTOMER, Change::AddUser(Box::new(same_jti)));
    assert_eq!(code(&answer), Some(Code::TokenExpired), "{answer:?}");
}

#[test]
fn t49_root_on_the_host_signs_no_command_and_replays_none() {
    let mut world = connected();
    let base = Arc::clone(&world.base);
    let before = (initiators(&mut world), describe(&mut world, CUSTOMER).settings_epoch);
    let change = add_initiator(&world, "root");
    let mut cli = world.cli(CUSTOMER);
    let foreign = cli.signed(&mut world, change.clone(), &SigningIdentity::from_secret(&[1; 32]));
    assert_eq!(code(&cli.ask(&mut world, &AdminRequest::Command(foreign))), Some(Code::OperatorsRequired));
    let genuine = cli.signed(&mut world, change.clone(), &base.operator);
    let unsigned = SignedCommand { signatures: List::default(), ..genuine };
    assert_eq!(code(&cli.ask(&mut world, &AdminRequest::Command(unsigned))), Some(Code::OperatorsRequired));
    let now = (initiators(&mut world), describe(&mut world, CUSTOMER).settings_epoch);
    assert_eq!(now, before);

    // A genuine one, once: again on this connection, on another one, after a restart, as ciphertext.
    let mut cli = world.cli(CUSTOMER);
    let signed = cli.signed(&mut world, change, &base.operator);
    let done = cli.ask(&mut world, &AdminRequest::Command(signed.clone()));
    assert_eq!(done, AdminResponse::Done(Done::InitiatorAdded));
    assert_eq!(code(&cli.ask(&mut world, &AdminRequest::Command(signed.clone()))), Some(Code::NonceUnknown));
    assert_eq!(code(&world.ask_admin(CUSTOMER, &AdminRequest::Command(signed.clone()))), Some(Code::NonceUnknown));
    world.crash_keeping(CUSTOMER, usize::MAX);
    assert!(world.run(20_000, |w| w.cosigners[CUSTOMER].link_open));
    assert_eq!(code(&world.ask_admin(CUSTOMER, &AdminRequest::Command(signed))), Some(Code::NonceUnknown));
    assert_eq!((initiators(&mut world), describe(&mut world, CUSTOMER).settings_epoch), (before.0 + 1, before.1 + 1));
}

#[test]
fn t49_packets_of_a_command_delivered_again_do_nothing() {
    let mut world = connected();
    let base = Arc::clone(&world.base);
    let change = add_initiator(&world, "later");
    let mut cli = world.cli(CUSTOMER);
    let signed = cli.signed(&mut world, change, &base.operator);
    let epoch = describe(&mut world, CUSTOMER).settings_epoch;
    let connection = cli.connection();
    let packets = cli.sealed(&AdminRequest::Command(signed));
    for round in 0..3 {
        for packet in &packets {
            world.input(CUSTOMER, 1, Input::Admin { connection: connection + round % 2, packet: packet.clone() });
        }
        world.run(2_000, |_| false);
    }
    assert_eq!(describe(&mut world, CUSTOMER).settings_epoch, epoch + 1, "exactly once");
}

#[test]
fn t50_the_host_reads_no_token_and_alters_no_setting_on_its_way() {
    let mut world = connected();
    let base = Arc::clone(&world.base);
    let epoch = describe(&mut world, CUSTOMER).settings_epoch;
    for place in 0..24usize {
        let add = add_user(&world, CUSTOMER, "signer-2", "jti-altered");
        let (token, url) = (add.token.to_string(), "https://handler.example/hook");
        let mut cli = world.cli(CUSTOMER);
        let signed = cli.signed(&mut world, Change::AddUser(Box::new(add)), &base.operator);
        let connection = cli.connection();
        let mut packets = cli.sealed(&AdminRequest::Command(signed));
        for packet in &packets {
            let seen = |what: &[u8]| packet.windows(what.len()).any(|w| w == what);
            assert!(!seen(&token.as_bytes()[..24]) && !seen(url.as_bytes()));
        }
        let last = packets.len() - 1;
        let packet = &mut packets[place % (last + 1)];
        let at = (packet.len() - 1) * place / 23;
        packet[at] ^= 0x01;
        for packet in packets {
            world.input(CUSTOMER, 1, Input::Admin { connection, packet });
        }
        world.run(3_000, |_| false);
        cli.close(&mut world);
        assert_eq!(describe(&mut world, CUSTOMER).settings_epoch, epoch, "place {place}");
    }
    let AdminResponse::Users(users) = world.ask_admin(CUSTOMER, &AdminRequest::Users) else { panic!("no users") };
    assert_eq!(users.len(), 1);
}

fn claim(operators: &[&SigningIdentity]) -> Change {
    let mut entries: Vec<_> =
        operators.iter().map(|o| (OperatorId(o.public()), Text::new("somebody").unwrap())).collect();
    entries.sort();
    Change::Claim { operators: List::new(entries).unwrap(), required: 1, sealing_key: Text::new("simulated").unwrap() }
}

#[test]
fn t51_a_host_that_claims_first_or_beside_the_admin_is_seen_in_the_attested_description() {
    let intruder = SigningIdentity::from_secret(&[66; 32]);
    let fresh = |i: usize| {
        // Another seed than that of the set-up: randomness never repeats in an enclave.
        let mut world = Base::connected(2, Faults::none());
        let known = describe(&mut world, i).instance;
        world.crash_keeping(i, 0);
        world.cosigners[i].disk = Default::default();
        world.run(10_000, |_| false);
        (world, known)
    };
    for i in ALL {
        // First: the admin's own claim fails, and the description names the intruder and another instance.
        let (mut world, known) = fresh(i);
        let base = Arc::clone(&world.base);
        let mut cli = world.cli(i);
        let first = cli.signed(&mut world, claim(&[&intruder]), &intruder);
        assert_eq!(cli.ask(&mut world, &AdminRequest::Command(first)), AdminResponse::Done(Done::Claimed));
        assert_eq!(code(&world.operator(i, claim(&[&base.operator]))), Some(Code::AlreadyClaimed));
        let description = describe(&mut world, i);
        let operators: Vec<OperatorId> = description.operators.iter().map(|(id, _)| *id).collect();
        assert_eq!(operators, [OperatorId(intruder.public())]);
        assert_ne!(description.instance, known, "{i}: a fresh enclave is another instance");
        let add = add_user(&world, i, "signer-1", "jti-new");
        assert_eq!(code(&world.operator(i, Change::AddUser(Box::new(add)))), Some(Code::OperatorsRequired));

        // Beside: whoever is named must have signed, so nobody is added to what the admin signed.
        let (mut world, _) = fresh(i);
        for signer in [&base.operator, &intruder] {
            let mut cli = world.cli(i);
            let both = cli.signed(&mut world, claim(&[&base.operator, &intruder]), signer);
            assert_eq!(code(&cli.ask(&mut world, &AdminRequest::Command(both))), Some(Code::OperatorsRequired));
        }
        assert!(describe(&mut world, i).operators.is_empty());
        assert_eq!(world.operator(i, claim(&[&base.operator])), AdminResponse::Done(Done::Claimed));
    }
}
