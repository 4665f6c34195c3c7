//! The body of a `POST /v1/transactions`, decoded into exactly what would be signed.
//!
//! Every co-signer does this for itself from the client's own bytes. A member that this code does not know is refused:
//! it could mean something about what is signed that would then be ignored.

use super::asset::{Asset, asset};
use super::eip191;
use countersign_token::strict_json;
use countersign_wire::Text;
use countersign_wire::key::{Algorithm, DerivationPath, Operation};
use countersign_wire::limits::{MAX_DIGESTS, MAX_NAME_BYTES, MAX_REQUEST_BODY_BYTES};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::transaction::Digest;
use serde::Deserialize;

/// Longest `note` in bytes.
pub const MAX_NOTE_BYTES: usize = 4 * 1024;

/// A request as this co-signer understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What is done.
    pub operation: Operation,
    /// For which asset.
    pub asset: Asset,
    /// With which vault account's key.
    pub vault_account: u32,
    /// What is signed, in order: 1 to [`MAX_DIGESTS`].
    pub digests: Vec<Digest>,
    /// The derivation path of each digest, in the same order.
    pub paths: Vec<DerivationPath>,
    /// What each digest was made from, in the same order.
    pub messages: Vec<ShownMessage>,
    /// The client's note.
    pub note: Option<String>,
    /// The client's own id of the transaction.
    pub external: Option<Text<MAX_NAME_BYTES>>,
}

/// One message as people and callback handlers may look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownMessage {
    /// `content`, as in the body.
    pub content_hex: String,
    /// What it is.
    pub kind: MessageKind,
    /// The bytes that were hashed here to the digest; none where the client gave the hash.
    pub hashed: Option<Vec<u8>>,
}

/// What a message's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A hash.
    Raw,
    /// A message that goes under the envelope of EIP-191.
    Eip191,
}

impl MessageKind {
    /// The `type` of the HTTP API, where it has one.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            MessageKind::Raw => None,
            MessageKind::Eip191 => Some("EIP191"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    operation: String,
    asset_id: String,
    source: Source,
    note: Option<String>,
    external_tx_id: Option<String>,
    extra_parameters: ExtraParameters,
    // Known, and without a meaning for what these operations sign: accepted as plain values, and ignored.
    #[serde(rename = "customerRefId")]
    _customer_ref_id: Option<Ignored>,
    #[serde(rename = "feeLevel")]
    _fee_level: Option<Ignored>,
    #[serde(rename = "failOnLowFee")]
    _fail_on_low_fee: Option<Ignored>,
    #[serde(rename = "treatAsGrossAmount")]
    _treat_as_gross_amount: Option<Ignored>,
    #[serde(rename = "forceSweep")]
    _force_sweep: Option<Ignored>,
    #[serde(rename = "useGasless")]
    _use_gasless: Option<Ignored>,
}

/// A text or a flag: nothing that could hold more.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ignored {
    Text(#[allow(dead_code)] String),
    Flag(#[allow(dead_code)] bool),
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
    algorithm: Option<String>,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    content: String,
    r#type: Option<String>,
    /// Older clients write the second form.
    #[serde(rename = "bip44AddressIndex", alias = "bip44addressIndex")]
    index: Option<u32>,
    #[serde(rename = "bip44change")]
    change: Option<u32>,
    #[serde(rename = "derivationPath")]
    path: Option<Vec<u32>>,
}

fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::Malformed, detail)
}

