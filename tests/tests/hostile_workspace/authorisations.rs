//! Sessions without the customer's Authorisation, or with one that does not fit.

use super::{ALL, CLOUDS, CUSTOMER, hostile, sign, signatures, two_of_three};
use cosigner_core::Input;
use countersign_tests::simulator::{Answer, Setting, World, eip191, session};
use countersign_wire::host_link::HostHealth;
use countersign_wire::refusal::Code;
use countersign_wire::{Signed, SigningIdentity, Text};

const MINUTE: u64 = 60_000;

#[test]
fn t56_an_authorisation_that_the_customer_did_not_sign_is_none() {
    for setting in [Setting::default(), two_of_three()] {
        let mut world = hostile(setting);
        let request = world.request(1, "hello", "fine");
        let genuine = world.authorise(CUSTOMER, &request).unwrap().peek_unverified().unwrap();
        let own = Signed::sign(&genuine, &world.workspace.keys.message);
        let operator = Signed::sign(&genuine, &SigningIdentity::from_secret(&[77; 32]));
        for forged in [own, operator] {
            for i in ALL {
                let answer = world.prepare(i, session(1), &World::signing(&request, &forged, 0));
                assert_eq!(answer.code(), Some(Code::NotAuthorised), "{answer:?}");
            }
        }
        assert_eq!(world.executions(), 0);
    }
}

#[test]
fn t56_an_authorisation_for_other_digests_is_refused_also_by_two_clouds_of_three() {
    for setting in [Setting::default(), two_of_three()] {
        let mut world = hostile(setting);
        let approved = world.request(1, "pay bob", "fine");
        let authorisation = world.authorise(CUSTOMER, &approved).unwrap();
        let rejected = world.request(2, "pay mallory", "reject-me");
        assert_eq!(world.authorise(CUSTOMER, &rejected).unwrap_err().code, Code::Rejected);
        let unasked = world.request(3, "pay trudy", "fine");
        for other in [&rejected, &unasked] {
            for i in CLOUDS {
                let answer = world.prepare(i, session(1), &World::signing(other, &authorisation, 0));
                assert_eq!(answer.code(), Some(Code::Mismatch), "{answer:?}");
            }
        }
        for i in ALL {
            let answer = world.prepare(i, session(2), &World::signing(&approved, &authorisation, 1));
            assert_eq!(answer.code(), Some(Code::Malformed), "there is no second digest: {answer:?}");
        }
        assert_eq!(world.executions(), 0);
    }
}

#[test]
fn t56_an_expired_authorisation_is_refused_also_where_it_was_seen_before() {
    for setting in [Setting::default(), two_of_three()] {
        let mut world = hostile(setting);
        let request = world.request(1, "hello", "fine");
        let authorisation = world.authorise(CUSTOMER, &request).unwrap();
        let work = World::signing(&request, &authorisation, 0);
        world.prepare(1, session(1), &work).ready();
        world.run(9 * MINUTE, |_| false);
        world.prepare(2, session(1), &work).ready();
        world.run(2 * MINUTE, |_| false);
        for i in ALL {
            let answer = world.prepare(i, session(2), &work);
            assert_eq!(answer.code(), Some(Code::AuthorisationExpired), "{i}: {answer:?}");
        }
        assert_eq!(world.authorise(CUSTOMER, &request), Ok(authorisation), "the decision stands, and is expired");
    }
}

#[test]
fn t43_a_host_whose_clock_is_an_hour_off_prolongs_and_shortens_no_authorisation() {
    const HOUR: u64 = 60 * MINUTE;
    for ahead in [true, false] {
        let mut world = hostile(Setting::default());
        let tell = |world: &mut World| {
            let clock_ms = if ahead { world.now + HOUR } else { world.now - HOUR };
            let health = HostHealth {
                version: Text::cut("test"),
                clock_ms,
                disk_free_bytes: 1,
                disk_total_bytes: 1,
                blobs: 1,
                stored_bytes: 1,
                commit_us: 1,
                proxied: false,
            };
            for i in ALL {
                world.input(i, 1, Input::HostHealth(health.clone()));
            }
            world.run(10, |_| false);
        };
        tell(&mut world);
        let request = world.request(1, "hello", "fine");
        let authorisation = world.authorise(CUSTOMER, &request).unwrap();
        let work = World::signing(&request, &authorisation, 0);
        world.run(9 * MINUTE, |_| false);
        tell(&mut world);
        world.prepare(1, session(1), &work).ready();
        world.run(2 * MINUTE, |_| false);
        tell(&mut world);
        for i in ALL {
            let answer = world.prepare(i, session(2), &work);
            assert_eq!(answer.code(), Some(Code::AuthorisationExpired), "{i}, ahead {ahead}: {answer:?}");
        }
    }
}

#[test]
fn t56_a_used_authorisation_signs_no_second_time_with_any_two_of_three() {
    let mut world = hostile(two_of_three());
    let request = world.request(1, "hello", "fine");
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    let work = World::signing(&request, &authorisation, 0);
    let mut signers = [world.index(CUSTOMER), world.index(1)];
    signers.sort_unstable();
    let said = world.session_of(session(1), &signers, &work);
    let [first, second] = signatures(&said)[..] else { panic!("{said:?}") };
    assert_eq!(first, second);
    let executions = world.executions();
    for i in [CUSTOMER, 1] {
        let answer = world.prepare(i, session(2), &work);
        assert!(
            matches!(&answer, Answer::Done(done) if signatures(&[vec![(**done).clone()]]) == [first]),
            "{answer:?}"
        );
    }
    let lonely = world.prepare(2, session(2), &work).ready();
    for signers in [vec![world.index(2)], vec![world.index(2), world.index(2)]] {
        let readies = vec![lonely.clone(); signers.len()];
        world.start_at(2, session(2), &signers, &readies);
    }
    world.run(20_000, |_| false);
    assert_eq!(world.executions(), executions);
}

#[test]
fn t56_two_clouds_of_three_sign_under_the_customer_s_authorisation_and_only_what_it_says() {
    let mut world = hostile(two_of_three());
    let request = world.request(1, "hello", "fine");
    let authorisation = world.authorise(CUSTOMER, &request).unwrap();
    let mut signers = CLOUDS.map(|i| world.index(i));
    signers.sort_unstable();
    let said = world.session_of(session(1), &signers, &World::signing(&request, &authorisation, 0));
    assert_eq!(signatures(&said).len(), 2, "{said:?}");
    let signed = world.scheme.memory.lock().unwrap().signed.clone();
    assert_eq!(signed.into_iter().collect::<Vec<_>>(), [eip191("hello")]);
}

#[test]
fn t22_a_cloud_co_signer_authorises_nothing_itself() {
    let mut world = hostile(Setting::default());
    let request = world.request(1, "hello", "fine");
    for i in CLOUDS {
        assert_eq!(world.authorise(i, &request).unwrap_err().code, Code::NotAllowed);
    }
    sign(&mut world, session(1), &request);
}
