//! `RAW` and `TYPED_MESSAGE`: hashes, messages and typed data, each with the derivation path that signs it.

use super::body::{Signed, malformed};
use super::decoded::{self, Written};
use super::eip191;
use super::eip712::TypedData;
use super::evm::u256::U256;
use super::keccak::keccak256;
use countersign_token::strict_json;
use countersign_wire::evm::Asset;
use countersign_wire::key::{Algorithm, DerivationPath, Operation};
use countersign_wire::limits::MAX_DIGESTS;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::Digest;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Members {
    extra_parameters: ExtraParameters,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExtraParameters {
    raw_message_data: RawMessageData,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessageData {
    algorithm: Option<String>,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    content: Value,
    r#type: Option<String>,
    /// Older clients write the second form.
    #[serde(rename = "bip44AddressIndex", alias = "bip44addressIndex")]
    index: Option<u32>,
    #[serde(rename = "bip44change")]
    change: Option<u32>,
    #[serde(rename = "derivationPath")]
    path: Option<Vec<u32>>,
}

/// Reads the messages that the members of a body hold beside those that every operation has.
pub(super) fn read(
    members: Value,
    operation: Operation,
    asset: &Asset,
    vault_account: u32,
) -> Result<Vec<Signed>, Refusal> {
    let members: Members =
        strict_json::from_value(members).map_err(|e| malformed(format!("the body cannot be read: {e}")))?;
    let data = members.extra_parameters.raw_message_data;
    let expected = Algorithm::EcdsaSecp256k1.as_str();
    if data.algorithm.as_deref().is_some_and(|algorithm| algorithm != expected) {
        return Err(malformed(format!("expected the algorithm {expected}")));
    }
    if !(1..=MAX_DIGESTS).contains(&data.messages.len()) {
        return Err(malformed(format!("expected 1 to {MAX_DIGESTS} messages, got {}", data.messages.len())));
    }
    let signed = data.messages.into_iter().map(|message| {
        let path = path(&message, asset.coin_type, vault_account)?;
        let (digest, message) = match (operation, message.r#type.as_deref()) {
            (Operation::Raw, None) => raw(message.content)?,
            (Operation::Raw, Some(_)) => return Err(malformed("a message of a RAW request has no type")),
            (_, Some("EIP191")) => eip191(message.content)?,
            (_, Some("EIP712")) => eip712(message.content, asset)?,
            (_, _) => return Err(malformed("expected the type of every message to be EIP191 or EIP712")),
        };
        Ok(Signed { path, digest, message })
    });
    signed.collect()
}

/// `44 / coin type / vault account / change / index`; a path that the client gives must be this one.
fn path(message: &Message, coin_type: u32, vault_account: u32) -> Result<DerivationPath, Refusal> {
    let change = message.change.unwrap_or(0);
    if change > 1 {
        return Err(malformed(format!("expected bip44change to be 0 or 1, got {change}")));
    }
    let path = DerivationPath::vault(coin_type, vault_account, change, message.index.unwrap_or(0))
        .map_err(|e| malformed(format!("vault account or address index: {e}")))?;
    if message.path.as_deref().is_some_and(|given| given != path.elements()) {
        return Err(malformed(format!("expected no derivationPath, or {path}: it follows from source and asset")));
    }
    Ok(path)
}

fn raw(content: Value) -> Result<(Digest, decoded::Message), Refusal> {
    let expected = || malformed("expected the content of a RAW message to be 64 hexadecimal digits");
    let Value::String(content) = content else { return Err(expected()) };
    let digest = hex::decode(&content).ok().and_then(|bytes| Digest::try_from(bytes).ok()).ok_or_else(expected)?;
    Ok((digest, decoded::Message { written: Written::Hash(content), hashed: None }))
}

fn eip191(content: Value) -> Result<(Digest, decoded::Message), Refusal> {
    let expected = || malformed("expected the content of an EIP191 message to be hexadecimal digits without a prefix");
    let Value::String(content) = content else { return Err(expected()) };
    let hashed = eip191::enveloped(&hex::decode(&content).map_err(|_| expected())?);
    Ok((keccak256(&hashed), decoded::Message { written: Written::Eip191(content), hashed: Some(hashed) }))
}

fn eip712(content: Value, asset: &Asset) -> Result<(Digest, decoded::Message), Refusal> {
    let unreadable = |e| malformed(format!("typed data: {e}"));
    let content = TypedData::document(content).map_err(unreadable)?;
    let typed = TypedData::read(&content).map_err(unreadable)?;
    if let Some(chain_id) = typed.chain_id.filter(|chain_id| *chain_id != U256::from(asset.chain_id)) {
        let (expected, id) = (asset.chain_id, asset.id);
        let detail = format!("the typed data's domain is of chain {chain_id}, expected {expected}, the chain of {id}");
        return Err(Refusal::new(Code::Mismatch, detail));
    }
    let hashed = typed.enveloped();
    Ok((keccak256(&hashed), decoded::Message { written: Written::Eip712 { content, typed }, hashed: Some(hashed) }))
}
