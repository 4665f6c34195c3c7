//! Messages between the workspace and one co-signer, inside the relay.
//!
//! Every message of the workspace is signed with its message key, every message of a co-signer with its pairing's
//! identity, so that a host between them can only delay or drop. A ceremony goes
//! Prepare → Ready → Start → rounds → Done | Aborted. Every message may be repeated: the receiver answers the same again.

use crate::agreement::{Acknowledgement, Acknowledgements, NeverHeld, Subject};
use crate::callback::{Attempt, ChangeApproval, ConfigChange};
use crate::certificate::KeyCertificate;
use crate::command::ApprovalSetting;
use crate::group::{Group, Role};
use crate::ids::{ApiUserId, BootId, ChangeId, GroupId, KeyId, PartyId, SessionId, TransactionId};
use crate::key::{EcdsaSignature, KeyPurpose, PublicKey};
use crate::limits::{MAX_GROUPS, MAX_NAME_BYTES, MAX_PARTIES, MAX_RELAY_BYTES, MAX_USERS};
use crate::refusal::Refusal;
use crate::status::ApprovalKind;
use crate::transaction::{Authorisation, TransactionRequest};
use crate::{List, Signed, Text, message};
use borsh::{BorshDeserialize, BorshSerialize};

/// What a session is to do.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Work {
    /// Auxiliary information for a group.
    Aux {
        /// The group; its operators accepted it.
        group: GroupId,
    },
    /// A new key in a group.
    Keygen {
        /// The group.
        group: GroupId,
        /// The new key's id.
        key: KeyId,
        /// What it is for.
        purpose: KeyPurpose,
    },
    /// One digest of an authorised transaction.
    Sign {
        /// The client's request, whole.
        request: TransactionRequest,
        /// The customer's Authorisation.
        authorisation: Signed<Authorisation>,
        /// Which of its digests, from 0.
        digest_index: u16,
    },
}

message!(Work, "countersign/work", 2, MAX_RELAY_BYTES / 2);

/// A party's consent to a session. Signed with its pairing's identity; its randomness makes the execution id unique.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ready {
    /// The session.
    pub session: SessionId,
    /// [`crate::Message::digest`] of the [`Work`].
    pub work_hash: [u8; 32],
    /// Body digest of the Authorisation, for signing.
    pub authorisation_hash: Option<[u8; 32]>,
    /// [`crate::Message::digest`] of the [`Group`].
    pub group_hash: [u8; 32],
    /// The outcome hash of the auxiliary information that this party will use, for signing.
    pub aux_outcome: Option<[u8; 32]>,
    /// The epoch of the share set, for signing.
    pub epoch: u32,
    /// How many signers are wanted.
    pub signers_wanted: u16,
    /// The presignature that would be used, or none.
    pub presignature: Option<[u8; 32]>,
    /// The boot that answers: after another one the session cannot go on.
    pub boot: BootId,
    /// Fresh randomness.
    pub random: [u8; 32],
}

message!(Ready, "countersign/ready", 1, 512);

