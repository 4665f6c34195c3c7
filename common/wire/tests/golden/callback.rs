//! What is told about calls of callback handlers.

use super::{Book, bytes, list, text};
use countersign_wire::admin::{CallbackTest, TestStep};
use countersign_wire::callback::{
    Attempt, AttemptResult, CallbackSubject, ChangeApproval, ChangeVerdict, ConfigChange, StepTimes,
};
use countersign_wire::command::{ApprovalSetting, HandlerTls};
use countersign_wire::host_link::HostHealth;
use countersign_wire::ids::*;
use countersign_wire::refusal::Code;
use countersign_wire::status::{CallbackStatus, Event, Events, Severity};

pub fn attempt() -> Attempt {
    Attempt {
        number: 2,
        started_at_ms: 70,
        waited_ms: 71,
        took_us: 72,
        steps: StepTimes { resolve_us: Some(73), connect_us: Some(74), tls_us: None, answer_us: Some(75) },
        reused: true,
        result: AttemptResult::Retry,
        code: Some(Code::Retry),
        detail: text("later"),
        next_at_ms: Some(76),
    }
}

pub fn change() -> ConfigChange {
    ConfigChange {
        id: ChangeId([77; 16]),
        signer: "signer".parse().unwrap(),
        kind: text("UNMANAGED_WALLET"),
        extra_info: bytes(b"{}"),
    }
}

pub fn change_approval() -> ChangeApproval {
    ChangeApproval {
        workspace: WorkspaceId([3; 16]),
        change: ChangeId([77; 16]),
        signer: "signer".parse().unwrap(),
        change_hash: [78; 32],
        request_id: text("r"),
        verdict: ChangeVerdict::Approve,
        reason: text("fine"),
        decided_at_ms: 79,
    }
}

pub fn callback_status() -> CallbackStatus {
    CallbackStatus {
        user: super::admin::user(),
        approval: ApprovalSetting::Handler(super::admin::handler()),
        request_key: bytes(b"k"),
        own_request_key: true,
        approval_key: [80; 32],
        attempts: list(vec![(CallbackSubject::Transaction(TransactionId([5; 16])), attempt())]),
        proposal: Some((ChangeId([77; 16]), ApprovalSetting::Auto)),
    }
}

pub fn test() -> CallbackTest {
    CallbackTest {
        url: text("https://handler.example"),
        mode: text("public key"),
        attempt: attempt(),
        failed: Some(TestStep::Payload),
        address: text("192.0.2.1"),
        certificate_expires_at_ms: Some(81),
        certificate_pin: Some([82; 32]),
        protocol: text("HTTP/2"),
        action: text("APPROVE"),
    }
}

pub fn events() -> Events {
    let line = Event {
        number: 83,
        at_ms: 84,
        severity: Severity::Warning,
        kind: text("callback"),
        fields: list(vec![(text("user"), text("signer"))]),
        text: text("no"),
    };
    Events { boot: BootId([17; 16]), lines: list(vec![line]), newest: 83 }
}

pub fn health() -> HostHealth {
    HostHealth {
        version: text("1"),
        clock_ms: 85,
        disk_free_bytes: 86,
        disk_total_bytes: 87,
        blobs: 88,
        stored_bytes: 89,
        commit_us: 90,
        proxied: true,
    }
}

pub fn add(book: &mut Book) {
    book.add("sample", &change());
    book.add("sample", &change_approval());
    book.every_field(
        "handler-tls",
        &[HandlerTls::PublicRoots, HandlerTls::Root(bytes(b"r")), HandlerTls::Pinned(list(vec![[91; 32], [92; 32]]))],
    );
    book.every_field(
        "attempt-result",
        &[
            AttemptResult::Approved,
            AttemptResult::Rejected,
            AttemptResult::Retry,
            AttemptResult::Ignored,
            AttemptResult::Failed,
        ],
    );
    book.every_field(
        "callback-subject",
        &[
            CallbackSubject::Transaction(TransactionId([5; 16])),
            CallbackSubject::Change(ChangeId([77; 16])),
            CallbackSubject::Test,
        ],
    );
    book.every_field("change-verdict", &[ChangeVerdict::Approve, ChangeVerdict::Reject, ChangeVerdict::Ignore]);
    book.every_field("severity", &[Severity::Info, Severity::Warning, Severity::Error]);
    book.every_field(
        "test-step",
        &[TestStep::Resolve, TestStep::Connect, TestStep::Tls, TestStep::Http, TestStep::Signature, TestStep::Payload],
    );
}
