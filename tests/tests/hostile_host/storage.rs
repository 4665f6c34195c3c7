//! The host's storage: what comes back at a boot, and what leaves before something is durable.

use super::{ALL, CUSTOMER, submit};
use cosigner_core::{Core, Effect, Input, SealingKeyAnswer};
use cosigner_workspace::ceremony::{Input as Notice, TransactionStatus};
use countersign_tests::simulator::{Base, Faults, GROUP, KEY, World, eip191, purpose, session, unwrapped};
use countersign_wire::Signed;
use countersign_wire::agreement::Subject;
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::host_link::BlobName;
use countersign_wire::ids::{KeyId, PartyId, TransactionId};
use countersign_wire::key::Operation;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::Authorisation;
use std::collections::BTreeMap;

type Blobs = BTreeMap<BlobName, Vec<u8>>;

/// Boots a core from these blobs, goes on as if nothing were wrong, and returns why it cannot go on. What fails never
/// serves: nothing that the world can see leaves it.
fn boot(world: &World, blobs: &Blobs, count: u64) -> Option<Refusal> {
    boot_with(world, blobs, count, |answer| answer)
}

/// The same with a key service that answers otherwise.
fn boot_with(
    world: &World,
    blobs: &Blobs,
    count: u64,
    alter: impl FnOnce(SealingKeyAnswer) -> SealingKeyAnswer,
) -> Option<Refusal> {
    let mut core = Core::new(world.capabilities(CUSTOMER, [5; 32]), world.now);
    let mut inputs = vec![Input::HostConnected];
    inputs.extend(blobs.iter().map(|(name, value)| Input::Blob { name: name.clone(), value: value.clone() }));
    inputs.push(Input::BlobsEnd { count });
    let mut effects = Vec::new();
    for input in inputs {
        effects.extend(core.step(world.now, input));
    }
    let unwrap = effects.into_iter().find_map(|effect| match effect {
        Effect::UnwrapSealingKey { instance, wrapped, .. } => Some((instance, wrapped)),
        _ => None,
    });
    let mut later = Vec::new();
    if let Some((instance, wrapped)) = unwrap {
        let answer = alter(unwrapped(&instance, wrapped));
        later.extend(core.step(world.now, Input::SealingKey(Ok(answer))));
    }
    if core.failure().is_some() {
        for input in [Input::HostConnected, Input::AdminOpened { connection: 1 }, Input::Tick] {
            later.extend(core.step(world.now + 60_000, input));
        }
        let leaves = |e: &Effect| {
            matches!(
                e,
                Effect::LinkSend { .. }
                    | Effect::LinkOpen { .. }
                    | Effect::Exchange { .. }
                    | Effect::Persist { .. }
                    | Effect::Admin { .. }
            )
        };
        assert!(!later.iter().any(leaves), "a core that failed still acts");
    }
    core.failure().cloned()
}

/// A co-signer with some history: earlier and later blobs.
fn history() -> (World, Blobs, Blobs) {
    let mut world = Base::connected(1, Faults::none());
    let earlier = world.cosigners[CUSTOMER].disk.blobs.clone();
    assert!(submit(&mut world, 1, "hello", 60_000));
    let user = world.base.signer_user.clone();
    world.notify(Notice::GenerateKey { key: KeyId([10; 16]), group: GROUP, purpose: purpose(&user) });
    assert!(world.run(120_000, |w| w.key_is_ready(&KeyId([10; 16]))));
    world.run(10_000, |_| false);
    let later = world.cosigners[CUSTOMER].disk.blobs.clone();
    (world, earlier, later)
}

fn assert_refused(world: &World, blobs: &Blobs, what: &str) {
    let failure = boot(world, blobs, blobs.len() as u64);
    assert_eq!(failure.as_ref().map(|f| f.code), Some(Code::Storage), "{what}: {failure:?}");
}

#[test]
fn t05_a_missing_blob_never_leads_to_a_fresh_start() {
    let (world, _, blobs) = history();
    assert_eq!(boot(&world, &blobs, blobs.len() as u64), None, "as it was stored, it opens");
    for name in blobs.keys() {
        let mut rest = blobs.clone();
        rest.remove(name);
        assert_refused(&world, &rest, name);
        let failure = boot(&world, &rest, blobs.len() as u64);
        assert_eq!(failure.map(|f| f.code), Some(Code::Storage), "{name}, and a false count");
    }
}

