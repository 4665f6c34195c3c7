//! AWS Signature Version 4, by AWS's own crate.

use super::{CredentialsError, CredentialsSource};
use crate::framing::{FramingError, ReadLimits, read_frame, write_frame};
use crate::stream::Stream;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use countersign_wire::aws_signature::{AwsCall, AwsSignature};
use countersign_wire::{DecodeError, Message, Text};
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;

const SERVICE: &str = "kms";
const TARGETS: [&str; 2] = ["TrentService.GenerateDataKey", "TrentService.Decrypt"];
/// Time for the enclave to say what it calls, and to take the answer.
const FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call was not signed.
#[derive(Debug, thiserror::Error)]
enum SignError {
    #[error("expected GenerateDataKey or Decrypt of the key service in its own region, got {target} at {host}")]
    NotTheKeyService { target: String, host: String },
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("the signature could not be made: {0}")]
    Signing(String),
}

/// Why a connection ended without an answer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The enclave's frames were not readable, or did not come in time.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// It asked for something else.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Signs calls with the credentials of one source.
#[derive(Debug, Clone, Copy)]
pub struct Signer {
    source: CredentialsSource,
}

impl Signer {
    /// With the credentials of `source`, read for each call.
    pub fn new(source: CredentialsSource) -> Self {
        Self { source }
    }

    /// Serves one connection: one call, one answer. `_place` is given back at its end.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve(&self, mut stream: Stream, _place: OwnedSemaphorePermit) -> Result<(), ServeError> {
        let limits = ReadLimits { max_bytes: AwsCall::MAX_BYTES, first_byte: Some(FRAME_TIMEOUT), rest: FRAME_TIMEOUT };
        let Some(payload) = read_frame(&mut stream, limits).await? else { return Ok(()) };
        let call = AwsCall::decode(&payload)?;
        let answer = self.sign(&call, SystemTime::now()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a call of the key service is not signed");
            AwsSignature::Failed { detail: Text::cut(error.to_string()) }
        });
        write_frame(&mut stream, &answer.encode(), FRAME_TIMEOUT).await?;
        Ok(stream.flush().await.map_err(FramingError::Io)?)
    }

    async fn sign(&self, call: &AwsCall, now: SystemTime) -> Result<AwsSignature, SignError> {
        check(call)?;
        let identity = self.source.read().await?.into();
        let failed = |error: &dyn std::fmt::Display| SignError::Signing(error.to_string());
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&call.region)
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(&error))?;
        let headers = [("host", &*call.host), ("content-type", &*call.content_type), ("x-amz-target", &*call.target)];
        let hash = call.body_sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let uri = format!("https://{}/", &*call.host);
        let request = SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Precomputed(hash))
            .map_err(|error| failed(&error))?;
        let (instructions, _) = sign(request, &params.into()).map_err(|error| failed(&error))?.into_parts();
        let header = |name: &str| {
            let found = instructions.headers().find(|(header, _)| header.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let too_long = |_| failed(&"a header is longer than any should be");
        Ok(AwsSignature::Headers {
            authorization: Text::new(header("authorization")).map_err(too_long)?,
            date: Text::new(header("x-amz-date")).map_err(too_long)?,
            security_token: Text::new(header("x-amz-security-token")).map_err(too_long)?,
        })
    }
}

fn check(call: &AwsCall) -> Result<(), SignError> {
    let hosts = ["amazonaws.com", "amazonaws.com.cn"].map(|suffix| format!("{SERVICE}.{}.{suffix}", &*call.region));
    if TARGETS.contains(&&*call.target) && hosts.contains(&call.host.to_string()) {
        return Ok(());
    }
    Err(SignError::NotTheKeyService { target: call.target.to_string(), host: call.host.to_string() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn call() -> AwsCall {
        AwsCall {
            region: Text::cut("eu-central-1"),
            host: Text::cut("kms.eu-central-1.amazonaws.com"),
            content_type: Text::cut("application/x-amz-json-1.1"),
            target: Text::cut("TrentService.Decrypt"),
            body_sha256: [7; 32],
        }
    }

    #[test]
    fn t42_nothing_but_the_two_operations_of_the_key_service_is_signed() {
        assert!(check(&call()).is_ok());
        for bad in [
            AwsCall { target: Text::cut("TrentService.ReEncrypt"), ..call() },
            AwsCall { target: Text::cut("TrentService.Encrypt"), ..call() },
            AwsCall { target: Text::cut("TrentService.PutKeyPolicy"), ..call() },
            AwsCall { host: Text::cut("iam.amazonaws.com"), ..call() },
            AwsCall { host: Text::cut("kms.us-east-1.amazonaws.com"), ..call() },
            AwsCall { host: Text::cut("kms.eu-central-1.amazonaws.com.evil.example"), ..call() },
        ] {
            assert!(matches!(check(&bad), Err(SignError::NotTheKeyService { .. })), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn without_credentials_the_enclave_is_told_so() {
        let refused = Signer::new(CredentialsSource::None).sign(&call(), SystemTime::now()).await.unwrap_err();
        assert!(refused.to_string().contains("[kms] credentials"), "{refused}");
    }
}
