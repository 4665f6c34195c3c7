//! What the two development binaries share: `cosigner-enclave-dev`, a plain process, and `cosigner-enclave-dev-image`, the
//! program of the development image.

mod file_keys;
mod material;
mod warn;

pub use file_keys::FileKeys;
pub use material::Material;
pub use warn::warn;
