//! Sessions that the coordinator starts in a contradictory way.

use super::{ALL, CUSTOMER, aborts, hostile, sign, signatures, two_of_three};
use cosigner_core::Effect;
use countersign_tests::simulator::{Answer, Client, KEY, Setting, VAULT, World, session};
use countersign_wire::ceremony::{CosignerMessage, Ready, Work, WorkspaceMessage};
use countersign_wire::ids::SessionId;
use countersign_wire::key::KeyStatus;
use countersign_wire::refusal::Code;
use countersign_wire::transaction::{Authorisation, TransactionRequest};
use countersign_wire::{Signed, SigningIdentity};
use serde_json::{Value, json};

fn authorised(world: &mut World, n: u8, text: &str) -> (TransactionRequest, Signed<Authorisation>) {
    let request = world.request(n, text, "fine");
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    (request, authorisation)
}

/// Prepares at all three, in the order of the group.
fn readies(world: &mut World, id: SessionId, work: [&Work; 3]) -> Vec<Signed<Ready>> {
    [0, 1, 2]
        .map(|index| {
            let i = world.at_index(index);
            world.prepare(i, id, work[usize::from(index)]).ready()
        })
        .to_vec()
}

/// Starts at all three, and waits until every session is over. Returns what each said, in the order of the group.
fn start(world: &mut World, id: SessionId, signers: &[u16], readies: &[Signed<Ready>]) -> Vec<Vec<CosignerMessage>> {
    let before = world.workspace.heard.len();
    for i in ALL {
        world.start_at(i, id, signers, readies);
    }
    world.run(15_000, |_| false);
    [0, 1, 2].map(|index| world.heard_since(before, world.at_index(index))).to_vec()
}

/// Nobody was blamed, no key is suspended, and signing still works.
fn assert_harmless(world: &mut World, said: &[Vec<CosignerMessage>]) {
    assert!(aborts(said).iter().all(|(_, blamed)| blamed.is_none()), "{said:?}");
    for i in ALL {
        assert_eq!(world.key_at(i, &KEY).unwrap().status, KeyStatus::Ready);
    }
    let request = world.request(200, "afterwards", "fine");
    sign(world, session(200), &request);
}

#[test]
fn t14_a_start_that_was_used_before_starts_nothing_even_after_restarts() {
    let mut world = hostile(Setting::default());
    let (request, authorisation) = authorised(&mut world, 1, "hello");
    let work = World::signing(&request, &authorisation, 0);
    // A first execution that the network swallows.
    world.on_peer = Some(Box::new(|_, _, _| None));
    let old = readies(&mut world, session(1), [&work; 3]);
    let said = start(&mut world, session(1), &[0, 1, 2], &old);
    assert!(aborts(&said).iter().all(|(refusal, _)| refusal.code == Code::Timeout), "{said:?}");
    assert_eq!(aborts(&said).len(), 3);
    world.on_peer = None;
    for restart in [false, true] {
        if restart {
            for i in ALL {
                world.crash_keeping(i, usize::MAX);
            }
            assert!(world.run(20_000, |w| w.cosigners.iter().all(|c| c.link_open)));
        }
        let executions = world.executions();
        // Nothing is prepared: the old Start is ignored.
        let said = start(&mut world, session(1), &[0, 1, 2], &old);
        assert!(said.iter().all(Vec::is_empty), "{said:?}");
        // The same session is prepared again: the old Readies are not those that were given now.
        let new = readies(&mut world, session(1), [&work; 3]);
        assert!(new.iter().zip(&old).all(|(new, old)| new != old));
        let said = start(&mut world, session(1), &[0, 1, 2], &old);
        let codes: Vec<Code> = aborts(&said).iter().map(|(refusal, _)| refusal.code).collect();
        assert_eq!(codes, [Code::CoordinatorInconsistent; 3], "{said:?}");
        assert_eq!(world.executions(), executions);
    }
    let new = readies(&mut world, session(1), [&work; 3]);
    let said = start(&mut world, session(1), &[0, 1, 2], &new);
    assert_eq!(signatures(&said).len(), 3, "{said:?}");
    let memory = world.scheme.memory.lock().unwrap();
    assert_eq!(memory.executions.len(), 2, "a new execution id");
    assert!(memory.executions.values().all(|parties| parties.len() == 3), "{:?}", memory.executions);
}

#[test]
fn t17_signers_that_are_not_the_group_s_own_start_nothing() {
    for (setting, lists) in [
        (
            Setting::default(),
            vec![vec![], vec![0, 1], vec![0, 1, 1], vec![0, 0, 1], vec![2, 1, 0], vec![0, 1, 3], vec![0, 1, 2, 2]],
        ),
        (two_of_three(), vec![vec![0], vec![1, 1], vec![2, 0], vec![0, 1, 2], vec![1, 3], vec![u16::MAX, 0]]),
    ] {
        let mut world = hostile(setting);
        let (request, authorisation) = authorised(&mut world, 1, "hello");
        let work = World::signing(&request, &authorisation, 0);
        for (n, signers) in lists.into_iter().enumerate() {
            let id = session(n as u8);
            let all = readies(&mut world, id, [&work; 3]);
            let fitting: Vec<_> = signers.iter().map(|s| all[usize::from(*s) % 3].clone()).collect();
            let said = start(&mut world, id, &signers, &fitting);
            let codes: Vec<Code> = aborts(&said).iter().map(|(refusal, _)| refusal.code).collect();
            assert_eq!(codes, [Code::PartyIndex; 3], "{signers:?}: {said:?}");
            assert!(aborts(&said).iter().all(|(_, blamed)| blamed.is_none()));
        }
        assert_eq!(world.executions(), 0);
    }
}

