//! The body of a `POST /v1/transactions`, decoded into exactly what would be signed.
//!
//! Every co-signer does this for itself from the client's own bytes. A member that this code does not know is refused:
//! it could mean something about what is signed that would then be ignored.

use super::decoded::{Decoded, Message, Written};
use super::evm;
use super::keccak::keccak256;
use super::message;
use countersign_token::strict_json;
use countersign_wire::Text;
use countersign_wire::evm::Asset;
use countersign_wire::key::{DerivationPath, Operation};
use countersign_wire::limits::{MAX_NAME_BYTES, MAX_REQUEST_BODY_BYTES};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::Digest;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Longest `note` in bytes.
pub const MAX_NOTE_BYTES: usize = 4 * 1024;

/// What every operation has. [`Common::MEMBERS`] names it once more: what is left is the operation's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Common {
    operation: String,
    asset_id: String,
    source: Source,
    note: Option<String>,
    external_tx_id: Option<String>,
    // Known, and without a meaning for what is signed: accepted as plain values, and ignored.
    #[serde(rename = "customerRefId")]
    _customer_ref_id: Option<Plain>,
    #[serde(rename = "feeLevel")]
    _fee_level: Option<Plain>,
    #[serde(rename = "failOnLowFee")]
    _fail_on_low_fee: Option<Plain>,
    // The same for hashes and messages; in front of a transaction each would ask for another one.
    treat_as_gross_amount: Option<Plain>,
    force_sweep: Option<Plain>,
    use_gasless: Option<Plain>,
}

/// A text or a flag: nothing that could hold more.
#[derive(Deserialize)]
#[serde(untagged)]
enum Plain {
    Text(#[allow(dead_code)] String),
    Flag(bool),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    r#type: String,
    id: String,
}

/// One thing that is signed.
pub(super) struct Signed {
    pub path: DerivationPath,
    pub digest: Digest,
    pub message: Message,
}

pub(super) fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::Malformed, detail)
}

/// Decodes a body and, for a `TRANSFER`, the transaction that the workspace built for it. Everything that is not understood
/// completely is [`Code::Malformed`]; what contradicts what the client asked for is [`Code::Mismatch`].
pub fn decode(body: &[u8], unsigned: Option<&[u8]>) -> Result<Decoded, Refusal> {
    if body.len() > MAX_REQUEST_BODY_BYTES {
        return Err(malformed(format!(
            "expected a body of at most {MAX_REQUEST_BODY_BYTES} bytes, got {}",
            body.len()
        )));
    }
    let unreadable = |e| malformed(format!("the body cannot be read: {e}"));
    let mut members = strict_json::object(body).map_err(unreadable)?;
    let common: Common = strict_json::from_value(Common::taken_from(&mut members)).map_err(unreadable)?;
    let own = Value::Object(members);
    let operation = operation(&common.operation)?;
    if unsigned.is_some() && operation != Operation::Transfer {
        return Err(malformed(format!(
            "a transaction that the workspace built belongs to a TRANSFER, not a {operation}"
        )));
    }
    let asset = Asset::find(&common.asset_id)
        .ok_or_else(|| malformed(format!("asset {:?} is not supported", common.asset_id)))?;
    let vault_account = vault_account(&common.source)?;
    let mut chosen = Vec::new();
    let signed = match operation {
        Operation::Raw | Operation::TypedMessage => message::read(own, operation, &asset, vault_account)?,
        Operation::ContractCall => {
            common.check_nothing_else_is_asked()?;
            let (unsigned, transaction) = evm::contract_call(own, &asset)?;
            vec![transaction_of(&asset, vault_account, unsigned, transaction)?]
        }
        Operation::Transfer => {
            common.check_nothing_else_is_asked()?;
            let (transaction, open) = evm::transfer(own, &asset, unsigned)?;
            chosen = open;
            vec![transaction_of(&asset, vault_account, unsigned.unwrap_or_default().to_vec(), transaction)?]
        }
    };
    let mut decoded = Decoded {
        operation,
        asset,
        vault_account,
        digests: Vec::new(),
        paths: Vec::new(),
        messages: Vec::new(),
        chosen,
        note: note(common.note)?,
        external: external(common.external_tx_id)?,
    };
    for Signed { path, digest, message } in signed {
        decoded.paths.push(path);
        decoded.digests.push(digest);
        decoded.messages.push(message);
    }
    Ok(decoded)
}