/// Decodes a body. Everything that is not understood completely is [`Code::Malformed`].
pub fn decode(body: &[u8]) -> Result<Decoded, Refusal> {
    if body.len() > MAX_REQUEST_BODY_BYTES {
        return Err(malformed(format!(
            "expected a body of at most {MAX_REQUEST_BODY_BYTES} bytes, got {}",
            body.len()
        )));
    }
    let body: Body = strict_json::from_slice(body).map_err(|e| malformed(format!("the body cannot be read: {e}")))?;
    let operation = match body.operation.as_str() {
        "RAW" => Operation::Raw,
        "TYPED_MESSAGE" => Operation::TypedMessage,
        other => return Err(malformed(format!("expected the operation RAW or TYPED_MESSAGE, got {other:?}"))),
    };
    let asset =
        asset(&body.asset_id).ok_or_else(|| malformed(format!("asset {:?} is not supported", body.asset_id)))?;
    let vault_account = vault_account(&body.source)?;
    let data = body.extra_parameters.raw_message_data;
    let expected = Algorithm::EcdsaSecp256k1.as_str();
    if data.algorithm.as_deref().is_some_and(|algorithm| algorithm != expected) {
        return Err(malformed(format!("expected the algorithm {expected}")));
    }
    if !(1..=MAX_DIGESTS).contains(&data.messages.len()) {
        return Err(malformed(format!("expected 1 to {MAX_DIGESTS} messages, got {}", data.messages.len())));
    }
    let mut decoded = Decoded {
        operation,
        asset,
        vault_account,
        digests: Vec::new(),
        paths: Vec::new(),
        messages: Vec::new(),
        note: note(body.note)?,
        external: external(body.external_tx_id)?,
    };
    for message in data.messages {
        decoded.paths.push(path(&message, asset.coin_type, vault_account)?);
        let (digest, shown) = match operation {
            Operation::Raw => raw(message)?,
            Operation::TypedMessage => typed(message)?,
            Operation::Transfer | Operation::ContractCall => return Err(malformed("not yet")),
        };
        decoded.digests.push(digest);
        decoded.messages.push(shown);
    }
    Ok(decoded)
}