#[test]
fn t04_a_cut_or_flipped_blob_stops_the_boot() {
    let (world, _, blobs) = history();
    for (name, value) in &blobs {
        for cut in [0, 1, value.len() / 2, value.len() - 1] {
            let mut blobs = blobs.clone();
            blobs.insert(name.clone(), value[..cut].to_vec());
            assert_refused_or_key(&world, &blobs, name);
        }
        for place in [0, 1, 40, value.len() / 2, value.len() - 1] {
            let mut blobs = blobs.clone();
            blobs.get_mut(name).unwrap()[place.min(value.len() - 1)] ^= 1;
            assert_refused_or_key(&world, &blobs, name);
        }
    }
}

#[test]
fn t42_a_root_key_that_another_key_wraps_than_the_root_names_stops_the_boot() {
    let (world, _, blobs) = history();
    let count = blobs.len() as u64;
    let failure = boot_with(&world, &blobs, count, |answer| SealingKeyAnswer {
        wrapping_key: "a key of the host's".into(),
        ..answer
    });
    let failure = failure.expect("it must not serve");
    assert_eq!(failure.code, Code::KeyService);
    assert!(failure.detail.contains("is wrapped by a key of the host's, the root names simulated"), "{failure}");
}

/// An altered root may also name another instance or wrapping key: the key service's key does not fit then.
fn assert_refused_or_key(world: &World, blobs: &Blobs, name: &BlobName) {
    let failure = boot(world, blobs, blobs.len() as u64);
    let code = failure.as_ref().map(|f| f.code);
    assert!(matches!(code, Some(Code::Storage | Code::KeyService)), "{name}: {failure:?}");
}

#[test]
fn t03_blobs_in_each_other_s_places_and_of_other_times_stop_the_boot() {
    let (world, earlier, later) = history();
    let names: Vec<&BlobName> = later.keys().collect();
    for (a, b) in names.iter().zip(names.iter().skip(1)) {
        let mut swapped = later.clone();
        swapped.insert((*a).clone(), later[*b].clone());
        swapped.insert((*b).clone(), later[*a].clone());
        assert_refused(&world, &swapped, a);
    }
    for (name, old) in earlier.iter().filter(|(name, old)| later.get(*name) != Some(old)) {
        let mut mixed = later.clone();
        mixed.insert(name.clone(), old.clone());
        assert_refused(&world, &mixed, name);
    }
    let mut foreign = later.clone();
    foreign.extend(
        world.cosigners[1]
            .disk
            .blobs
            .iter()
            .filter(|(n, _)| n.starts_with("key-"))
            .map(|(n, v)| (n.clone(), v.clone())),
    );
    assert_ne!(foreign, later);
    assert_refused(&world, &foreign, "another co-signer's share");
}

/// What one party said that it must stand by.
fn words(world: &World, i: usize) -> Vec<CosignerMessage> {
    let party = world.party(i);
    world.workspace.heard.iter().filter(|(from, _)| *from == party).map(|(_, m)| m.clone()).collect()
}

fn authorisations(world: &World) -> Vec<Signed<Authorisation>> {
    let mut all: Vec<_> = words(world, CUSTOMER)
        .into_iter()
        .filter_map(|m| match m {
            CosignerMessage::Authorised { authorisation, .. } => Some(authorisation),
            _ => None,
        })
        .collect();
    all.dedup();
    all
}

/// The host stops storing at the `border`-th batch of co-signer `i`, and its machine loses power a while later. Returns
/// false when there was no such batch.
fn power_cut(world: &mut World, i: usize, border: u64, done: impl Fn(&World) -> bool) -> bool {
    let last = |w: &World| w.cosigners[i].disk.pending.back().map(|(sequence, _)| *sequence);
    let mut seen = 0;
    let mut newest = last(world);
    let found = world.run(120_000, |w| {
        let now = last(w);
        if now.is_some() && now != newest {
            newest = now;
            seen += 1;
        }
        seen > border || done(w)
    });
    if !found || seen <= border {
        return false;
    }
    world.stalled = Some(i);
    world.run(3_000, |_| false);
    world.stalled = None;
    world.crash_keeping(i, 0);
    true
}

#[test]
fn t08_no_authorisation_leaves_before_its_record_is_durable_wherever_the_power_fails() {
    let mut borders = 0;
    for border in 0.. {
        let mut world = Base::connected(1, Faults::none());
        world.submit(world.request(1, "hello", "fine"), eip191("hello"), Operation::TypedMessage);
        let over = |w: &World| w.workspace.store.transactions[&TransactionId([1; 16])].status.is_final();
        if !power_cut(&mut world, CUSTOMER, border, over) {
            break;
        }
        borders += 1;
        assert!(world.run(300_000, over));
        let status = world.workspace.store.transactions[&TransactionId([1; 16])].status;
        assert_eq!(status, TransactionStatus::Completed, "border {border}");
        let said = authorisations(&world);
        assert_eq!(said.len(), 1, "border {border}: a word was said, forgotten, and said differently");
        let request = world.workspace.store.transactions[&TransactionId([1; 16])].request.clone();
        world.workspace.silent = true;
        world.run(20_000, |w| w.cosigners[CUSTOMER].link_open);
        world.run(1_000, |_| false);
        assert_eq!(world.authorise(CUSTOMER, &request), Ok(said[0].clone()), "border {border}: it is on record");
    }
    assert!(borders >= 2, "the decision and the signature are stored: {borders}");
}

