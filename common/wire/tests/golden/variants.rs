//! The variants of every enum in messages, by exhaustive matches: a new variant does not compile before it is named here,
//! and a name without a sample fails the test.

use countersign_wire::admin::{AdminPacket, AdminRequest, AdminResponse, Done, TestStep};
use countersign_wire::agreement::{Stage, Subject};
use countersign_wire::aws_signature::AwsSignature;
use countersign_wire::callback::{AttemptResult, CallbackSubject, ChangeVerdict};
use countersign_wire::ceremony::{CosignerMessage, GroupState, Work, WorkspaceMessage};
use countersign_wire::command::{ApprovalSetting, Change, HandlerTls};
use countersign_wire::dial::{Address, DialAnswer, DialRequest, DialStep};
use countersign_wire::group::Role;
use countersign_wire::host_link::{FromEnclave, FromHost, LinkDown, Opening};
use countersign_wire::key::{Algorithm, KeyStatus, Operation};
use countersign_wire::peer::{Packet, PeerMessage};
use countersign_wire::refusal::Code;
use countersign_wire::relay::{RelayDown, RelayUp};
use countersign_wire::status::{ApprovalKind, Severity};
use countersign_wire::transaction::Approval;

pub trait Variants {
    /// Every variant's name.
    const ALL: &'static [&'static str];
    /// The name of this one.
    fn variant(&self) -> &'static str;
}

macro_rules! variants {
    ($type:ty: $($variant:ident => $name:literal),+ $(,)?) => {
        impl Variants for $type {
            const ALL: &'static [&'static str] = &[$($name),+];

            fn variant(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $name),+ }
            }
        }
    };
}

variants!(Work: Aux => "aux", Keygen => "keygen", Sign => "sign");
variants!(
    WorkspaceMessage: ProposeGroup => "propose-group", Authorise => "authorise",
    ApproveChange => "approve-change", ProposeApproval => "propose-approval", Prepare => "prepare", Start => "start",
    Cancel => "cancel", Query => "query", Commit => "commit", Publish => "publish", Discard => "discard",
    Certify => "certify", Withdraw => "withdraw",
);
variants!(
    CosignerMessage: Hello => "hello", Users => "users", GroupAccepted => "group-accepted", Authorised => "authorised",
    AuthorisationRefused => "authorisation-refused", AuthorisationWaiting => "authorisation-waiting",
    ChangeWaiting => "change-waiting", ChangeDecided => "change-decided", ChangeRefused => "change-refused", Ready => "ready",
    Refused => "refused", Aborted => "aborted", SignatureDone => "signature-done", Acknowledged => "acknowledged",
    NeverHeld => "never-held", StillRunning => "still-running", KeyPublished => "key-published",
    Certificate => "certificate", CertificateRefused => "certificate-refused",
);
variants!(RelayUp: Workspace => "workspace", Peer => "peer");
variants!(RelayDown: Workspace => "workspace", Peer => "peer");
variants!(
    Packet: Handshake1 => "handshake-1", Handshake2 => "handshake-2", Handshake3 => "handshake-3", Data => "data",
    Unknown => "unknown", Knock => "knock",
);
variants!(PeerMessage: Round => "round", Evidence => "evidence", Abort => "abort");
variants!(Opening: Control => "control", Dial => "dial", SignAwsCall => "sign-aws-call");
variants!(AwsSignature: Headers => "headers", Failed => "failed");
variants!(
    FromEnclave: LoadBlobs => "load-blobs", Persist => "persist", LinkOpen => "link-open", LinkClose => "link-close",
    LinkSend => "link-send", Admin => "admin", AdminClose => "admin-close", Report => "report",
    Stopping => "stopping",
);
variants!(
    FromHost: Welcome => "welcome", Blob => "blob", BlobsEnd => "blobs-end", Persisted => "persisted",
    PersistFailed => "persist-failed", LinkUp => "link-up", LinkDown => "link-down", LinkData => "link-data",
    AdminOpened => "admin-opened", Admin => "admin", AdminClosed => "admin-closed", Health => "health",
);
variants!(DialRequest: Resolve => "resolve", Connect => "connect");
variants!(DialAnswer: Resolved => "resolved", Connected => "connected", Failed => "failed");
variants!(AdminPacket: Handshake1 => "handshake-1", Handshake2 => "handshake-2", Data => "data");
variants!(
    AdminRequest: Describe => "describe", Status => "status", Users => "users", Keys => "keys",
    Initiators => "initiators", CallbackPublicKey => "callback-public-key", Command => "command",
    Callback => "callback", Events => "events",
);
variants!(
    AdminResponse: Described => "described", Status => "status", Users => "users", Keys => "keys",
    Initiators => "initiators", PublicKey => "public-key", Callback => "callback",
    Events => "events", Done => "done", Refused => "refused",
);
variants!(
    Done: Claimed => "done-claimed", UserAdded => "done-user-added", InitiatorAdded => "done-initiator-added",
    InitiatorRemoved => "done-initiator-removed", GroupAccepted => "done-group-accepted",
    QuarantineCleared => "done-quarantine-cleared", ApprovalSet => "done-approval-set",
    CallbackTested => "done-callback-tested", UserRemoved => "done-user-removed", Renamed => "done-renamed",
    SealingKeyRotated => "done-sealing-key-rotated",
);
variants!(
    Change: Claim => "claim", AddUser => "add-user", AddInitiator => "add-initiator",
    RemoveInitiator => "remove-initiator", AcceptGroup => "accept-group", ClearQuarantine => "clear-quarantine",
    SetApproval => "set-approval", TestCallback => "test-callback", RemoveUser => "remove-user", Rename => "rename",
    RotateSealingKey => "rotate-sealing-key",
);