/// What the workspace says to a co-signer.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum WorkspaceMessage {
    /// A group that operators may accept.
    ProposeGroup(Group),
    /// Asks the customer's co-signer to authorise. Answered by [`CosignerMessage::Authorised`] or `AuthorisationRefused`,
    /// and by `AuthorisationWaiting` while the handler thinks.
    Authorise(TransactionRequest),
    /// Asks an API user's co-signer to have a configuration change approved by its handler. Answered by
    /// [`CosignerMessage::ChangeDecided`] or `ChangeRefused`, and by `ChangeWaiting` while the handler thinks.
    ApproveChange(ConfigChange),
    /// Shows operators how the workspace would have an API user's requests approved. Nothing follows from it unless
    /// operators sign exactly that; then `Users` tells.
    ProposeApproval {
        /// The workspace's id for the change.
        change: ChangeId,
        /// Whose.
        user: ApiUserId,
        /// How.
        approval: ApprovalSetting,
    },
    /// Opens a session.
    Prepare {
        /// Its id.
        session: SessionId,
        /// Milliseconds from receipt until the party gives up by itself; capped by the party.
        deadline_ms: u32,
        /// What to do.
        work: Work,
    },
    /// Names the signers and carries every one's whole Ready, in the order of `signers`.
    Start {
        /// The session.
        session: SessionId,
        /// Group indices, ascending.
        signers: List<u16, MAX_PARTIES>,
        /// Their Readies, in the same order.
        readies: List<Signed<Ready>, MAX_PARTIES>,
    },
    /// Ends a session (not chosen, or over).
    Cancel {
        /// The session.
        session: SessionId,
    },
    /// Asks how far a party is. Answered by `Acknowledged`, `NeverHeld`, or `StillRunning`.
    Query {
        /// The group.
        group: GroupId,
        /// What.
        subject: Subject,
        /// The session.
        session: SessionId,
    },
    /// All parties' `Held`. Answered by `Acknowledged` with `Durable`.
    Commit {
        /// What.
        subject: Subject,
        /// The session.
        session: SessionId,
        /// All parties' `Held`.
        held: Acknowledgements,
    },
    /// All parties' `Durable`. Answered by `KeyPublished`; nothing is answered for auxiliary information.
    Publish {
        /// What.
        subject: Subject,
        /// The session.
        session: SessionId,
        /// All parties' `Durable`.
        durable: Acknowledgements,
    },
    /// A party never held the outcome: drop it.
    Discard {
        /// What.
        subject: Subject,
        /// The session.
        session: SessionId,
        /// Who never held it.
        party: PartyId,
        /// Its word.
        never: Signed<NeverHeld>,
    },
    /// Asks the customer's co-signer for a key certificate. The first one binds the vault account's asset to the key.
    Certify {
        /// The key.
        key: KeyId,
        /// The vault account.
        vault_account: u32,
        /// The asset.
        asset: Text<32>,
    },
    /// Nobody wants the transaction any more: the customer's co-signer stops asking the handler about it. Nothing is
    /// answered; what was decided already stays so.
    Withdraw {
        /// Which.
        transaction: TransactionId,
    },
}

/// A signed message of the workspace to one co-signer.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ToCosigner {
    /// Whom it is for: a message for another party is refused.
    pub to: PartyId,
    /// What it says.
    pub message: WorkspaceMessage,
}

message!(ToCosigner, "countersign/to-cosigner", 2, MAX_RELAY_BYTES - 1024);

/// How ready a group is at one co-signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum GroupState {
    /// Proposed; operators have not accepted it.
    Proposed = 0,
    /// Accepted; safe primes are being found.
    FindingPrimes = 1,
    /// Primes are there; auxiliary information is missing.
    AwaitingAux = 2,
    /// Auxiliary information is held without all acknowledgements.
    AuxPending = 3,
    /// Keys can be generated and used.
    Ready = 4,
}

