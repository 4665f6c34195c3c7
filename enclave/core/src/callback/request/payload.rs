//! The members of `tx_sign_request`, under the names and of the types that handlers know.

use serde::Serialize;
use serde_json::{Number, Value};

/// Payload of `tx_sign_request`. Numbers are there for old handlers; each has a text beside it that is exact.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload<'a> {
    pub tx_id: String,
    pub operation: &'static str,
    pub source_type: &'static str,
    pub source_id: String,
    pub dest_type: &'static str,
    pub dest_id: &'static str,
    pub asset: &'static str,
    pub amount: Number,
    pub amount_str: String,
    pub requested_amount: Number,
    pub requested_amount_str: String,
    /// The most that it may cost.
    pub fee: String,
    pub dest_address_type: &'static str,
    pub dest_address: String,
    pub destinations: Vec<Destination>,
    pub raw_tx: Vec<RawTx>,
    pub players: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_tx_id: Option<&'a str>,
    pub signer_id: &'a str,
    pub extra_parameters: ExtraParameters<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Where an amount goes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Destination {
    pub amount_native: Number,
    pub amount_native_str: String,
    #[serde(rename = "amountUSD")]
    pub amount_usd: Number,
    pub dst_address_type: &'static str,
    pub dst_address: String,
    pub dst_id: &'static str,
    pub dst_wallet_id: &'static str,
    pub dst_name: &'static str,
    pub dst_sub_type: &'static str,
    pub dst_type: &'static str,
    pub display_dst_address: String,
    pub action: &'static str,
    pub action_info: ActionInfo,
}

/// Which rule of the workspace let it pass.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActionInfo {
    pub captured_rule_num: u64,
    pub rules_snapshot_id: u64,
    pub by_global_policy: bool,
    pub by_rule: bool,
    /// JSON within a text.
    pub captured_rule: &'static str,
}

/// One thing that is signed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTx {
    pub key_derivation_path: String,
    /// What was hashed here to `payload`, in hex; empty where the client gave the hash.
    pub raw_tx: String,
    /// The digest that is signed, in hex.
    pub payload: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExtraParameters<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_message_data: Option<RawMessageData<'a>>,
    /// What a transaction calls, in hex behind `0x`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_call_data: Option<String>,
    pub countersign: Countersign<'a>,
}

#[derive(Serialize)]
pub(super) struct RawMessageData<'a> {
    pub messages: Vec<ShownMessage<'a>>,
    pub algorithm: &'static str,
}

#[derive(Serialize)]
pub(super) struct ShownMessage<'a> {
    pub content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<&'static str>,
}

/// As the client wrote it; typed data is an object also where it came in a text.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(&'a str),
    Typed(&'a Value),
}

/// What this co-signer adds to the protocol.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Countersign<'a> {
    /// Who asked for it, as proved by the token; null where nobody proved anything, and the workspace alone claims all of it.
    pub intent: Option<Intent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evm: Option<Evm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub typed_data: Vec<Typed<'a>>,
    /// The members that the workspace chose because the client did not, sorted. They are what is signed.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub chosen_by_workspace: &'a [&'static str],
    /// The members that nothing vouches for, sorted.
    pub unverified: &'static [&'static str],
}

/// The client's own request.
#[derive(Serialize)]
pub(super) struct Intent<'a> {
    /// The API user whose key signed it.
    pub initiator: &'a str,
    /// The token's `nonce`.
    pub nonce: &'a str,
}

/// The fields of a transaction as they were decoded. Numbers that may be larger than readers of JSON take exactly are
/// decimal texts; prices are in wei.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Evm {
    pub r#type: u8,
    pub chain_id: u64,
    pub nonce: String,
    /// None where it creates a contract.
    pub to: Option<String>,
    pub value: String,
    pub gas_limit: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gas_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fee_per_gas: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_priority_fee_per_gas: Option<String>,
    /// Gas limit × highest price of one gas.
    pub max_fee: String,
    pub access_list: Vec<Accessed>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Accessed {
    pub address: String,
    pub storage_keys: Vec<String>,
}

/// What typed data hashed to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Typed<'a> {
    /// Which of `rawMessageData.messages`.
    pub message: usize,
    pub primary_type: &'a str,
    /// None where its domain names no chain.
    pub chain_id: Option<String>,
    pub domain_separator: String,
    pub struct_hash: String,
}
