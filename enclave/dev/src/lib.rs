//! Development parts of a co-signer. They give the trusted core everything that a security module and a key-management
//! service give it in production, with nothing behind it that keeps a secret from the machine's owner.
//!
//! The production binary does not reach this crate; the dependency rules that CI checks say so. What these parts make is
//! recognisable: documents lead to a root made at run time, which only a verifier that was told so accepts
//! ([`countersign_attest::TrustAnchor::development`]).

mod document;
mod error;
mod fixtures;
mod key_file;
mod measure;
mod nsm;
mod parts;
mod private_file;
mod resigned;
mod root;
mod scheme;

pub use document::{DocumentContent, DocumentSigner};
pub use error::DevError;
pub use fixtures::{test_aux_info, test_primes};
pub use key_file::{FileKeyProvider, NewDataKey, WRAPPED_KEY_BYTES};
pub use measure::measure_executable;
pub use nsm::SoftwareNsm;
pub use parts::{DevelopmentParts, MAX_PARTS_BYTES, PARTS_PORT};
pub use resigned::ResigningNsm;
pub use root::{CERTIFICATE_FILE, DevelopmentRoot, KEY_FILE};
pub use scheme::WithTestAuxInfo;
