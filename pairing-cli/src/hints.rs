//! What to do about a refusal.

use countersign_wire::refusal::Code;

/// Nobody listens at the admin socket.
pub const CONNECT: &str = "check that cosigner-host runs and that --socket names its admin socket; from a workstation \
    forward it: ssh -N -L /tmp/cosigner.sock:<admin socket> <parent machine>";

/// The hint for each code. Exhaustive: a new code does not compile without one.
pub fn for_code(code: Code) -> &'static str {
    match code {
        Code::Malformed => {
            "this command and the co-signer may be of different versions: compare `cosigner --version` with `cosigner get-status`"
        }
        Code::Conflict => {
            "something else exists under this id, and it is not replaced: look at `cosigner list-users` and `cosigner get-status`; what you meant may be done already, otherwise name another one"
        }
        Code::NotFound => {
            "list what there is: `cosigner get-status`, `list-users`, `list-keys`, `group list`, `initiator list`"
        }
        Code::NotAllowed => "this co-signer's role or settings do not permit it: see `cosigner get-status`",
        Code::Busy => "a limit is reached: try again in a moment",
        Code::Timeout => "the co-signer ran out of time: check that its host reaches the workspace, then try again",
        Code::Internal => "look into the log of the co-signer's host, then try again",
        Code::NotYet => "something is still being prepared: watch `cosigner get-status` and try again",
        Code::Cancelled => "it was cancelled by the workspace: try again",
        Code::IntentMissing | Code::IntentUntrusted => {
            "give the client's public key: `cosigner initiator add --user <API user> --key <public key PEM>`"
        }
        Code::IntentMismatch => {
            "the client's token does not fit its request: check what changes requests between client and workspace"
        }
        Code::IntentStale => "the client's request is too old, or its clock is off: send a new one",
        Code::IntentReplayed => "this request was used before: send a new one",
        Code::PurposeMismatch => "the key was not made for this operation: make one that is",
        Code::RawNotAllowed => {
            "RAW is off for this API user: it can be allowed only when the user is added, with --allow-raw"
        }
        Code::NoHandler => {
            "the API user has no callback handler: everything is refused until it has one, `cosigner callback set <user>`"
        }
        Code::Quarantined => {
            "find out why with `cosigner list-keys`; once the cause is gone: `cosigner key clear-quarantine --key <id>`"
        }
        Code::FeeTooHigh => {
            "the transaction may cost more in fees than is allowed: send it with a lower fee or gas limit"
        }
        Code::Rejected => "the callback handler said no: ask whoever runs it",
        Code::Dns => "the name cannot be resolved: check the URL and the host's name servers",
        Code::Connect => {
            "no connection: check URL, port and the host's firewall; a private address also needs --callback-network or --workspace-network"
        }
        Code::TlsUntrusted => {
            "the server's certificate is not trusted: give its certificate authority with --callback-ca or --workspace-ca, and check that nothing ends TLS in between"
        }
        Code::HttpStatus => "the server answered with an error: look into its log",
        Code::BadSignature => {
            "the handler's answer is signed with none of the keys that you gave: see `cosigner callback show`; a new key comes in with `cosigner callback rotate-key`"
        }
        Code::RequestIdMismatch | Code::AnswerMalformed | Code::AnswerTooLarge => {
            "the server does not speak the protocol: check that the URL is the right one"
        }
        Code::AddressDenied => {
            "the address is not a public one: allow its network with --callback-network or --workspace-network"
        }
        Code::Redirect => "redirects are not followed: give the final URL",
        Code::CallbackTimeout => {
            "the handler did not answer in time: check it, or give it longer: `cosigner callback update <user> --callback-timeout`"
        }
        Code::ActionUnsupported => {
            "the handler gave an answer that does not exist here: it must say APPROVE, REJECT or RETRY; IGNORE is for configuration changes alone"
        }
        Code::AnswerExpired => {
            "the answer's own `exp` was over when it came: compare the handler's clock with the true time, or have it answer without `exp`"
        }
        Code::Retry => "the handler wants to be asked again later, and will be",
        Code::RetriesExhausted => {
            "the handler answered RETRY to the end of its schedule: see `cosigner callback show`; a longer one: `cosigner callback update <user> --callback-retry-times`"
        }
        Code::HandlerChanged => "the handler was changed while the request waited: send the request again",
        Code::ConnectionLost => {
            "the connection broke in the middle of the answer: look into the handler's log, and at proxies and time limits in front of it"
        }
        Code::Ignored => {
            "the handler has no opinion about this change, and nobody else decides, so the change failed: make the handler answer APPROVE or REJECT for changes of this kind, then ask again"
        }
        Code::PinMismatch => {
            "the server's certificate is of another key than the pinned ones: if its owner says that it is the new one, `cosigner callback rotate-pin <user>`; otherwise somebody else ends TLS"
        }
        Code::NotAuthorised | Code::AuthorisationExpired | Code::Mismatch => {
            "the request does not fit what was approved: send it again; if this repeats, the workspace is not to be trusted"
        }
        Code::Channel => "a message was altered on its way: try again; if this repeats, look at host and network",
        Code::ProtocolAborted => "try again; if this repeats, look at `cosigner list-keys`",
        Code::PeerMisbehaved => {
            "a party of the group broke the protocol: see `cosigner list-keys` and talk to whoever runs it"
        }
        Code::CoordinatorInconsistent => {
            "the workspace told the parties different things: it is faulty or not to be trusted"
        }
        Code::ExecutionRepeated | Code::SessionOver => "try again",
        Code::KeyPending => "the key is being generated: watch `cosigner list-keys`",
        Code::GroupNotAccepted => "look at the group with `cosigner group list`, then `cosigner group accept`",
        Code::PartyIndex => "the workspace proposed a wrong set of parties: it is faulty or not to be trusted",
        Code::TokenInvalid => "get a new pairing token from the workspace and pass it unchanged",
        Code::TokenExpired => "pairing tokens live for an hour: get a new one from the workspace",
        Code::TokenUsed => {
            "pairing tokens work once. If an earlier `add-user` was interrupted it may have succeeded: look at `cosigner list-users`; if the user is not there, get a new token from the workspace"
        }
        Code::ClockSkew => "a clock is off: compare the workspace's time with `cosigner get-status`",
        Code::WorkspaceUntrusted => {
            "the workspace has other keys than you named: ask its owner for the fingerprint, over another way, and check --workspace-key"
        }
        Code::NotClaimed => "claim the co-signer first: `cosigner init`",
        Code::AlreadyClaimed => {
            "somebody claimed it already: if that was not you, do not use this enclave; start a fresh one"
        }
        Code::OperatorsRequired => "more operators must sign: pass --operator-key once for each of them",
        Code::SettingsEpoch => {
            "the settings were changed by somebody else meanwhile: look at `cosigner get-status`, then run the command again"
        }
        Code::NonceUnknown => "the connection was replaced: run the command again",
        Code::WaitingForOwner => {
            "an owner of the workspace has to approve the pairing there; then run the command again"
        }
        Code::AttestationRefused => {
            "the workspace does not accept what this enclave proves: its configuration needs these measurements under [trust], see `cosigner attestation show`, and for a development enclave [trust] development_root with exactly this root"
        }
        Code::Storage => "the co-signer cannot store its sealed state: look into the log of its host",
        Code::KeyService => {
            "the key service refused or cannot be reached: check --sealing-key, its policy and the host's network"
        }
    }
}

