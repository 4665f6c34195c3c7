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

/// What cores of unit tests are given: this randomness, and no documents.
#[cfg(test)]
pub(crate) fn without_documents(entropy: impl Entropy + 'static) -> Capabilities {
    use countersign_channel::AttestorError;
    use countersign_wire::command::Measurements;

    struct NoDocuments;

    impl Attestor for NoDocuments {
        fn document(&mut self, _: &[u8], _: &[u8], _: &[u8]) -> Result<Vec<u8>, AttestorError> {
            Err(AttestorError { detail: "none here".into() })
        }
    }

    Capabilities {
        entropy: Box::new(entropy),
        attestor: Box::new(NoDocuments),
        anchor: countersign_attest::TrustAnchor::aws(),
        measurements: Measurements { pcr0: [1; 48], pcr1: [2; 48], pcr2: [3; 48], pcr8: None },
        version: "test",
        given_primes: None,
    }
}
