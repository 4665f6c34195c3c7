//! The AWS Key Management Service wraps the instance's root key. TLS ends here; the host, which owns the credentials,
//! signs each call, and sees what is called and the body's hash.

use crate::clock::SharedClock;
use crate::exchange::{Exchanges, PublicRoots};
use crate::frames::{LinkError, read_message, write_message};
use crate::key_service::{KeyService, KeyServiceError};
use crate::limits::{FIRST_KMS_PAUSE, KMS_ATTEMPTS, KMS_CALL_TIMEOUT, KMS_SIGNATURE_TIMEOUT};
use crate::transport::{Transport, connect};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use cosigner_core::kms::{Call, KmsError, KmsKey, MAX_ANSWER_BYTES};
use cosigner_core::{AddressRule, Attestor, Body, ExchangeFailure, ExchangeSpec, Purpose, SealingKeyAnswer, Trust};
use countersign_wire::Text;
use countersign_wire::aws_signature::{AwsCall, AwsSignature};
use countersign_wire::command::Network;
use countersign_wire::dial::Address;
use countersign_wire::host_link::Opening;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

const HTTPS_PORT: u16 = 443;
/// Private networks, in which an endpoint of a virtual network may be. The service proves itself by its certificate, and
/// what it is asked is for the measured image alone, so that an address discloses nothing.
const PRIVATE_NETWORKS: [(Address, u8); 5] = [
    (Address::V4([10, 0, 0, 0]), 8),
    (Address::V4([100, 64, 0, 0]), 10),
    (Address::V4([172, 16, 0, 0]), 12),
    (Address::V4([192, 168, 0, 0]), 16),
    (Address::V6([0xfc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 7),
];

/// The service, as this enclave reaches it.
pub struct Kms<A, T> {
    attestor: Arc<Mutex<A>>,
    transport: Arc<T>,
    clock: SharedClock,
    roots: PublicRoots,
    networks: Vec<Network>,
}

impl<A: Attestor + Send + 'static, T: Transport> Kms<A, T> {
    /// The service in production: `attestor` proves what runs here, and only Amazon's authorities are believed.
    pub fn new(attestor: A, transport: T, clock: SharedClock) -> Self {
        Self::with_roots(attestor, transport, clock, PublicRoots::amazon(), &[])
    }

    /// Believing `roots` instead, and reached in `networks`, too: for development.
    pub fn with_roots(attestor: A, transport: T, clock: SharedClock, roots: PublicRoots, networks: &[Network]) -> Self {
        let private = PRIVATE_NETWORKS.map(|(address, prefix)| Network { address, prefix });
        Self {
            attestor: Arc::new(Mutex::new(attestor)),
            transport: Arc::new(transport),
            clock,
            roots,
            networks: private.iter().chain(networks).cloned().collect(),
        }
    }

    async fn ask(&self, call: Call, key: &str, instance: [u8; 32]) -> Result<SealingKeyAnswer, KeyServiceError> {
        let key = KmsKey::parse(key)?;
        let mut pause = FIRST_KMS_PAUSE;
        let mut attempt = 1;
        loop {
            match self.ask_once(call.clone(), &key, instance).await {
                Err(error) if attempt < KMS_ATTEMPTS && may_pass(&error) => {
                    tracing::warn!(%error, attempt, "KMS is asked again");
                    tokio::time::sleep(pause).await;
                    (attempt, pause) = (attempt + 1, pause.saturating_mul(2));
                }
                ended => return ended,
            }
        }
    }

    async fn ask_once(
        &self,
        call: Call,
        key: &KmsKey,
        instance: [u8; 32],
    ) -> Result<SealingKeyAnswer, KeyServiceError> {
        let (recipient, document) = self.recipient().await?;
        let body = call.body(key, &instance, &document);
        let (host, said) = (key.host(), call.headers());
        let signed = AwsCall {
            region: Text::cut(key.region()),
            host: Text::cut(host.as_str()),
            content_type: Text::cut(said.content_type),
            target: Text::cut(said.target),
            body_sha256: Sha256::digest(&body).into(),
        };
        let mut headers = self.signature(&signed).await?;
        headers.push(("x-amz-target", said.target.to_owned()));
        let spec = ExchangeSpec {
            purpose: Purpose::KeyService,
            host: host.clone(),
            port: HTTPS_PORT,
            path: "/".into(),
            content_type: said.content_type,
            headers,
            body: Body::Plain(body),
            addresses: AddressRule { networks: self.networks.clone() },
            trust: Trust::PublicRoots,
            max_answer_bytes: MAX_ANSWER_BYTES,
            deadline_ms: u32::try_from(KMS_CALL_TIMEOUT.as_millis()).unwrap_or(u32::MAX),
            keep_alive: false,
        };
        // A client of its own for each of the few calls: it believes others than callback handlers' clients do.
        let exchanges =
            Exchanges::new(self.transport.clone(), self.clock.clone()).with_public_roots(self.roots.clone());
        let answer = exchanges.run(spec).await.outcome.map_err(|failure| KeyServiceError::Call { host, failure })?;
        Ok(call.answer(answer.status, &answer.body, &recipient)?)
    }

    /// A key pair for one call, and the document that attests it.
    async fn recipient(&self) -> Result<(PrivateDecryptingKey, Vec<u8>), KeyServiceError> {
        let attestor = self.attestor.clone();
        let made = tokio::task::spawn_blocking(move || {
            let failed = |what: &str| KeyServiceError::Service(format!("{what} failed"));
            let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(|_| failed("making an RSA key"))?;
            let public: PublicKeyX509Der<'_> =
                key.public_key().as_der().map_err(|_| failed("encoding a public key"))?;
            let mut attestor = attestor.lock().unwrap_or_else(PoisonError::into_inner);
            let document = attestor.document(&[], &[], public.as_ref());
            let document = document.map_err(|error| KeyServiceError::Service(error.to_string()))?;
            Ok((key, document))
        });
        made.await.map_err(|_| KeyServiceError::Service("an internal error".into()))?
    }

    /// The headers with which the host proves who calls. It can give wrong ones: then the service refuses.
    async fn signature(&self, call: &AwsCall) -> Result<Vec<(&'static str, String)>, KeyServiceError> {
        let asked = async {
            let mut stream = connect(&*self.transport).await?;
            write_message(&mut stream, &Opening::SignAwsCall).await?;
            write_message(&mut stream, call).await?;
            read_message::<AwsSignature>(&mut stream).await
        };
        let answer: Result<AwsSignature, LinkError> = tokio::time::timeout(KMS_SIGNATURE_TIMEOUT, asked)
            .await
            .unwrap_or(Err(LinkError::Timeout { what: "sign", within: KMS_SIGNATURE_TIMEOUT }));
        match answer.map_err(|error| KeyServiceError::Unsigned(error.to_string()))? {
            AwsSignature::Headers { authorization, date, security_token } => {
                let mut headers = vec![
                    ("authorization", authorization.as_str().to_owned()),
                    ("x-amz-date", date.as_str().to_owned()),
                ];
                if !security_token.as_str().is_empty() {
                    headers.push(("x-amz-security-token", security_token.as_str().to_owned()));
                }
                Ok(headers)
            }
            AwsSignature::Failed { detail } => Err(KeyServiceError::Unsigned(detail.as_str().to_owned())),
        }
    }
}

/// Whether the same may succeed a little later.
fn may_pass(error: &KeyServiceError) -> bool {
    match error {
        KeyServiceError::Kms(KmsError::Refused { transient, .. }) => *transient,
        KeyServiceError::Call { failure, .. } => !matches!(failure, ExchangeFailure::AddressDenied(_)),
        KeyServiceError::Unsigned(_) => true,
        _ => false,
    }
}

impl<A: Attestor + Send + 'static, T: Transport> KeyService for Kms<A, T> {
    async fn generate(&self, instance: [u8; 32], wrapping_key: &str) -> Result<SealingKeyAnswer, KeyServiceError> {
        self.ask(Call::GenerateDataKey, wrapping_key, instance).await
    }

    async fn unwrap(
        &self,
        instance: [u8; 32],
        wrapping_key: &str,
        wrapped: Vec<u8>,
    ) -> Result<SealingKeyAnswer, KeyServiceError> {
        self.ask(Call::Decrypt(wrapped), wrapping_key, instance).await
    }
}
