//! The members that a body may have. What is not here is refused.

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[allow(dead_code)]
pub(super) struct Body {
    pub operation: String,
    pub asset_id: String,
    pub source: Source,
    pub note: Option<String>,
    pub external_tx_id: Option<String>,
    pub extra_parameters: Option<ExtraParameters>,
    pub destination: Option<Destination>,
    pub amount: Option<Number>,
    pub max_fee: Option<Number>,
    pub priority_fee: Option<Number>,
    pub gas_limit: Option<Number>,
    // What client libraries send along, and what means nothing for these operations: only its form is looked at.
    pub customer_ref_id: Option<Plain>,
    pub fee_level: Option<Plain>,
    pub fail_on_low_fee: Option<Plain>,
    pub treat_as_gross_amount: Option<Plain>,
    pub force_sweep: Option<Plain>,
    pub use_gasless: Option<Plain>,
}

/// A text or a flag: nothing that could hold more.
#[derive(Deserialize)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum Plain {
    Text(String),
    Flag(bool),
}

/// A number as a text, which has one reading. A JSON number is understood only to say what was expected.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Text(String),
    Number(serde_json::Number),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub r#type: String,
    pub id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Destination {
    pub r#type: String,
    pub one_time_address: Option<OneTimeAddress>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneTimeAddress {
    pub address: String,
    pub tag: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ExtraParameters {
    pub raw_message_data: Option<RawMessageData>,
    pub unsigned_transaction: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMessageData {
    pub messages: Vec<Message>,
    pub algorithm: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub content: Value,
    pub r#type: Option<String>,
    #[serde(rename = "bip44AddressIndex", alias = "bip44addressIndex")]
    pub index: Option<u32>,
    #[serde(rename = "bip44change")]
    pub change: Option<u32>,
    #[serde(rename = "derivationPath")]
    pub path: Option<Vec<u32>>,
}
