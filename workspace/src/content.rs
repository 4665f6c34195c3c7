//! What a client's transaction asks for, read out of its raw body.
//!
//! Co-signers read the same bytes for themselves and are as strict: what is not understood completely is refused here,
//! with a sentence for the client, before anybody is asked.

use crate::asset::{self, Asset};
use countersign_token::strict_json;
use countersign_wire::key::{Algorithm, Operation};
use countersign_wire::limits::{MAX_DIGESTS, MAX_NAME_BYTES};
use countersign_wire::transaction::Digest;
use serde::Deserialize;
use sha3::{Digest as _, Keccak256};

/// Longest note in bytes.
pub const MAX_NOTE_BYTES: usize = 4 * 1024;

/// A transaction's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What is asked.
    pub operation: Operation,
    /// For which asset.
    pub asset: Asset,
    /// Of which vault account.
    pub vault_account: u32,
    /// The client's note.
    pub note: Option<String>,
    /// The client's own id for it.
    pub external_tx_id: Option<String>,
    /// The messages, each as the client wrote it and as the digest that is signed for it.
    pub messages: Vec<(String, Digest)>,
}

/// A body that is not a transaction of this workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ContentError(String);

fn refused<T>(detail: impl Into<String>) -> Result<T, ContentError> {
    Err(ContentError(detail.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[allow(dead_code)]
struct Body {
    operation: String,
    asset_id: String,
    source: Source,
    note: Option<String>,
    external_tx_id: Option<String>,
    extra_parameters: ExtraParameters,
    // What client libraries send along, and what means nothing for these operations: only its form is looked at.
    customer_ref_id: Option<Plain>,
    fee_level: Option<Plain>,
    fail_on_low_fee: Option<Plain>,
    treat_as_gross_amount: Option<Plain>,
    force_sweep: Option<Plain>,
    use_gasless: Option<Plain>,
}

#[derive(Deserialize)]
#[serde(untagged)]
#[allow(dead_code)]
enum Plain {
    Text(String),
    Flag(bool),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    r#type: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExtraParameters {
    raw_message_data: RawMessageData,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessageData {
    messages: Vec<Message>,
    algorithm: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    content: String,
    r#type: Option<String>,
    #[serde(rename = "bip44AddressIndex", alias = "bip44addressIndex")]
    index: Option<u32>,
    #[serde(rename = "bip44change")]
    change: Option<u32>,
    #[serde(rename = "derivationPath")]
    path: Option<Vec<u32>>,
}

/// Reads a body.
///
/// # Errors
/// It is not a transaction; the sentence says what was expected.
pub fn read(body: &[u8]) -> Result<Content, ContentError> {
    let body: Body = match strict_json::from_slice(body) {
        Ok(body) => body,
        Err(e) => return refused(format!("the body cannot be read: {e}")),
    };
    let operation = match body.operation.as_str() {
        "RAW" => Operation::Raw,
        "TYPED_MESSAGE" => Operation::TypedMessage,
        other => return refused(format!("expected the operation RAW or TYPED_MESSAGE, got {other:?}")),
    };
    let Some(asset) = asset::find(&body.asset_id) else {
        return refused(format!("asset {:?} is not supported", body.asset_id));
    };
    let vault_account = vault_account(&body.source)?;
    let data = body.extra_parameters.raw_message_data;
    let expected = Algorithm::EcdsaSecp256k1.as_str();
    if data.algorithm.as_deref().is_some_and(|algorithm| algorithm != expected) {
        return refused(format!("expected rawMessageData.algorithm to be {expected} or absent"));
    }
    if !(1..=MAX_DIGESTS).contains(&data.messages.len()) {
        return refused(format!("expected 1 to {MAX_DIGESTS} messages, got {}", data.messages.len()));
    }
    check_length("note", body.note.as_deref(), MAX_NOTE_BYTES)?;
    check_length("externalTxId", body.external_tx_id.as_deref(), MAX_NAME_BYTES)?;
    if body.external_tx_id.as_deref() == Some("") {
        return refused("expected an externalTxId that is not empty, or none");
    }
    let mut messages = Vec::new();
    for message in data.messages {
        check_path(&message, &asset, vault_account)?;
        let digest = digest(operation, &message)?;
        messages.push((message.content, digest));
    }
    Ok(Content { operation, asset, vault_account, note: body.note, external_tx_id: body.external_tx_id, messages })
}

fn check_length(name: &str, value: Option<&str>, max: usize) -> Result<(), ContentError> {
    match value {
        Some(value) if value.len() > max => {
            refused(format!("expected {name} of at most {max} bytes, got {}", value.len()))
        }
        _ => Ok(()),
    }
}

/// A vault account's number, written in one way only.
fn vault_account(source: &Source) -> Result<u32, ContentError> {
    if source.r#type != "VAULT_ACCOUNT" {
        return refused(format!("expected a source of type VAULT_ACCOUNT, got {:?}", source.r#type));
    }
    match source.id.parse::<u32>() {
        Ok(number) if number.to_string() == source.id => Ok(number),
        _ => refused(format!("expected the id of a vault account such as \"0\", got {:?}", source.id)),
    }
}

/// A vault account has one address an asset so far: the path follows from both.
fn check_path(message: &Message, asset: &Asset, vault_account: u32) -> Result<(), ContentError> {
    let path = asset.path(vault_account).map_err(|e| ContentError(format!("vault account: {e}")))?;
    if message.change.unwrap_or(0) != 0 || message.index.unwrap_or(0) != 0 {
        return refused("expected bip44change and bip44AddressIndex to be 0 or absent: an asset has one address");
    }
    if message.path.as_deref().is_some_and(|given| given != path.elements()) {
        return refused(format!("expected derivationPath to be {path} or absent"));
    }
    Ok(())
}

fn digest(operation: Operation, message: &Message) -> Result<Digest, ContentError> {
    let bytes = hex::decode(&message.content);
    match (operation, message.r#type.as_deref(), bytes) {
        (Operation::Raw, None, Ok(bytes)) => match Digest::try_from(bytes) {
            Ok(digest) => Ok(digest),
            Err(bytes) => refused(format!("expected the content of a RAW message to be 32 bytes, got {}", bytes.len())),
        },
        (Operation::Raw, Some(_), _) => refused("expected a message of a RAW transaction to have no type"),
        (Operation::TypedMessage, Some("EIP191"), Ok(bytes)) => Ok(eip191(&bytes)),
        (Operation::TypedMessage, Some("EIP191") | None, Err(_)) | (Operation::Raw, None, Err(_)) => {
            refused("expected the content of a message to be hexadecimal digits without a prefix")
        }
        (Operation::TypedMessage, got, _) => {
            refused(format!("expected the type of a message to be EIP191, got {got:?}"))
        }
    }
}

/// The digest of ERC-191, version 0x45.
fn eip191(message: &[u8]) -> Digest {
    let mut hash = Keccak256::new();
    hash.update(format!("\x19Ethereum Signed Message:\n{}", message.len()));
    hash.update(message);
    hash.finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn body() -> Value {
        json!({
            "operation": "TYPED_MESSAGE", "assetId": "ETH", "source": {"type": "VAULT_ACCOUNT", "id": "3"},
            "note": "hello", "externalTxId": "a-1", "feeLevel": "HIGH", "treatAsGrossAmount": false,
            "extraParameters": {"rawMessageData": {"messages": [{"content": hex::encode("hello"), "type": "EIP191"}]}},
        })
    }

    fn with(path: &str, value: Value) -> Result<Content, ContentError> {
        let mut body = body();
        let (parent, name) = path.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.into(), value);
        read(body.to_string().as_bytes())
    }

    /// keccak256 of the message "hello" under the envelope, as wallets compute it.
    #[test]
    fn an_eip_191_message_is_hashed_under_its_envelope() {
        let content = read(body().to_string().as_bytes()).unwrap();
        assert_eq!(content.vault_account, 3);
        assert_eq!(
            hex::encode(content.messages[0].1),
            "50b2c43fd39106bafbba0da34fc430e1f91e3c96ea2acee2bc34119f92b37750"
        );
    }

    #[test]
    fn a_raw_message_is_its_own_digest_of_32_bytes() {
        let raw = |content: &str| {
            let messages = json!({"messages": [{"content": content}], "algorithm": "MPC_ECDSA_SECP256K1"});
            let mut body = body();
            body["operation"] = "RAW".into();
            body["extraParameters"]["rawMessageData"] = messages;
            read(body.to_string().as_bytes())
        };
        assert_eq!(raw(&"ab".repeat(32)).unwrap().messages[0].1, [0xab; 32]);
        for bad in ["ab".repeat(31), "ab".repeat(33), format!("0x{}", "ab".repeat(32)), "zz".repeat(32)] {
            assert!(raw(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_understood_completely_is_refused() {
        for (path, value) in [
            ("/operation", json!("TRANSFER")),
            ("/assetId", json!("BTC")),
            ("/source/type", json!("EXTERNAL")),
            ("/source/id", json!("03")),
            ("/source/id", json!("-1")),
            ("/source/id", json!("2147483648")),
            ("/source/id", json!(3)),
            ("/amount", json!("1")),
            ("/destination", json!({})),
            ("/note", json!("n".repeat(MAX_NOTE_BYTES + 1))),
            ("/externalTxId", json!("")),
            ("/externalTxId", json!("x".repeat(MAX_NAME_BYTES + 1))),
            ("/feeLevel", json!({"hidden": 1})),
            ("/extraParameters/inputsSelection", json!({})),
            ("/extraParameters/rawMessageData", json!({"messages": []})),
            ("/extraParameters/rawMessageData/algorithm", json!("MPC_EDDSA_ED25519")),
            ("/extraParameters/rawMessageData/messages", json!([{"content": "00", "type": "EIP712"}])),
            ("/extraParameters/rawMessageData/messages", json!([{"content": "0", "type": "EIP191"}])),
            ("/extraParameters/rawMessageData/messages", json!([{"content": "00"}])),
            (
                "/extraParameters/rawMessageData/messages",
                json!([{"content": "00", "type": "EIP191", "bip44addressIndex": 1}]),
            ),
            (
                "/extraParameters/rawMessageData/messages",
                json!([{"content": "00", "type": "EIP191", "derivationPath": [44, 60, 4, 0, 0]}]),
            ),
        ] {
            assert!(with(path, value.clone()).is_err(), "{path} {value}");
        }
        let many: Vec<Value> = (0..=MAX_DIGESTS).map(|_| json!({"content": "00", "type": "EIP191"})).collect();
        assert!(with("/extraParameters/rawMessageData/messages", many.into()).is_err());
        let twice = body().to_string().replacen('{', "{\"note\":\"other\",", 1);
        assert!(read(twice.as_bytes()).is_err(), "a member twice");
        assert!(read(b"").is_err() && read(b"[]").is_err() && read(b"{").is_err());
    }

    #[test]
    fn the_path_may_be_given_if_it_is_the_one() {
        let messages =
            json!([{"content": "00", "type": "EIP191", "derivationPath": [44, 60, 3, 0, 0], "bip44change": 0}]);
        assert!(with("/extraParameters/rawMessageData/messages", messages).is_ok());
    }
}