impl Common {
    const MEMBERS: [&str; 11] = [
        "operation",
        "assetId",
        "source",
        "note",
        "externalTxId",
        "customerRefId",
        "feeLevel",
        "failOnLowFee",
        "treatAsGrossAmount",
        "forceSweep",
        "useGasless",
    ];

    fn taken_from(members: &mut Map<String, Value>) -> Value {
        Value::Object(Self::MEMBERS.iter().filter_map(|name| members.remove_entry(*name)).collect())
    }

    /// An amount that includes the fee, a whole balance, somebody else who pays: none of that is what would be signed.
    fn check_nothing_else_is_asked(&self) -> Result<(), Refusal> {
        let flags = [
            ("treatAsGrossAmount", &self.treat_as_gross_amount),
            ("forceSweep", &self.force_sweep),
            ("useGasless", &self.use_gasless),
        ];
        match flags.iter().find(|(_, flag)| !matches!(flag, None | Some(Plain::Flag(false)))) {
            Some((name, _)) => Err(malformed(format!("expected {name} to be false or absent: it is not supported"))),
            None => Ok(()),
        }
    }
}

fn operation(name: &str) -> Result<Operation, Refusal> {
    match name {
        "RAW" => Ok(Operation::Raw),
        "TYPED_MESSAGE" => Ok(Operation::TypedMessage),
        "TRANSFER" => Ok(Operation::Transfer),
        "CONTRACT_CALL" => Ok(Operation::ContractCall),
        other => Err(malformed(format!(
            "expected the operation RAW, TYPED_MESSAGE, TRANSFER or CONTRACT_CALL, got {other:?}"
        ))),
    }
}

/// A vault account's number, written in one way only.
fn vault_account(source: &Source) -> Result<u32, Refusal> {
    if source.r#type != "VAULT_ACCOUNT" {
        return Err(malformed(format!("expected a source of type VAULT_ACCOUNT, got {:?}", source.r#type)));
    }
    let number = source.id.parse::<u32>().ok().filter(|n| n.to_string() == source.id);
    number.ok_or_else(|| malformed(format!("expected the id of a vault account such as \"0\", got {:?}", source.id)))
}

/// A transaction is signed with the key of the vault account's first address, from where it moves what it moves.
fn transaction_of(
    asset: &Asset,
    vault_account: u32,
    unsigned: Vec<u8>,
    transaction: evm::UnsignedTransaction,
) -> Result<Signed, Refusal> {
    let path = asset.path(vault_account).map_err(|e| malformed(format!("vault account: {e}")))?;
    let digest = keccak256(&unsigned);
    let message = Message { written: Written::Transaction(Box::new(transaction)), hashed: Some(unsigned) };
    Ok(Signed { path, digest, message })
}

fn note(note: Option<String>) -> Result<Option<String>, Refusal> {
    match note {
        Some(note) if note.len() > MAX_NOTE_BYTES => {
            Err(malformed(format!("expected a note of at most {MAX_NOTE_BYTES} bytes, got {}", note.len())))
        }
        note => Ok(note),
    }
}

fn external(id: Option<String>) -> Result<Option<Text<MAX_NAME_BYTES>>, Refusal> {
    match id {
        Some(id) if id.is_empty() => Err(malformed("expected an externalTxId that is not empty, or none")),
        Some(id) => Text::new(id).map(Some).map_err(|e| malformed(format!("externalTxId: {e} bytes"))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transaction_tests;
