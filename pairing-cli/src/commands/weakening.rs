//! What is said in red about a setting that weakens a co-signer, or stops it.

use crate::console::Console;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::group::Role;

/// Tells what follows from approving in this way.
pub fn tell(console: &Console, approval: &ApprovalSetting, requires_intent: bool, role: Role) {
    match approval {
        ApprovalSetting::Auto => {
            if !requires_intent {
                console.warn(
                    "workspace_decides_alone",
                    "auto-approve without intent: the workspace alone decides what is signed",
                );
            }
            console.warn("auto_approve", "AUTO-APPROVE: requests of this API user are signed without asking anybody");
        }
        ApprovalSetting::None if role == Role::Customer => {
            console
                .warn("no_handler", "neither handler nor auto-approve: every request of this API user will be refused");
        }
        ApprovalSetting::None | ApprovalSetting::Handler(_) => {}
    }
}
