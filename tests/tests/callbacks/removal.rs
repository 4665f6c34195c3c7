//! Removing API users, also those that the workspace never confirmed.

use super::{CUSTOMER, hostile, restart};
use countersign_tests::simulator::{Base, World, add_user};
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::command::Change;
use countersign_wire::ids::{ApiUserId, PairingId};
use countersign_wire::refusal::Code;
use countersign_wire::status::UserStatus;

fn users(world: &mut World) -> Vec<UserStatus> {
    match world.ask_admin(CUSTOMER, &AdminRequest::Users) {
        AdminResponse::Users(users) => users.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn remove(world: &mut World, pairing: PairingId, user: &ApiUserId) -> AdminResponse {
    world.operator(CUSTOMER, Change::RemoveUser { pairing, user: user.clone() })
}

#[test]
fn a_removed_users_requests_are_refused_and_its_keys_stay_where_they_are() {
    let mut world = hostile();
    let (pairing, user) = (world.cosigners[CUSTOMER].pairing.unwrap(), world.base.signer_user.clone());
    let removed = remove(&mut world, pairing, &user);
    assert_eq!(removed, AdminResponse::Done(Done::UserRemoved { pairing_removed: false }), "it holds a key");
    restart(&mut world);
    assert_eq!(users(&mut world).len(), 0);
    let request = world.request(1, "hello", "fine");
    assert_eq!(world.authorise(CUSTOMER, &request).unwrap_err().code, Code::NotFound);
    assert!(world.key_at(CUSTOMER, &countersign_tests::simulator::KEY).is_some());
    let again = remove(&mut world, pairing, &user);
    assert!(matches!(again, AdminResponse::Refused(r) if r.code == Code::NotFound));
}

#[test]
fn a_user_whom_the_workspace_never_confirmed_goes_and_its_pairing_with_it() {
    let mut world = Base::empty(1);
    world.boot(CUSTOMER);
    world.run(1_000, |_| false);
    world.claim(CUSTOMER);
    // The workspace takes the token, and its answer is lost.
    world.on_exchange = Some(Box::new(|_, spec| {
        spec.path.ends_with("/pair_device").then_some(Err(cosigner_core::ExchangeFailure::Timeout(1)))
    }));
    let user: ApiUserId = "never-confirmed".parse().unwrap();
    let add = add_user(&world, CUSTOMER, user.as_str(), "jti-lost");
    let answer = world.operator(CUSTOMER, Change::AddUser(Box::new(add)));
    assert!(matches!(&answer, AdminResponse::Refused(r) if r.code == Code::Timeout), "{answer:?}");
    restart_alone(&mut world);
    let seen = users(&mut world);
    assert!(seen.len() == 1 && !seen[0].confirmed, "{seen:?}");
    let removed = remove(&mut world, seen[0].pairing, &user);
    assert_eq!(removed, AdminResponse::Done(Done::UserRemoved { pairing_removed: true }));
    restart_alone(&mut world);
    assert_eq!(users(&mut world).len(), 0, "and the state opens without it");
}

fn restart_alone(world: &mut World) {
    world.crash_keeping(CUSTOMER, usize::MAX);
    world.run(10_000, |_| false);
}