/// What a co-signer says to the workspace.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum CosignerMessage {
    /// After each (re)connection and on every change of a group's state.
    Hello {
        /// This boot; sessions of an earlier one are over.
        boot: BootId,
        /// The co-signer's role in the pairing.
        role: Role,
        /// Version of the co-signer's software.
        version: Text<32>,
        /// Its groups.
        groups: List<(GroupId, GroupState), MAX_GROUPS>,
    },
    /// The API users of the pairing that the workspace confirmed, and how their requests are approved. After each
    /// (re)connection and on every change. Who is not in it any more was removed by operators.
    Users {
        /// The co-signer's name, for people.
        name: Text<MAX_NAME_BYTES>,
        /// Who, how, and [`ApprovalSetting::digest`] of that.
        users: List<(ApiUserId, ApprovalKind, [u8; 32]), MAX_USERS>,
    },
    /// Operators accepted a group.
    GroupAccepted {
        /// The group.
        group: GroupId,
        /// [`crate::Message::digest`] of what they accepted.
        hash: [u8; 32],
    },
    /// The Authorisation asked for.
    Authorised {
        /// The transaction.
        transaction: TransactionId,
        /// It.
        authorisation: Signed<Authorisation>,
        /// The call of the handler that brought it, unless it was long ago.
        attempt: Option<Attempt>,
    },
    /// Not authorised. `last` means that the same transaction will never be.
    AuthorisationRefused {
        /// The transaction.
        transaction: TransactionId,
        /// Why.
        refusal: Refusal,
        /// Whether asking again can change the answer: `true` means no.
        last: bool,
        /// The call of the handler that brought it, if one did and it was not long ago.
        attempt: Option<Attempt>,
    },
    /// The handler is being asked, or will be in its turn, or once more after a RETRY.
    AuthorisationWaiting {
        /// The transaction.
        transaction: TransactionId,
        /// The last call, if there was one.
        attempt: Option<Attempt>,
    },
    /// The handler is being asked about a change, or will be.
    ChangeWaiting {
        /// The change.
        change: ChangeId,
        /// The last call, if there was one.
        attempt: Option<Attempt>,
    },
    /// What the handler said about a change.
    ChangeDecided {
        /// The change.
        change: ChangeId,
        /// Its word, signed with the API user's approval key.
        approval: Signed<ChangeApproval>,
        /// The call that brought it, unless it was long ago.
        attempt: Option<Attempt>,
    },
    /// No word about a change.
    ChangeRefused {
        /// The change.
        change: ChangeId,
        /// Why.
        refusal: Refusal,
        /// Whether asking again can change the answer: `true` means no.
        last: bool,
        /// The last call, if there was one.
        attempt: Option<Attempt>,
    },
    /// Consent to a session.
    Ready {
        /// The session.
        session: SessionId,
        /// The consent.
        ready: Signed<Ready>,
    },
    /// No consent.
    Refused {
        /// The session.
        session: SessionId,
        /// Why.
        refusal: Refusal,
    },
    /// A session ended without an outcome.
    Aborted {
        /// The session.
        session: SessionId,
        /// Why.
        refusal: Refusal,
        /// Whom to blame, where that can be shown.
        blamed: Option<PartyId>,
    },
    /// A signature, verified and stored by this party. Also the answer to a Prepare for a digest that has one.
    SignatureDone {
        /// The session.
        session: SessionId,
        /// The transaction.
        transaction: TransactionId,
        /// Which of its digests.
        digest_index: u16,
        /// The derived public key, compressed.
        public_key: PublicKey,
        /// The signature.
        signature: EcdsaSignature,
    },
    /// An outcome is held or durable.
    Acknowledged {
        /// Whose word.
        acknowledgement: Signed<Acknowledgement>,
    },
    /// An outcome is not held and never will be.
    NeverHeld {
        /// The word.
        never: Signed<NeverHeld>,
    },
    /// The session asked about is still running here.
    StillRunning {
        /// What.
        subject: Subject,
        /// The session.
        session: SessionId,
    },
    /// A key is READY at every party.
    KeyPublished {
        /// The key.
        key: KeyId,
        /// The session that made it.
        session: SessionId,
        /// Its master public key, compressed.
        public_key: PublicKey,
    },
    /// The certificate asked for.
    Certificate {
        /// The key.
        key: KeyId,
        /// It.
        certificate: Signed<KeyCertificate>,
    },
    /// No certificate.
    CertificateRefused {
        /// The key.
        key: KeyId,
        /// The vault account.
        vault_account: u32,
        /// The asset.
        asset: Text<32>,
        /// Why.
        refusal: Refusal,
    },
}

message!(CosignerMessage, "countersign/cosigner-message", 2, MAX_RELAY_BYTES - 1024);