#[test]
fn t08_no_ready_leaves_before_the_intent_is_bound_wherever_the_power_fails() {
    let mut borders = 0;
    for border in 0.. {
        let mut world = Base::connected(1, Faults::none()).hostile();
        let request = world.request(1, "hello", "fine");
        let first = world.authorise(CUSTOMER, &request).unwrap();
        let work = World::signing(&request, &first, 0);
        let cloud = world.party(1);
        let prepare = WorkspaceMessage::Prepare { session: session(1), deadline_ms: 8_000, work };
        world.say(cloud, prepare);
        let ready = |w: &World| words(w, 1).iter().any(|m| matches!(m, CosignerMessage::Ready { .. }));
        if !power_cut(&mut world, 1, border, ready) {
            break;
        }
        borders += 1;
        assert!(!ready(&world), "a Ready left although the binding was never stored");
    }
    assert!(borders >= 1);
}

#[test]
fn t08_no_acknowledgement_leaves_before_the_share_is_durable_wherever_the_power_fails() {
    let key = KeyId([10; 16]);
    for victim in ALL {
        let mut borders = 0;
        for border in 0.. {
            let mut world = Base::connected(1, Faults::none());
            let user = world.base.signer_user.clone();
            world.notify(Notice::GenerateKey { key, group: GROUP, purpose: purpose(&user) });
            if !power_cut(&mut world, victim, border, |w| w.key_is_ready(&key)) {
                break;
            }
            borders += 1;
            let said = acknowledged(&world, world.party(victim));
            world.workspace.silent = true;
            world.wait_for_link(victim);
            for (session, outcome) in said {
                let query = WorkspaceMessage::Query { group: GROUP, subject: Subject::Key(key), session };
                let answers = world.exchange_with(victim, query);
                let held = answers.iter().any(|m| match m {
                    CosignerMessage::Acknowledged { acknowledgement } => {
                        acknowledgement.peek_unverified().unwrap().outcome == outcome
                    }
                    _ => false,
                });
                assert!(held, "victim {victim}, border {border}: {answers:?}");
            }
        }
        assert!(borders >= 2, "HELD and DURABLE are stored: {borders}");
    }
    assert_ne!(key, KEY);
}

/// The outcomes of the new key that a party acknowledged, by session.
fn acknowledged(world: &World, party: PartyId) -> Vec<(countersign_wire::ids::SessionId, [u8; 32])> {
    let said = world.workspace.heard.iter().filter(|(from, _)| *from == party);
    said.filter_map(|(_, m)| match m {
        CosignerMessage::Acknowledged { acknowledgement } => acknowledgement.peek_unverified().ok(),
        _ => None,
    })
    .filter(|a| a.subject == Subject::Key(KeyId([10; 16])))
    .map(|a| (a.session, a.outcome))
    .collect()
}

#[test]
fn t08_an_answer_of_the_key_service_to_an_earlier_question_never_seals_a_claim() {
    let (world, blobs, _) = history();
    let mut core = Core::new(world.capabilities(CUSTOMER, [5; 32]), world.now);
    let mut effects = core.step(world.now, Input::HostConnected);
    for (name, value) in &blobs {
        effects.extend(core.step(world.now, Input::Blob { name: name.clone(), value: value.clone() }));
    }
    effects.extend(core.step(world.now, Input::BlobsEnd { count: blobs.len() as u64 }));
    let (instance, wrapped) = effects
        .into_iter()
        .find_map(|effect| match effect {
            Effect::UnwrapSealingKey { instance, wrapped, .. } => Some((instance, wrapped)),
            _ => None,
        })
        .expect("the key service is asked");
    // The host goes, comes back with an empty disk, and has the enclave claimed, all before the answer arrives.
    core.step(world.now, Input::HostGone);
    let loads = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::LoadBlobs));
    assert!(!loads(&core.step(world.now, Input::HostConnected)), "the answer is awaited first");
    core.step(world.now, Input::BlobsEnd { count: 0 });
    let answer = unwrapped(&instance, wrapped);
    let effects = core.step(world.now, Input::SealingKey(Ok(answer)));
    assert!(loads(&effects) && core.failure().is_none(), "it counts for nothing, and the disk is read anew");
}