// Inside of messages.
variants!(Algorithm: EcdsaSecp256k1 => "ecdsa-secp256k1");
variants!(
    Operation: Raw => "raw", TypedMessage => "typed-message", Transfer => "transfer", ContractCall => "contract-call",
);
variants!(HandlerTls: PublicRoots => "public-roots", Root => "root", Pinned => "pinned");
variants!(
    AttemptResult: Approved => "approved", Rejected => "rejected", Retry => "retry", Ignored => "ignored",
    Failed => "failed",
);
variants!(CallbackSubject: Transaction => "transaction", Change => "change", Test => "test");
variants!(ChangeVerdict: Approve => "approve", Reject => "reject", Ignore => "ignore");
variants!(Severity: Info => "info", Warning => "warning", Error => "error");
variants!(
    TestStep: Resolve => "resolve", Connect => "connect", Tls => "tls", Http => "http", Signature => "signature",
    Payload => "payload",
);
variants!(KeyStatus: Pending => "pending", Ready => "ready", Error => "error");
variants!(Role: Customer => "customer", Cloud => "cloud");
variants!(Subject: Aux => "aux", Key => "key");
variants!(Stage: Held => "held", Durable => "durable");
variants!(
    GroupState: Proposed => "proposed", FindingPrimes => "finding-primes", AwaitingAux => "awaiting-aux",
    AuxPending => "aux-pending", Ready => "ready",
);
variants!(Approval: Handler => "handler", Auto => "auto");
variants!(ApprovalSetting: None => "none", Handler => "handler", Auto => "auto");
variants!(ApprovalKind: None => "none", Handler => "handler", Auto => "auto");
variants!(Address: V4 => "v4", V6 => "v6");
variants!(DialStep: Resolve => "resolve", Connect => "connect", Limit => "limit");
variants!(LinkDown: Connection => "connection", Unauthorised => "unauthorised", Refused => "refused");

impl Variants for Code {
    // The codes have names of their own, and a list that their macro makes.
    const ALL: &'static [&'static str] = &[];

    fn variant(&self) -> &'static str {
        self.as_str()
    }
}
