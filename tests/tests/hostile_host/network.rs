//! The host between co-signers: it loses, alters, repeats and misdelivers what they say to each other.

use super::{ALL, CUSTOMER, aborts, submit};
use cosigner_workspace::ceremony::TransactionStatus;
use countersign_mpc::public;
use countersign_tests::simulator::{Base, Faults, KEY, World, eip191};
use countersign_wire::ids::{PartyId, TransactionId};
use countersign_wire::key::KeyStatus;
use countersign_wire::peer::Packet;
use countersign_wire::refusal::Code;
use countersign_wire::relay::RelayDown;
use countersign_wire::{Bytes, Message};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Nobody is blamed, no key is suspended, and the transaction came to its signature.
fn assert_signed_and_blameless(world: &mut World, what: &str) {
    let transaction = &world.workspace.store.transactions[&TransactionId([1; 16])];
    assert_eq!(transaction.status, TransactionStatus::Completed, "{what}: {:?}", transaction.reason);
    let signature = transaction.signatures[0].unwrap();
    assert!(public::verify(&world.vault_key(), &eip191("hello"), &signature), "{what}");
    for (_, refusal, blamed) in aborts(world) {
        assert_eq!(blamed, None, "{what}: {refusal}");
        assert!(
            !matches!(refusal.code, Code::PeerMisbehaved | Code::ProtocolAborted | Code::Quarantined),
            "{what}: {refusal}"
        );
    }
    for i in ALL {
        assert_eq!(world.key_at(i, &KEY).unwrap().status, KeyStatus::Ready, "{what}");
    }
}

/// Runs one signature in a world in which `meddle` sees every peer packet with its number.
fn meddled(mut meddle: impl FnMut(usize, PartyId, Vec<u8>) -> Option<Vec<u8>> + 'static) -> (World, usize) {
    let mut world = Base::connected(1, Faults::none());
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    world.on_peer = Some(Box::new(move |_, to, packet| {
        counter.set(counter.get() + 1);
        meddle(counter.get() - 1, to, packet)
    }));
    assert!(submit(&mut world, 1, "hello", 600_000), "the transaction ends");
    (world, count.get())
}

#[test]
fn t16_a_flipped_bit_anywhere_in_any_packet_is_retried_and_nobody_is_blamed() {
    let (_, packets) = meddled(|_, _, packet| Some(packet));
    assert!(packets > 12, "handshakes and rounds: {packets}");
    for number in 0..packets {
        for place in 0..6usize {
            let (mut world, _) = meddled(move |n, _, mut packet| {
                if n == number {
                    let at = match place {
                        0..=2 => [1, 12, 20][place].min(packet.len() - 1),
                        _ => packet.len() * (place - 2) / 4,
                    };
                    packet[at] ^= 0x10;
                }
                Some(packet)
            });
            assert_signed_and_blameless(&mut world, &format!("packet {number}, place {place}"));
        }
    }
}

#[test]
fn t16_every_data_packet_damaged_for_a_while_harms_nobody() {
    for (name, meddle) in [
        (
            "flip",
            Box::new(|mut p: Vec<u8>| {
                let at = p.len() / 2;
                p[at] ^= 1;
                p
            }) as Box<dyn Fn(Vec<u8>) -> Vec<u8>>,
        ),
        (
            "cut",
            Box::new(|mut p: Vec<u8>| {
                p.truncate(p.len() - 1);
                p
            }),
        ),
        ("noise", Box::new(|p: Vec<u8>| vec![0x5a; p.len()])),
        ("empty", Box::new(|_| Vec::new())),
    ] {
        let data = move |packet: &[u8]| matches!(Packet::decode(packet), Ok(Packet::Data { .. }));
        let (mut world, _) =
            meddled(move |n, _, packet| Some(if n < 60 && data(&packet) { meddle(packet) } else { packet }));
        assert!(aborts(&world).iter().any(|(_, refusal, _)| refusal.code == Code::Timeout), "{name} did harm at all");
        assert_signed_and_blameless(&mut world, name);
    }
}

