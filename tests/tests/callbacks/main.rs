//! Callback handlers in front of real cores: RETRY series, configuration changes, operators' settings and tests. Time,
//! network and disks are simulated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod changes;
mod probe;
mod proposals;
mod removal;
mod retry;
mod settings;

use countersign_tests::simulator::{Base, Faults, World};
use countersign_wire::admin::{AdminRequest, AdminResponse};
use countersign_wire::command::{ApprovalSetting, Change};
use countersign_wire::status::CallbackStatus;

/// The customer's co-signer.
pub const CUSTOMER: usize = 0;

/// A world in which the test speaks for the workspace.
pub fn hostile() -> World {
    Base::connected(1, Faults::none()).hostile()
}

/// How the base world's API user is approved for, as an admin sees it.
pub fn status(world: &mut World) -> CallbackStatus {
    let (pairing, user) = (world.cosigners[CUSTOMER].pairing.unwrap(), world.base.signer_user.clone());
    match world.ask_admin(CUSTOMER, &AdminRequest::Callback { pairing, user }) {
        AdminResponse::Callback(status) => *status,
        other => panic!("no status: {other:?}"),
    }
}

/// Operators set how the base world's API user is approved for.
pub fn set(world: &mut World, approval: ApprovalSetting) -> AdminResponse {
    let (pairing, user) = (world.cosigners[CUSTOMER].pairing.unwrap(), world.base.signer_user.clone());
    world.operator(CUSTOMER, Change::SetApproval { pairing, user, approval })
}

/// The customer's co-signer crashes with everything durable, and is back.
pub fn restart(world: &mut World) {
    world.crash_keeping(CUSTOMER, usize::MAX);
    world.wait_for_link(CUSTOMER);
}
