//! What the core may use of the outside world: randomness, attestation, and nothing else.

pub use countersign_channel::Attestor;
use rand_core::{CryptoRng, RngCore};

/// The security module's randomness. Infallible by contract: a source that fails must stop the process (threat T44).
pub trait Entropy: RngCore + CryptoRng + Send {}
impl<T: RngCore + CryptoRng + Send> Entropy for T {}

/// What a [`crate::Core`] is given.
pub struct Capabilities {
    /// Randomness.
    pub entropy: Box<dyn Entropy>,
    /// Attestation documents of this enclave.
    pub attestor: Box<dyn Attestor + Send>,
    /// Whose documents are believed.
    pub anchor: countersign_attest::TrustAnchor,
    /// The own measurements, as the security module says.
    pub measurements: countersign_wire::command::Measurements,
    /// Software version.
    pub version: &'static str,
    /// Committed primes for development, taken instead of a search. Always `None` in the production binary.
    pub given_primes: Option<countersign_mpc::Primes>,
}
