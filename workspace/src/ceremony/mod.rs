//! The ceremony coordinator: a state machine without I/O, clock or randomness of its own.
//!
//! [`Coordinator::step`] takes the time, a source of randomness and one [`Input`], and returns [`Effect`]s. Who drives it
//! makes every [`Effect::Persist`] of a step durable before it performs any [`Effect::Send`] of that step; then the
//! coordinator can be killed at any moment and rebuilt from the [`Snapshot`] of what was persisted.
//!
//! Messages may be lost, repeated, delayed and reordered: what is not answered is sent again, with back-off, until its
//! deadline. One file a ceremony:
//!
//! | file | ceremony |
//! |---|---|
//! | `group.rs` | a proposed group becomes READY: acceptance by all parties, auxiliary information |
//! | `keygen.rs` | a key becomes READY |
//! | `agreement/` | what both share: Prepare → Ready → Start → Held → Durable → published, or a retry |
//! | `signing/` | a transaction: Authorisation, then a session for each digest (`session.rs`), then exactly one outcome |
//! | `certify.rs` | a key certificate for a vault account's asset |
//! | `change/` | a configuration change: an API user's signed word about it, then, for a handler, its operators' |

mod agreement;
pub(crate) mod attempts;
mod authorisation;
mod certify;
mod change;
mod context;
mod coordinator;
mod group;
mod keygen;
mod messages;
mod parties;
mod record;
mod record_v1;
mod retry;
mod routing;
mod session;
mod settings;
mod signing;
mod suspicion;
mod timers;
mod users;

#[cfg(test)]
pub(crate) mod tests;

pub use attempts::{Attempts, MAX_ATTEMPTS};
pub use change::{Approver, CHANGE_LIFE_MS, ChangeRecord, ChangeStatus, Payload};
pub use context::PublicChecks;
pub use coordinator::{Coordinator, UnknownGroup};
pub use messages::{Effect, Input, Kind, Report};
pub use parties::{Parties, PartyView};
pub use record::{
    AgreementPhase, AgreementRecord, AuditNote, CertificateRecord, Dropped, GroupRecord, GroupStatus, KeyRecord,
    MAX_SERIES_MS, Record, Snapshot, TransactionRecord, TransactionStatus,
};
pub use settings::Settings;
pub use users::CosignerUsers;
