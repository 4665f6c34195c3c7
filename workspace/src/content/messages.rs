//! RAW and TYPED_MESSAGE.

use super::body::{Message, RawMessageData};
use super::{ContentError, refused};
use crate::evm::typed_data;
use countersign_token::strict_json;
use countersign_wire::evm::Asset;
use countersign_wire::key::{Algorithm, Operation};
use countersign_wire::limits::MAX_DIGESTS;
use countersign_wire::transaction::Digest;
use serde_json::Value;
use sha3::{Digest as _, Keccak256};

/// The messages, each as it is shown with its signature and as the digest that is signed for it.
pub(super) fn read(
    operation: Operation,
    asset: &Asset,
    vault_account: u32,
    data: RawMessageData,
) -> Result<Vec<(String, Digest)>, ContentError> {
    let expected = Algorithm::EcdsaSecp256k1.as_str();
    if data.algorithm.as_deref().is_some_and(|algorithm| algorithm != expected) {
        return refused(format!("expected rawMessageData.algorithm to be {expected} or absent"));
    }
    if !(1..=MAX_DIGESTS).contains(&data.messages.len()) {
        return refused(format!("expected 1 to {MAX_DIGESTS} messages, got {}", data.messages.len()));
    }
    let one = |message: &Message| {
        check_path(message, asset, vault_account)?;
        digest(operation, asset, message)
    };
    data.messages.iter().map(one).collect()
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

fn digest(operation: Operation, asset: &Asset, message: &Message) -> Result<(String, Digest), ContentError> {
    let shown = message.content.as_str();
    let bytes = || match shown.map(hex::decode) {
        Some(Ok(bytes)) => Ok(bytes),
        _ => refused("expected the content of a message to be hexadecimal digits without a prefix"),
    };
    let shown = shown.unwrap_or_default().to_owned();
    match (operation, message.r#type.as_deref()) {
        (Operation::Raw, None) => match Digest::try_from(bytes()?) {
            Ok(digest) => Ok((shown, digest)),
            Err(bytes) => refused(format!("expected the content of a RAW message to be 32 bytes, got {}", bytes.len())),
        },
        (Operation::Raw, Some(_)) => refused("expected a message of a RAW transaction to have no type"),
        (_, Some("EIP191")) => Ok((shown, eip191(&bytes()?))),
        (_, Some("EIP712")) => {
            let digest = typed_data::digest(&typed(&message.content)?, asset.chain_id);
            let digest = digest.map_err(|e| ContentError(e.to_string()))?;
            Ok((hex::encode(digest), digest))
        }
        (_, got) => refused(format!("expected the type of a message to be EIP191 or EIP712, got {got:?}")),
    }
}

/// Typed data comes as an object, or as the text of one, as client libraries' types have it.
fn typed(content: &Value) -> Result<Value, ContentError> {
    match content {
        Value::Object(_) => Ok(content.clone()),
        Value::String(text) => {
            strict_json::value(text.as_bytes()).map_err(|e| ContentError(format!("the content of EIP712: {e}")))
        }
        _ => refused("expected the content of an EIP712 message to be an object, or the JSON text of one"),
    }
}

/// The digest of ERC-191, version 0x45.
fn eip191(message: &[u8]) -> Digest {
    let mut hash = Keccak256::new();
    hash.update(format!("\x19Ethereum Signed Message:\n{}", message.len()));
    hash.update(message);
    hash.finalize().into()
}