#[test]
fn t17_a_party_that_was_not_chosen_does_not_take_part() {
    let mut world = hostile(two_of_three());
    let (request, authorisation) = authorised(&mut world, 1, "hello");
    let work = World::signing(&request, &authorisation, 0);
    let all = readies(&mut world, session(1), [&work; 3]);
    let said = start(&mut world, session(1), &[0, 1], &all[..2]);
    assert_eq!(signatures(&said).len(), 2, "{said:?}");
    assert_eq!(aborts(&said[2..]).first().map(|(refusal, _)| refusal.code), Some(Code::PartyIndex), "{said:?}");
    let memory = world.scheme.memory.lock().unwrap();
    assert!(memory.executions.values().all(|parties| !parties.contains(&2)));
}

#[test]
fn t62_parties_that_were_told_different_digests_stop_before_their_first_message() {
    let mut world = hostile(Setting::default());
    let mut body: Value = serde_json::from_slice(&Client::message_body("first", "fine", None, VAULT)).unwrap();
    let messages = body["extraParameters"]["rawMessageData"]["messages"].as_array_mut().unwrap();
    messages.push(json!({"content": hex::encode("second"), "type": "EIP191"}));
    let request = world.request_with(1, body.to_string().into_bytes(), "nonce-1");
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    let (one, two) = (World::signing(&request, &authorisation, 0), World::signing(&request, &authorisation, 1));
    let (other, other_authorisation) = authorised(&mut world, 2, "other");
    let three = World::signing(&other, &other_authorisation, 0);
    for (n, told) in [[&one, &one, &two], [&two, &one, &one], [&one, &two, &three]].into_iter().enumerate() {
        let id = session(n as u8);
        let all = readies(&mut world, id, told);
        let said = start(&mut world, id, &[0, 1, 2], &all);
        let codes: Vec<Code> = aborts(&said).iter().map(|(refusal, _)| refusal.code).collect();
        assert_eq!(codes, [Code::CoordinatorInconsistent; 3], "{said:?}");
        assert_eq!(world.executions(), 0);
        assert!(aborts(&said).iter().all(|(_, blamed)| blamed.is_none()), "{said:?}");
    }
    assert_harmless(&mut world, &[]);
}

#[test]
fn t62_parties_that_were_told_different_signers_never_run_together_and_nobody_is_blamed() {
    let mut world = hostile(two_of_three());
    let (request, authorisation) = authorised(&mut world, 1, "hello");
    let all = readies(&mut world, session(1), [&World::signing(&request, &authorisation, 0); 3]);
    let before = world.workspace.heard.len();
    world.on_effect = Some(Box::new(|i, effect| {
        assert!(!matches!(effect, Effect::JobMessage { .. }), "co-signer {i} took a message");
    }));
    for (index, signers) in [(0, [0u16, 1]), (1, [1, 2]), (2, [0, 2])] {
        let fitting = signers.map(|s| all[usize::from(s)].clone());
        world.start_at(world.at_index(index), session(1), &signers, &fitting);
    }
    world.run(15_000, |_| false);
    let said: Vec<_> = ALL.map(|i| world.heard_since(before, i)).to_vec();
    assert!(aborts(&said).iter().all(|(refusal, _)| refusal.code == Code::Timeout), "{said:?}");
    assert_eq!((aborts(&said).len(), signatures(&said).len()), (3, 0), "{said:?}");
    assert!(world.scheme.memory.lock().unwrap().signed.is_empty());
    for i in ALL {
        assert_eq!(world.key_at(i, &KEY).unwrap().status, KeyStatus::Ready);
    }
}

#[test]
fn t62_a_start_whose_readies_are_not_everybody_s_own_starts_nothing() {
    let mut world = hostile(Setting::default());
    let (request, authorisation) = authorised(&mut world, 1, "hello");
    let work = World::signing(&request, &authorisation, 0);
    let altered = |ready: &Signed<Ready>, change: &dyn Fn(&mut Ready)| {
        let mut ready = ready.peek_unverified().unwrap();
        change(&mut ready);
        Signed::sign(&ready, &SigningIdentity::from_secret(&[1; 32]))
    };
    let elsewhere = readies(&mut world, session(90), [&work; 3]);
    for i in ALL {
        world.exchange_with(i, WorkspaceMessage::Cancel { session: session(90) });
    }
    for case in 0..6u8 {
        let id = session(case);
        let mut all = readies(&mut world, id, [&work; 3]);
        match case {
            0 => drop(all.pop()),
            1 => all.swap(0, 1),
            2 => all[1] = all[0].clone(),
            3 => all = elsewhere.clone(),
            4 => all = all.iter().map(|r| altered(r, &|r| r.presignature = Some([4; 32]))).collect(),
            _ => all = all.iter().map(|r| altered(r, &|r| r.random = [4; 32])).collect(),
        }
        let said = start(&mut world, id, &[0, 1, 2], &all);
        let codes: Vec<Code> = aborts(&said).iter().map(|(refusal, _)| refusal.code).collect();
        assert_eq!(codes, [Code::CoordinatorInconsistent; 3], "case {case}: {said:?}");
    }
    assert_eq!(world.executions(), 0);
    // A session that one party alone believes to be running ends by its deadline, and its Prepare stays answerable.
    let ready = world.prepare(CUSTOMER, session(99), &work);
    assert_eq!(world.prepare(CUSTOMER, session(99), &work), ready);
    let other = World::signing(&request, &authorisation, 1);
    assert!(matches!(world.prepare(CUSTOMER, session(99), &other), Answer::Refused(r) if r.code == Code::Conflict));
    assert_harmless(&mut world, &[]);
}
