//! What has variants inside of messages.

use super::{Book, text};
use crate::admin::handler;
use countersign_wire::agreement::{Stage, Subject};
use countersign_wire::ceremony::GroupState;
use countersign_wire::command::ApprovalSetting;
use countersign_wire::dial::{Address, DialStep};
use countersign_wire::group::Role;
use countersign_wire::host_link::LinkDown;
use countersign_wire::ids::{GroupId, KeyId};
use countersign_wire::key::{Algorithm, KeyStatus, Operation};
use countersign_wire::refusal::Code;
use countersign_wire::status::ApprovalKind;
use countersign_wire::transaction::Approval;

pub fn add(book: &mut Book) {
    book.every_field("algorithm", &[Algorithm::EcdsaSecp256k1]);
    book.every_field(
        "operation",
        &[Operation::Raw, Operation::TypedMessage, Operation::Transfer, Operation::ContractCall],
    );
    book.every_field("key-status", &[KeyStatus::Pending, KeyStatus::Ready, KeyStatus::Error]);
    book.every_field("role", &[Role::Customer, Role::Cloud]);
    book.every_field("subject", &[Subject::Aux(GroupId([4; 16])), Subject::Key(KeyId([6; 16]))]);
    book.every_field("stage", &[Stage::Held, Stage::Durable]);
    book.every_field(
        "group-state",
        &[
            GroupState::Proposed,
            GroupState::FindingPrimes,
            GroupState::AwaitingAux,
            GroupState::AuxPending,
            GroupState::Ready,
        ],
    );
    book.every_field("approval", &[Approval::Handler { request_id: text("r") }, Approval::Auto]);
    book.every_field(
        "approval-setting",
        &[ApprovalSetting::None, ApprovalSetting::Handler(handler()), ApprovalSetting::Auto],
    );
    book.every_field("approval-kind", &[ApprovalKind::None, ApprovalKind::Handler, ApprovalKind::Auto]);
    book.every_field("address", &[Address::V4([127, 0, 0, 1]), Address::V6([30; 16])]);
    book.every_field("dial-step", &[DialStep::Resolve, DialStep::Connect, DialStep::Limit]);
    book.every_field("link-down", &[LinkDown::Connection, LinkDown::Unauthorised, LinkDown::Refused]);
    book.every_field("code", Code::ALL);
}
