//! What a client asks to be signed, and what it gets.

use crate::error::StackError;
use crate::ethereum::{ApiSignature, BadSignature, eip191_digest};
use alloy_primitives::{Address, B256};
use serde_json::{Value, json};

/// A transaction to ask for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Its body.
    pub body: Value,
    contents: Vec<String>,
    digests: Vec<B256>,
}

impl Ask {
    fn new(operation: &str, vault: u32, messages: Vec<Value>, contents: Vec<String>, digests: Vec<B256>) -> Self {
        let body = json!({
            "operation": operation, "assetId": "ETH", "source": { "type": "VAULT_ACCOUNT", "id": vault.to_string() },
            "externalTxId": uuid::Uuid::new_v4().to_string(),
            "extraParameters": { "rawMessageData": { "messages": messages } },
        });
        Self { body, contents, digests }
    }

    /// A message in the envelope of EIP-191.
    pub fn message(vault: u32, message: &[u8]) -> Self {
        let content = hex::encode(message);
        let messages = vec![json!({ "content": content, "type": "EIP191" })];
        Self::new("TYPED_MESSAGE", vault, messages, vec![content], vec![eip191_digest(message)])
    }

    /// Bare hashes.
    pub fn raw(vault: u32, digests: &[B256]) -> Self {
        let contents: Vec<String> = digests.iter().map(hex::encode).collect();
        let messages = contents.iter().map(|content| json!({ "content": content })).collect();
        Self::new("RAW", vault, messages, contents, digests.to_vec())
    }

    /// With a note.
    #[must_use]
    pub fn note(mut self, note: &str) -> Self {
        self.body["note"] = note.into();
        self
    }

    /// With another id of the client's own; `None`: without one.
    #[must_use]
    pub fn external_id(mut self, id: Option<&str>) -> Self {
        match (id, self.body.as_object_mut()) {
            (Some(id), _) => self.body["externalTxId"] = id.into(),
            (None, Some(body)) => drop(body.remove("externalTxId")),
            (None, None) => {}
        }
        self
    }

    /// The signatures of the completed transaction: one over each digest, in order, by `address`, as other people's code
    /// sees it.
    pub fn verify(&self, transaction: &Value, address: Address) -> Result<Vec<ApiSignature>, StackError> {
        let unexpected =
            |expected: &str| StackError::Unexpected { expected: expected.into(), got: outcome(transaction) };
        if transaction["status"] != "COMPLETED" {
            return Err(unexpected("COMPLETED"));
        }
        let messages = transaction["signedMessages"].as_array().map(Vec::as_slice).unwrap_or_default();
        if messages.len() != self.digests.len() {
            return Err(unexpected("a signature for each message"));
        }
        let one = |((message, content), digest): ((&Value, &String), &B256)| -> Result<ApiSignature, BadSignature> {
            let signature = ApiSignature::parse(message)?;
            signature.is_over(content)?;
            signature.verify(*digest, address)?;
            Ok(signature)
        };
        let signatures: Result<Vec<_>, _> = messages.iter().zip(&self.contents).zip(&self.digests).map(one).collect();
        Ok(signatures?)
    }

    /// That the transaction ended without a signature for this reason (a stable code). Returns the sentence.
    pub fn verify_refused(&self, transaction: &Value, code: &str) -> Result<String, StackError> {
        let ended =
            ["REJECTED", "FAILED", "BLOCKED", "CANCELLED", "TIMEOUT"].iter().any(|s| transaction["status"] == *s);
        if !ended || transaction["rejection"]["code"] != code || transaction["signedMessages"] != json!([]) {
            let expected = format!("an end without a signature, for {code}");
            return Err(StackError::Unexpected { expected, got: outcome(transaction) });
        }
        Ok(transaction["rejection"]["detail"].as_str().unwrap_or_default().to_owned())
    }
}

/// How a transaction ended, in one line.
pub fn outcome(transaction: &Value) -> String {
    let parts = ["id", "status", "subStatus", "rejection"].map(|member| transaction[member].to_string());
    format!("{}, {} signed", parts.join(" "), transaction["signedMessages"].as_array().map_or(0, Vec::len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_without_signatures_for_the_right_reason_is_a_refusal() {
        let ask = Ask::message(0, b"x").note("n");
        let with = |status: &str, code: &str, signed: Value| {
            ask.verify_refused(
                &json!({"status": status, "rejection": {"code": code, "detail": "d"}, "signedMessages": signed}),
                "no_handler",
            )
        };
        assert_eq!(with("REJECTED", "no_handler", json!([])).unwrap(), "d");
        assert!(with("REJECTED", "timeout", json!([])).is_err());
        assert!(with("QUEUED", "no_handler", json!([])).is_err());
        assert!(with("REJECTED", "no_handler", json!([{}])).is_err());
    }

    #[test]
    fn a_transaction_without_all_its_signatures_is_not_verified() {
        let ask = Ask::raw(0, &[B256::ZERO]);
        assert!(ask.verify(&json!({"status": "COMPLETED", "signedMessages": []}), Address::ZERO).is_err());
        assert!(ask.verify(&json!({"status": "REJECTED", "signedMessages": []}), Address::ZERO).is_err());
    }
}
