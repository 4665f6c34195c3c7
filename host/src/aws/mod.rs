//! Signatures for the enclave's calls of the AWS key service: the host owns the credentials, and sees of a call what is
//! signed. What it signs is limited to that service and those two operations, so that whoever takes the enclave's place at
//! the socket can do no more with these credentials than the key's policy allows this host anyway.

mod credentials;
mod signature;

pub use credentials::{CredentialsError, CredentialsSource};
pub use signature::{ServeError, Signer};
