//! Signs the requests of exchanges on threads of their own: neither the core nor what else the runtime does waits for an RSA
//! signature.

use cosigner_core::{Body, ExchangeFailure};
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::sync::Semaphore;

/// At most one signature for each core at a time; others wait.
pub(super) struct Signatures(Arc<Semaphore>);

impl Default for Signatures {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get))))
    }
}

impl Signatures {
    /// The bytes of `body`, signed where they are to be.
    pub(super) async fn body(&self, body: Body) -> Result<Vec<u8>, ExchangeFailure> {
        match body {
            Body::Plain(bytes) => Ok(bytes),
            token @ Body::Token { .. } => {
                let unsigned = |why: String| ExchangeFailure::Unavailable(format!("the request is not signed: {why}"));
                let turn = self.0.clone().acquire_owned().await.map_err(|error| unsigned(error.to_string()))?;
                let signed = tokio::task::spawn_blocking(move || {
                    // Held to the end of the work, also where nobody waits for it any more.
                    let _turn = turn;
                    token.bytes()
                });
                signed.await.map_err(|error| unsigned(error.to_string()))?.map_err(|error| unsigned(error.to_string()))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use countersign_token::{SigningKey, generate_p256, verify};

    #[tokio::test]
    async fn a_token_is_signed_and_other_bodies_are_left_alone() {
        let signatures = Signatures::default();
        let key = Arc::new(SigningKey::from_pkcs8_der(&generate_p256().unwrap()).unwrap());
        let payload = br#"{"requestId":"x"}"#.to_vec();
        let token = signatures.body(Body::Token { payload: payload.clone(), key: key.clone() }).await.unwrap();
        assert_eq!(verify(std::str::from_utf8(&token).unwrap(), key.public()).unwrap(), payload);
        assert_eq!(signatures.body(Body::Plain(payload.clone())).await.unwrap(), payload);
    }
}