#[test]
fn t16_packets_delivered_again_later_or_to_somebody_else_harm_nobody() {
    // Again: each packet is exchanged for the one that was sent `behind` packets before it.
    for behind in 1..6 {
        let kept: Rc<RefCell<VecDeque<Vec<u8>>>> = Rc::default();
        let (mut world, _) = meddled(move |n, _, packet| {
            let mut kept = kept.borrow_mut();
            kept.push_back(packet.clone());
            let old = if kept.len() > behind { kept.pop_front() } else { None };
            Some(if n % 5 == 0 && n < 100 { old.unwrap_or(packet) } else { packet })
        });
        assert_signed_and_blameless(&mut world, &format!("{behind} behind"));
    }
    // To somebody else: a third of all packets goes to the wrong party for a while.
    let mut world = Base::connected(1, Faults::none());
    let parties: Vec<_> = ALL.map(|i| world.party(i)).to_vec();
    let sent = Cell::new(0);
    world.on_route = Some(Box::new(move |_, to| {
        sent.set(sent.get() + 1);
        let right = parties.iter().position(|p| *p == to)?;
        Some(if sent.get() % 3 == 0 && sent.get() < 60 { (right + 1) % 3 } else { right })
    }));
    assert!(submit(&mut world, 1, "hello", 600_000));
    assert_signed_and_blameless(&mut world, "cross-wired");
}

#[test]
fn t13_a_crash_after_the_first_round_ends_the_session_and_the_retry_is_another_execution() {
    for victim in ALL {
        let mut world = Base::connected(1, Faults::none());
        let party = world.party(victim);
        let data = Rc::new(Cell::new(0));
        let counter = Rc::clone(&data);
        let dead = Rc::new(Cell::new(false));
        let is_dead = Rc::clone(&dead);
        world.on_peer = Some(Box::new(move |from, _, packet| {
            if from == party && is_dead.get() {
                return None;
            }
            if from == party && matches!(Packet::decode(&packet), Ok(Packet::Data { .. })) {
                counter.set(counter.get() + 1);
            }
            Some(packet)
        }));
        world.submit(
            world.request(1, "hello", "fine"),
            eip191("hello"),
            countersign_wire::key::Operation::TypedMessage,
        );
        assert!(world.run(60_000, |_| data.get() >= 2), "its first round is out");
        let first: Vec<[u8; 32]> = world.scheme.memory.lock().unwrap().executions.keys().copied().collect();
        assert_eq!(first.len(), 1);
        world.crash_keeping(victim, usize::MAX);
        assert!(world.cosigners[victim].machines.is_empty());
        // What was still under way dies with the machine.
        dead.set(true);
        world.run(20_000, |w| w.cosigners[victim].link_open);
        dead.set(false);
        assert!(world.run(600_000, |w| w.workspace.store.transactions[&TransactionId([1; 16])].status.is_final()));
        assert_signed_and_blameless(&mut world, &format!("victim {victim}"));
        let memory = world.scheme.memory.lock().unwrap();
        assert!(memory.executions.len() > 1, "a retry");
        for (execution, parties) in &memory.executions {
            let again = parties.iter().collect::<std::collections::BTreeSet<_>>().len() != parties.len();
            assert!(!again, "execution {} ran twice at a party", hex::encode(execution));
        }
    }
    assert_eq!(CUSTOMER, 0);
}

#[test]
fn t16_handshakes_that_the_host_provokes_lose_no_message() {
    let mut world = Base::connected(1, Faults::none());
    assert!(submit(&mut world, 1, "hello", 60_000), "all channels are open");
    world.submit(world.request(2, "more", "fine"), eip191("more"), countersign_wire::key::Operation::TypedMessage);
    let over = |w: &World| w.workspace.store.transactions[&TransactionId([2; 16])].status.is_final();
    let parties = ALL.map(|i| world.party(i));
    while !world.run(60, over) {
        for (to, from) in parties.iter().flat_map(|to| parties.iter().map(move |from| (*to, *from))) {
            let packet = Bytes::new(Packet::Knock.encode()).unwrap();
            world.deliver(to, RelayDown::Peer { from, packet }.encode());
        }
        assert!(aborts(&world).is_empty(), "{:?}", aborts(&world));
    }
    assert_signed_and_blameless(&mut world, "knocked at");
}
