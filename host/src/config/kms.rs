//! Table `[kms]`.

use serde::Deserialize;
use std::net::SocketAddr;

/// Table `[kms]`: the enclave's calls of the AWS key service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kms {
    /// Whose calls they are.
    pub credentials: KmsCredentials,
    /// Where this machine's metadata service is.
    pub metadata_service: SocketAddr,
}

impl Default for Kms {
    fn default() -> Self {
        Self { credentials: KmsCredentials::None, metadata_service: SocketAddr::from(([169, 254, 169, 254], 80)) }
    }
}

/// Where the credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KmsCredentials {
    /// Nowhere: calls are not signed.
    None,
    /// From the environment.
    Environment,
    /// From the machine's role.
    InstanceRole,
}