/// A vault account's number, written in one way only.
fn vault_account(source: &Source) -> Result<u32, Refusal> {
    if source.r#type != "VAULT_ACCOUNT" {
        return Err(malformed(format!("expected a source of type VAULT_ACCOUNT, got {:?}", source.r#type)));
    }
    let number = source.id.parse::<u32>().ok().filter(|n| n.to_string() == source.id);
    number.ok_or_else(|| malformed(format!("expected the id of a vault account such as \"0\", got {:?}", source.id)))
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

fn raw(message: Message) -> Result<(Digest, ShownMessage), Refusal> {
    if message.r#type.is_some() {
        return Err(malformed("a message of a RAW request has no type"));
    }
    let digest = hex::decode(&message.content).ok().and_then(|bytes| Digest::try_from(bytes).ok());
    let digest =
        digest.ok_or_else(|| malformed("expected the content of a RAW message to be 64 hexadecimal digits"))?;
    Ok((digest, ShownMessage { content_hex: message.content, kind: MessageKind::Raw, hashed: None }))
}

fn typed(message: Message) -> Result<(Digest, ShownMessage), Refusal> {
    if message.r#type.as_deref() != Some("EIP191") {
        return Err(malformed("expected the type of every message to be EIP191"));
    }
    let content = hex::decode(&message.content).map_err(|_| {
        malformed("expected the content of an EIP191 message to be hexadecimal digits without a prefix")
    })?;
    let hashed = eip191::enveloped(&content);
    let digest = eip191::digest(&hashed);
    Ok((digest, ShownMessage { content_hex: message.content, kind: MessageKind::Eip191, hashed: Some(hashed) }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const HASH: &str = "77b4e74099ce90c08503c0e0bb6e672dbe1c5e3e127ce333bf22eb581cd3f6ce";

    fn raw_body() -> Value {
        json!({
            "operation": "RAW",
            "assetId": "ETH",
            "source": {"type": "VAULT_ACCOUNT", "id": "0"},
            "extraParameters": {"rawMessageData": {"messages": [{"content": HASH}]}},
        })
    }

    fn typed_body() -> Value {
        json!({
            "operation": "TYPED_MESSAGE",
            "assetId": "ETH_TEST5",
            "source": {"type": "VAULT_ACCOUNT", "id": "7"},
            "note": "a note",
            "externalTxId": "order-1",
            "extraParameters": {"rawMessageData": {"messages": [{"content": "68656C6c6f", "type": "EIP191"}]}},
        })
    }

    fn decoded(body: &Value) -> Result<Decoded, Refusal> {
        decode(body.to_string().as_bytes())
    }

    fn with(mut body: Value, pointer: &str, name: &str, value: Value) -> Value {
        body.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(name.into(), value);
        body
    }

    const MESSAGE: &str = "/extraParameters/rawMessageData/messages/0";

    #[track_caller]
    fn refused(body: &Value) {
        assert_eq!(decoded(body).map_err(|r| r.code), Err(Code::Malformed), "{body}");
    }

    #[test]
    fn a_raw_request_signs_the_given_hash_at_the_vault_accounts_path() {
        let decoded = decoded(&raw_body()).unwrap();
        assert_eq!(decoded.operation, Operation::Raw);
        assert_eq!((decoded.asset.id, decoded.vault_account), ("ETH", 0));
        assert_eq!(decoded.digests.iter().map(hex::encode).collect::<Vec<_>>(), [HASH]);
        assert_eq!(decoded.paths, [DerivationPath::vault(60, 0, 0, 0).unwrap()]);
        assert_eq!(decoded.messages[0].hashed, None);
        assert_eq!((decoded.note, decoded.external), (None, None));
    }

    #[test]
    fn a_typed_message_is_hashed_here() {
        let decoded = decoded(&typed_body()).unwrap();
        assert_eq!(decoded.operation, Operation::TypedMessage);
        assert_eq!(decoded.paths, [DerivationPath::vault(1, 7, 0, 0).unwrap()]);
        let hashed = decoded.messages[0].hashed.clone().unwrap();
        assert_eq!(hashed, b"\x19Ethereum Signed Message:\n5hello");
        assert_eq!(decoded.digests, [eip191::digest(&hashed)]);
        assert_eq!(decoded.messages[0].content_hex, "68656C6c6f", "shown as the client wrote it");
        assert_eq!(decoded.note.as_deref(), Some("a note"));
        assert_eq!(decoded.external.as_deref(), Some("order-1"));
    }

    #[test]
    fn address_index_and_change_select_the_path_in_both_spellings() {
        for spelling in ["bip44AddressIndex", "bip44addressIndex"] {
            let body = with(with(raw_body(), MESSAGE, spelling, json!(5)), MESSAGE, "bip44change", json!(1));
            assert_eq!(decoded(&body).unwrap().paths, [DerivationPath::vault(60, 0, 1, 5).unwrap()]);
        }
        refused(&with(
            with(raw_body(), MESSAGE, "bip44AddressIndex", json!(5)),
            MESSAGE,
            "bip44addressIndex",
            json!(6),
        ));
        refused(&with(raw_body(), MESSAGE, "bip44change", json!(2)));
        refused(&with(raw_body(), MESSAGE, "bip44AddressIndex", json!(2_147_483_648_u32)));
        refused(&with(raw_body(), MESSAGE, "bip44AddressIndex", json!(-1)));
        refused(&with(raw_body(), MESSAGE, "bip44AddressIndex", json!(1.5)));
    }

    #[test]
    fn t11_a_derivation_path_other_than_the_derived_one_is_refused() {
        let given = |path: Value| with(raw_body(), MESSAGE, "derivationPath", path);
        assert!(decoded(&given(json!([44, 60, 0, 0, 0]))).is_ok());
        for other in
            [json!([44, 60, 1, 0, 0]), json!([44, 60, 0, 0]), json!([44, 0, 0, 0, 0]), json!([]), json!("m/44")]
        {
            refused(&given(other));
        }
    }

    #[test]
    fn t11_a_member_that_is_not_understood_is_refused_everywhere() {
        for pointer in ["", "/source", "/extraParameters", "/extraParameters/rawMessageData", MESSAGE] {
            refused(&with(raw_body(), pointer, "unknown", json!(null)));
        }
        for name in ["destination", "amount", "destinations", "expiresAfterSeconds", "gasPrice", "replaceTxByHash"] {
            refused(&with(raw_body(), "", name, json!("1")));
        }
        refused(&with(raw_body(), MESSAGE, "preHash", json!({"content": "00"})));
        refused(&with(raw_body(), "/extraParameters", "contractCallData", json!("00")));
    }

    #[test]
    fn members_without_a_meaning_for_the_signature_are_plain_values() {
        let names = ["customerRefId", "feeLevel", "failOnLowFee", "treatAsGrossAmount", "forceSweep", "useGasless"];
        for name in names {
            for value in [json!("MEDIUM"), json!(false), json!(null)] {
                assert_eq!(decoded(&with(raw_body(), "", name, value)), decoded(&raw_body()), "{name}");
            }
            refused(&with(raw_body(), "", name, json!({"a": 1})));
            refused(&with(raw_body(), "", name, json!([1])));
        }
    }

    #[test]
    fn t37_duplicate_members_are_refused_at_every_depth() {
        let plain = raw_body().to_string();
        for (once, twice) in [
            ("\"operation\":\"RAW\"", "\"operation\":\"RAW\",\"operation\":\"RAW\""),
            ("\"id\":\"0\"", "\"id\":\"1\",\"id\":\"0\""),
            ("\"content\":", "\"content\":\"00\",\"content\":"),
        ] {
            let body = plain.replacen(once, twice, 1);
            assert_ne!(body, plain);
            assert_eq!(decode(body.as_bytes()).map_err(|r| r.code), Err(Code::Malformed), "{body}");
        }
    }

    #[test]
    fn a_raw_message_is_exactly_32_bytes_of_hexadecimal() {
        assert!(decoded(&with(raw_body(), MESSAGE, "content", json!(HASH.to_uppercase()))).is_ok());
        for content in [
            json!(""),
            json!(&HASH[2..]),
            json!(format!("0x{HASH}")),
            json!(format!("{HASH}00")),
            json!(format!("{}zz", &HASH[2..])),
            json!(5),
            json!(null),
        ] {
            refused(&with(raw_body(), MESSAGE, "content", content));
        }
        refused(&with(raw_body(), MESSAGE, "type", json!("EIP191")));
    }

    #[test]
    fn a_typed_message_has_a_known_type_and_hexadecimal_content() {
        for kind in [json!("EIP712"), json!("eip191"), json!(null), json!(191)] {
            refused(&with(typed_body(), MESSAGE, "type", kind));
        }
        for content in [json!("0x68"), json!("6"), json!("hello"), json!({"types": {}})] {
            refused(&with(typed_body(), MESSAGE, "content", content));
        }
    }

    #[test]
    fn operation_asset_source_and_algorithm_are_known_ones() {
        for operation in [json!("TRANSFER"), json!("raw"), json!(null), json!(0)] {
            refused(&with(raw_body(), "", "operation", operation));
        }
        for asset in [json!("BTC"), json!("eth"), json!(""), json!(null)] {
            refused(&with(raw_body(), "", "assetId", asset));
        }
        for id in [json!("00"), json!("+1"), json!(""), json!("-1"), json!("4294967296"), json!("2147483648"), json!(0)]
        {
            refused(&with(raw_body(), "/source", "id", id));
        }
        refused(&with(raw_body(), "/source", "type", json!("EXTERNAL_WALLET")));
        let algorithm = |name: &str| with(raw_body(), "/extraParameters/rawMessageData", "algorithm", json!(name));
        assert!(decoded(&algorithm("MPC_ECDSA_SECP256K1")).is_ok());
        refused(&algorithm("MPC_EDDSA_ED25519"));
    }

    #[test]
    fn everything_has_a_limit() {
        let messages = |count: usize| {
            let list = vec![json!({"content": HASH}); count];
            with(raw_body(), "/extraParameters/rawMessageData", "messages", json!(list))
        };
        assert_eq!(decoded(&messages(MAX_DIGESTS)).unwrap().digests.len(), MAX_DIGESTS);
        refused(&messages(MAX_DIGESTS + 1));
        refused(&messages(0));
        refused(&with(raw_body(), "", "note", json!("n".repeat(MAX_NOTE_BYTES + 1))));
        refused(&with(raw_body(), "", "externalTxId", json!("e".repeat(MAX_NAME_BYTES + 1))));
        refused(&with(raw_body(), "", "externalTxId", json!("")));
        let padded = format!("{}{}", raw_body(), " ".repeat(MAX_REQUEST_BODY_BYTES));
        assert_eq!(decode(padded.as_bytes()).map_err(|r| r.code), Err(Code::Malformed));
        for bad in [&b""[..], b"[]", b"null", b"\xff", b"{}"] {
            assert_eq!(decode(bad).map_err(|r| r.code), Err(Code::Malformed));
        }
    }
}