/// What to do about a call of a handler that ended so; `USER` stands for the API user. What is not about handlers is as in
/// [`for_code`].
pub fn for_handler(code: Code) -> &'static str {
    match code {
        Code::NoHandler => "describe the handler: `cosigner callback set USER --callback-url …`",
        Code::Dns => {
            "the handler's name cannot be resolved: check the URL, and the name servers of the co-signer's host; another URL: `cosigner callback update USER --callback-url …`"
        }
        Code::AddressDenied => {
            "the handler's address is not a public one: if it is right, allow its network: `cosigner callback update USER --callback-network CIDR`"
        }
        Code::Connect => {
            "nobody listens there, or a firewall is between: check the URL's port and the outbound rules (or the proxy) of the co-signer's host"
        }
        Code::TlsUntrusted => {
            "the handler's certificate is not trusted: it must be for the URL's host name, in date, with its chain, and issued by a public authority or by the one of --callback-ca; check that nothing ends TLS in between"
        }
        Code::PinMismatch => {
            "the handler shows a certificate of another key than the pinned ones: if its owner confirms the new one over another way, `cosigner callback rotate-pin USER --certificate FILE`; otherwise somebody else ends TLS"
        }
        Code::HttpStatus => {
            "the handler answered with another status than 200: look into its log; the paths are /v2/tx_sign_request with keys and /tx_sign_request without, below the URL"
        }
        Code::Redirect => {
            "redirects are not followed: `cosigner callback update USER --callback-url` with the final URL"
        }
        Code::CallbackTimeout => {
            "the handler took too long: look into its log, or give it longer: `cosigner callback update USER --callback-timeout 60s`"
        }
        Code::ConnectionLost => {
            "the connection broke in the middle of the answer: look into the handler's log, and at proxies and time limits in front of it"
        }
        Code::BadSignature => {
            "the answer is signed with none of the handler's keys, or with another algorithm than theirs: compare the handler's key with `cosigner callback show USER`; bring a new one in with `cosigner callback rotate-key USER --key FILE`"
        }
        Code::RequestIdMismatch => {
            "the answer is for another request: the handler must repeat `requestId` from the request that it answers, and caches must not answer for it"
        }
        Code::AnswerMalformed => {
            "the answer is not what the protocol says: with keys a token signed by the handler, without keys JSON, with `action` and `requestId`; see docs/callback-handler.md"
        }
        Code::AnswerTooLarge => {
            "the answer is larger than 16 KiB: check that the URL is the handler's and not some web page's"
        }
        Code::ActionUnsupported => {
            "the handler answered an `action` that does not exist here: APPROVE, REJECT or RETRY (and IGNORE for configuration changes)"
        }
        other => for_code(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_hint_of_one_line() {
        for code in Code::ALL {
            let hint = for_code(*code);
            assert!(!hint.is_empty() && !hint.contains('\n'), "{code}");
            let hint = for_handler(*code);
            assert!(!hint.is_empty() && !hint.contains('\n'), "{code}");
        }
    }
}
