//! The deterministic simulator.
//!
//! | file | what it simulates |
//! |---|---|
//! | `world.rs` | time, the order of events, and what each effect of a core leads to |
//! | `cosigner.rs` | one co-signer: a real core, its host's disk, its worker's machines |
//! | `faults.rs` | the hostile host and network: drop, repeat, delay, tamper, replay, cross-wire, crash |
//! | `key_service.rs` | the key service that wraps root keys, in order or at fault |
//! | `workspace.rs` | the workspace: the real coordinator, its storage, its pairing endpoints |
//! | `people.rs` | operators, clients and callback handlers |
//! | `scheme.rs` | a threshold scheme without security, whose signatures are real ones |
//! | `malicious.rs` | parties whose machines lie, send garbage or say nothing |
//! | `hostile.rs` | a workspace that says what a test wants |
//! | `scenario.rs` | a claimed, paired group with a key, from which runs start |

mod cosigner;
mod faults;
mod hostile;
mod key_service;
mod malicious;
mod people;
mod scenario;
mod scheme;
mod workspace;
mod world;

pub use cosigner::{SimulatedCosigner, measurements};
pub use faults::{FaultKind, Faults};
pub use hostile::{Answer, SECOND_WORKSPACE, session};
pub use key_service::{KeyServiceFault, SimulatedKeyService, unwrapped};
pub use malicious::{Echoing, Fault, Faulty};
pub use people::{Client, RETRY, SimulatedHandler};
pub use scenario::{Base, GROUP, KEY, Setting, SimulatedCli, VAULT, add_user, eip191, path, path_of, purpose};
pub use scheme::{Signed, SimulatedScheme};
pub use workspace::{Keys, SimulatedWorkspace};
pub use world::{PRIMES_MS, START_MS, World};
