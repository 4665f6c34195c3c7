//! Why something was refused: a stable code for programs, a sentence for people.

use crate::Text;
use crate::limits::MAX_DETAIL_BYTES;
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $text:literal;)*) => {
        /// A stable reason code. Numbers and texts never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        #[borsh(use_discriminant = true)]
        #[repr(u8)]
        pub enum Code { $($(#[$doc])* $variant = $number,)* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as text, as logs, APIs and metrics show it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }
        }
    };
}

codes! {
    // what was asked
    /// The request is not well formed.
    Malformed = 1, "malformed";
    /// The same id with other content.
    Conflict = 2, "conflict";
    /// No such key, user, group, session or blob in this pairing.
    NotFound = 3, "not_found";
    /// The operation is not known or not allowed from this sender.
    NotAllowed = 4, "not_allowed";
    /// A limit is reached; try again later.
    Busy = 5, "busy";
    /// The deadline passed.
    Timeout = 6, "timeout";
    /// An internal fault; the log of the co-signer says more.
    Internal = 7, "internal";
    /// The caller should ask again later: something is still being prepared.
    NotYet = 8, "not_yet";
    /// Cancelled by the coordinator.
    Cancelled = 9, "cancelled";

    // intent
    /// Intent is required and the request carries no client's token.
    IntentMissing = 20, "intent_missing";
    /// The client's token does not verify with an initiator's key that an operator gave.
    IntentUntrusted = 21, "intent_untrusted";
    /// The token's claims do not fit the request (uri, body hash, subject, types).
    IntentMismatch = 22, "intent_mismatch";
    /// The token is older than allowed, or from the future.
    IntentStale = 23, "intent_stale";
    /// The same intent under another transaction or with other digests.
    IntentReplayed = 24, "intent_replayed";

    // policy of key and user
    /// The key was not made for this operation, coin or algorithm.
    PurposeMismatch = 30, "purpose_mismatch";
    /// RAW was not allowed by an operator.
    RawNotAllowed = 31, "raw_not_allowed";
    /// Neither a handler nor an explicit auto-approve.
    NoHandler = 32, "no_handler";
    /// The key is suspended or the peer quarantined until an operator clears it.
    Quarantined = 33, "quarantined";
    /// The transaction's fee is above the limit.
    FeeTooHigh = 34, "fee_too_high";

    // callback handler
    /// The handler said REJECT.
    Rejected = 40, "rejected";
    /// The handler's name could not be resolved.
    Dns = 41, "dns";
    /// No connection to the handler.
    Connect = 42, "connect";
    /// The handler's certificate is not trusted.
    TlsUntrusted = 43, "tls_untrusted";
    /// The handler answered with another HTTP status than 200.
    HttpStatus = 44, "http_status";
    /// The answer's signature is not one of the handler's key.
    BadSignature = 45, "bad_signature";
    /// The answer is for another request.
    RequestIdMismatch = 46, "request_id_mismatch";
    /// The answer cannot be read.
    AnswerMalformed = 47, "answer_malformed";
    /// The answer is larger than allowed.
    AnswerTooLarge = 48, "answer_too_large";
    /// The handler's address is not an allowed one.
    AddressDenied = 49, "address_denied";
    /// The handler redirected.
    Redirect = 50, "redirect";
    /// Nothing valid within the time limit.
    CallbackTimeout = 51, "callback_timeout";
    /// The handler answered IGNORE to something that is to be signed.
    ActionUnsupported = 52, "action_unsupported";
    /// The handler answered RETRY: it is asked again later.
    Retry = 53, "retry";
    /// The handler answered RETRY as often as its schedule allows: final.
    RetriesExhausted = 54, "retries_exhausted";
    /// The handler was changed or removed by operators while a request waited for it.
    HandlerChanged = 55, "handler_changed";
    /// The connection broke before the whole answer was there.
    ConnectionLost = 56, "connection_lost";
    /// The handler answered IGNORE: it has no opinion about this change.
    Ignored = 57, "ignored";
    /// The handler's certificate is not one of a pinned key.
    PinMismatch = 58, "pin_mismatch";
    /// The answer's own `exp` is over.
    AnswerExpired = 59, "answer_expired";

    // authorisation
    /// No Authorisation of the customer's co-signer over this content.
    NotAuthorised = 60, "not_authorised";
    /// The Authorisation expired.
    AuthorisationExpired = 61, "authorisation_expired";
    /// The Authorisation, or an earlier message, says something else than what was decoded here.
    Mismatch = 62, "mismatch";

    // ceremonies
    /// A party's message failed authentication in the channel: retryable, nobody blamed.
    Channel = 70, "channel";
    /// The protocol aborted and the culprit cannot be shown.
    ProtocolAborted = 71, "protocol_aborted";
    /// The protocol aborted and the named party is to blame.
    PeerMisbehaved = 72, "peer_misbehaved";
    /// The parties were told different things by the coordinator.
    CoordinatorInconsistent = 73, "coordinator_inconsistent";
    /// The execution id was used before.
    ExecutionRepeated = 74, "execution_repeated";
    /// The key is being generated.
    KeyPending = 75, "key_pending";
    /// The group is not accepted by this co-signer's operators.
    GroupNotAccepted = 76, "group_not_accepted";
    /// A message names a party that is not in the group, or itself, or one twice.
    PartyIndex = 77, "party_index";
    /// The session is over at this party, and it signed that it holds nothing of it: a new session is needed.
    SessionOver = 78, "session_over";

    // tokens, pairing, administration
    /// A token that is not valid: wrong algorithm, signature, type or claims.
    TokenInvalid = 90, "token_invalid";
    /// A token that expired.
    TokenExpired = 91, "token_expired";
    /// A single-use token that was used before.
    TokenUsed = 92, "token_used";
    /// A token that was issued in the future: a clock is off.
    ClockSkew = 93, "clock_skew";
    /// The workspace's keys are not those that the operator named.
    WorkspaceUntrusted = 94, "workspace_untrusted";
    /// The co-signer is not claimed yet: `cosigner init` first.
    NotClaimed = 95, "not_claimed";
    /// The co-signer has operators already.
    AlreadyClaimed = 96, "already_claimed";
    /// Not signed by enough operators of this co-signer.
    OperatorsRequired = 97, "operators_required";
    /// The settings changed since the command was made; make it again.
    SettingsEpoch = 98, "settings_epoch";
    /// The command's nonce is not the one of this admin connection.
    NonceUnknown = 99, "nonce_unknown";
    /// The pairing waits for an owner of the workspace.
    WaitingForOwner = 100, "waiting_for_owner";
    /// An attestation document was refused.
    AttestationRefused = 101, "attestation_refused";
    /// Sealed state could not be stored or read.
    Storage = 102, "storage";
    /// A key service refused or could not be reached.
    KeyService = 103, "key_service";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: the code, and a sentence that says what was expected and what to do. It never carries a secret.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// For people; cut to its limit.
    pub detail: Text<MAX_DETAIL_BYTES>,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: Text::cut(detail) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn texts_are_unique() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }

    #[test]
    fn t46_an_unknown_code_is_a_typed_error() {
        assert!(borsh::from_slice::<Code>(&[255]).is_err());
        assert_eq!(borsh::to_vec(&Code::Rejected).unwrap(), [40]);
    }
}
