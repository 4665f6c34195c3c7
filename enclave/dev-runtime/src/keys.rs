//! Who wraps the root key of a development enclave.

use crate::arguments::Run;
use anyhow::{Context, Result, anyhow};
use cosigner_core::SealingKeyAnswer;
use cosigner_dev::{FileKeyProvider, SoftwareNsm};
use cosigner_enclave::clock::SharedClock;
use cosigner_enclave::exchange::PublicRoots;
use cosigner_enclave::key_service::{KeyService, KeyServiceError};
use cosigner_enclave::kms::Kms;
use cosigner_enclave::transport::Unix;
use cosigner_enclave_dev::{FileKeys, warn};
use countersign_wire::command::Network;
use countersign_wire::dial::Address;

/// Where a key service of tests is.
const LOOPBACK: Network = Network { address: Address::V4([127, 0, 0, 0]), prefix: 8 };

/// See the module.
pub enum Keys {
    /// A file.
    File(FileKeys),
    /// The key service, or whatever has a certificate of the named authority.
    Kms(Kms<SoftwareNsm, Unix>),
}

impl Keys {
    /// As the arguments say.
    pub fn new(arguments: &Run, nsm: SoftwareNsm, transport: Unix, clock: SharedClock) -> Result<Self> {
        if let Some(file) = &arguments.kms_root {
            warn("ANOTHER AUTHORITY than Amazon's is believed: whoever has its key can pass for the key service");
            let shown = || format!("--kms-root {}", file.display());
            let pem = std::fs::read(file).with_context(shown)?;
            let roots = PublicRoots::only(&pem).map_err(|why| anyhow!("{}: {why}", shown()))?;
            return Ok(Self::Kms(Kms::with_roots(nsm, transport, clock, roots, &[LOOPBACK])));
        }
        let file = arguments.key_file.as_ref().context("expected --key-file or --kms-root")?;
        Ok(Self::File(FileKeys(FileKeyProvider::load_or_create(file).context("no wrapping key")?)))
    }

    /// As the log names it.
    pub fn name(&self) -> &str {
        match self {
            Self::File(keys) => keys.0.key_id(),
            Self::Kms(_) => "KMS",
        }
    }
}

impl KeyService for Keys {
    async fn generate(&self, instance: [u8; 32], wrapping_key: &str) -> Result<SealingKeyAnswer, KeyServiceError> {
        match self {
            Self::File(keys) => keys.generate(instance, wrapping_key).await,
            Self::Kms(kms) => kms.generate(instance, wrapping_key).await,
        }
    }

    async fn unwrap(
        &self,
        instance: [u8; 32],
        wrapping_key: &str,
        wrapped: Vec<u8>,
    ) -> Result<SealingKeyAnswer, KeyServiceError> {
        match self {
            Self::File(keys) => keys.unwrap(instance, wrapping_key, wrapped).await,
            Self::Kms(kms) => kms.unwrap(instance, wrapping_key, wrapped).await,
        }
    }
}
