/// Deadlines and limits of the coordinator. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a client's transaction waits for the customer's Authorisation.
    pub authorise_ms: u64,
    /// One signing session; half of it for Prepare.
    pub sign_session_ms: u64,
    /// One key generation session; half of it for Prepare.
    pub keygen_session_ms: u64,
    /// One auxiliary information session; half of it for Prepare.
    pub aux_session_ms: u64,
    /// How long after a group was accepted its parties are asked for auxiliary information although none said that it
    /// is ready for it.
    pub aux_poll_ms: u64,
    /// How long a key certificate is asked for.
    pub certify_ms: u64,
    /// How long a key generation that could not start is tried before the key is in ERROR.
    pub keygen_give_up_ms: u64,
    /// After a session's deadline, how long until the parties are asked what they hold.
    pub resolve_margin_ms: u64,
    /// After an Authorisation ran out, how long stored signatures are still asked for.
    pub recover_ms: u64,
    /// First wait before a message is sent again; doubles each time.
    pub resend_first_ms: u64,
    /// Longest such wait.
    pub resend_longest_ms: u64,
    /// How often a co-signer is asked again that tells by itself: whose handler answered RETRY or is asked about a change.
    pub series_poll_ms: u64,
    /// First wait before an ended session is tried again; doubles each time.
    pub retry_first_ms: u64,
    /// Longest such wait.
    pub retry_longest_ms: u64,
    /// Longest such wait for auxiliary information, which is expensive.
    pub aux_retry_longest_ms: u64,
    /// Sessions that a key generation may take before the key is in ERROR.
    pub keygen_attempts: u32,
    /// Sessions that one digest may take.
    pub sign_attempts: u32,
    /// Signing sessions that run at one time; more wait in order. Each takes about a second of one core at every party,
    /// and all that run together have to end before the deadline of each: as many as two cores do in a fraction of it.
    pub max_sign_sessions: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authorise_ms: 600_000,
            sign_session_ms: 30_000,
            keygen_session_ms: 60_000,
            aux_session_ms: 600_000,
            aux_poll_ms: 60_000,
            certify_ms: 30_000,
            keygen_give_up_ms: 300_000,
            resolve_margin_ms: 2_000,
            recover_ms: 60_000,
            resend_first_ms: 1_000,
            resend_longest_ms: 15_000,
            series_poll_ms: 600_000,
            retry_first_ms: 500,
            retry_longest_ms: 30_000,
            aux_retry_longest_ms: 300_000,
            keygen_attempts: 5,
            sign_attempts: 30,
            max_sign_sessions: 8,
        }
    }
}
