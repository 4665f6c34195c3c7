//! A decoded transaction, put into the members that handlers know.

use super::TransactionShown;
use super::payload::{
    Accessed, ActionInfo, Content, Countersign, Destination, Evm, ExtraParameters, Intent, Payload, RawMessageData,
    RawTx, ShownMessage, Typed,
};
use crate::intent::{Decoded, Fees, Message, U256, UnsignedTransaction, Written, checksummed, decimal};
use countersign_wire::key::{DerivationPath, Operation};
use countersign_wire::transaction::Digest;
use serde_json::Number;

/// What a hash or a message moves is not known here: those members are zero and empty, and say nothing.
const UNVERIFIED_OF_A_MESSAGE: &[&str] = &[
    "amount",
    "amountStr",
    "destAddress",
    "destAddressType",
    "destId",
    "destType",
    "destinations",
    "fee",
    "requestedAmount",
    "requestedAmountStr",
];
/// What only the workspace could say of a destination. It is not asked: the members are there, and say nothing.
const UNVERIFIED_OF_A_DESTINATION: &[&str] = &[
    "destId",
    "destinations[].action",
    "destinations[].actionInfo",
    "destinations[].amountUSD",
    "destinations[].dstId",
    "destinations[].dstName",
    "destinations[].dstSubType",
    "destinations[].dstWalletId",
];
/// The same where nothing goes anywhere.
const UNVERIFIED_WITHOUT_DESTINATION: &[&str] = &["destId"];

/// The payload, without its request id. Note and external id are the client's only where it proved its intent, and absent
/// otherwise.
pub(super) fn payload<'a>(shown: &TransactionShown<'a>) -> Payload<'a> {
    let decoded = shown.decoded;
    let signed = decoded.paths.iter().zip(&decoded.digests).zip(&decoded.messages);
    let moved = decoded.transaction().map(|transaction| Moved::by(transaction, decoded));
    let unverified = match &moved {
        None => UNVERIFIED_OF_A_MESSAGE,
        Some(moved) if moved.anywhere => UNVERIFIED_OF_A_DESTINATION,
        Some(_) => UNVERIFIED_WITHOUT_DESTINATION,
    };
    let moved = moved.unwrap_or_default();
    Payload {
        tx_id: shown.transaction.to_string(),
        operation: decoded.operation.as_str(),
        source_type: "VAULT",
        source_id: decoded.vault_account.to_string(),
        dest_type: moved.if_to_an_address("ONE_TIME_ADDRESS"),
        dest_id: "",
        asset: decoded.asset.id,
        amount: number(&moved.amount),
        amount_str: moved.amount.clone(),
        requested_amount: number(&moved.amount),
        requested_amount_str: moved.amount.clone(),
        fee: moved.fee.clone(),
        dest_address_type: moved.if_to_an_address("ONE_TIME"),
        dest_address: moved.destination.clone().unwrap_or_default(),
        destinations: moved.destinations(),
        raw_tx: signed.map(|((path, digest), message)| raw_tx(path, digest, message)).collect(),
        players: shown.players.iter().map(ToString::to_string).collect(),
        note: shown.intent.and(decoded.note.as_deref()),
        external_tx_id: shown.intent.and(decoded.external.as_deref()),
        signer_id: shown.signer.as_str(),
        extra_parameters: extra_parameters(shown, unverified),
        request_id: None,
    }
}

/// What a transaction moves, as decimals of the asset.
struct Moved {
    /// Where to; none where a contract is created, or where it is not known.
    destination: Option<String>,
    amount: String,
    fee: String,
    /// Whether anything goes anywhere.
    anywhere: bool,
}

impl Default for Moved {
    fn default() -> Self {
        Self { destination: None, amount: "0".into(), fee: "0".into(), anywhere: false }
    }
}

impl Moved {
    fn by(transaction: &UnsignedTransaction, decoded: &Decoded) -> Self {
        let decimals = decoded.asset.decimals;
        Self {
            destination: transaction.to.as_ref().map(checksummed),
            amount: decimal(transaction.value_wei, decimals),
            fee: decimal(transaction.max_fee_wei, decimals),
            anywhere: transaction.to.is_some() || transaction.value_wei != U256::ZERO,
        }
    }

    /// A contract that is only being created has no address to be of a type.
    fn if_to_an_address(&self, r#type: &'static str) -> &'static str {
        if self.destination.is_some() { r#type } else { "" }
    }

    fn destinations(&self) -> Vec<Destination> {
        if !self.anywhere {
            return Vec::new();
        }
        let address = self.destination.clone().unwrap_or_default();
        vec![Destination {
            amount_native: number(&self.amount),
            amount_native_str: self.amount.clone(),
            amount_usd: Number::from(0),
            dst_address_type: self.if_to_an_address("ONE_TIME"),
            dst_address: address.clone(),
            dst_id: "",
            dst_wallet_id: "",
            dst_name: "",
            dst_sub_type: "",
            dst_type: self.if_to_an_address("ONE_TIME_ADDRESS"),
            display_dst_address: address,
            action: "ALLOW",
            action_info: ActionInfo {
                captured_rule_num: 0,
                rules_snapshot_id: 0,
                by_global_policy: false,
                by_rule: false,
                captured_rule: "{}",
            },
        }]
    }
}

/// The number next to a decimal, for handlers that do not know the texts.
fn number(decimal: &str) -> Number {
    let whole = decimal.parse::<u64>().map(Number::from);
    let nearest = || decimal.parse::<f64>().ok().and_then(Number::from_f64);
    whole.ok().or_else(nearest).unwrap_or_else(|| Number::from(0))
}

fn raw_tx(path: &DerivationPath, digest: &Digest, message: &Message) -> RawTx {
    RawTx {
        key_derivation_path: path.to_string(),
        raw_tx: message.hashed.as_deref().map(hex::encode).unwrap_or_default(),
        payload: hex::encode(digest),
    }
}

fn extra_parameters<'a>(shown: &TransactionShown<'a>, unverified: &'static [&'static str]) -> ExtraParameters<'a> {
    let decoded = shown.decoded;
    let transaction = decoded.transaction();
    let called = transaction.filter(|_| decoded.operation == Operation::ContractCall);
    let messages: Vec<_> = decoded.messages.iter().filter_map(shown_message).collect();
    ExtraParameters {
        raw_message_data: (!messages.is_empty())
            .then(|| RawMessageData { messages, algorithm: shown.algorithm.as_str() }),
        contract_call_data: called.map(|transaction| hex_of(&transaction.data)),
        countersign: Countersign {
            intent: shown
                .intent
                .map(|intent| Intent { initiator: intent.initiator.as_str(), nonce: intent.nonce.as_str() }),
            evm: transaction.map(evm),
            typed_data: decoded.messages.iter().enumerate().filter_map(typed).collect(),
            chosen_by_workspace: &decoded.chosen,
            unverified,
        },
    }
}

fn shown_message(message: &Message) -> Option<ShownMessage<'_>> {
    let (content, r#type) = match &message.written {
        Written::Hash(content) => (Content::Text(content), None),
        Written::Eip191(content) => (Content::Text(content), Some("EIP191")),
        Written::Eip712 { content, .. } => (Content::Typed(content), Some("EIP712")),
        Written::Transaction(_) => return None,
    };
    Some(ShownMessage { content, r#type })
}

fn typed((message, shown): (usize, &Message)) -> Option<Typed<'_>> {
    let Written::Eip712 { typed, .. } = &shown.written else { return None };
    Some(Typed {
        message,
        primary_type: &typed.primary_type,
        chain_id: typed.chain_id.map(|chain_id| chain_id.to_string()),
        domain_separator: hex::encode(typed.domain_separator),
        struct_hash: hex::encode(typed.struct_hash),
    })
}

fn evm(transaction: &UnsignedTransaction) -> Evm {
    let (gas_price, max_fee_per_gas, max_priority_fee_per_gas) = match &transaction.fees {
        Fees::Legacy { gas_price } | Fees::AccessList { gas_price } => (Some(gas_price), None, None),
        Fees::Market { max_fee_per_gas, max_priority_fee_per_gas } => {
            (None, Some(max_fee_per_gas), Some(max_priority_fee_per_gas))
        }
    };
    let accessed = transaction.access_list.iter().map(|accessed| Accessed {
        address: checksummed(&accessed.address),
        storage_keys: accessed.storage_keys.iter().map(|key| hex_of(key)).collect(),
    });
    Evm {
        r#type: transaction.fees.transaction_type(),
        chain_id: transaction.chain_id,
        nonce: transaction.nonce.to_string(),
        to: transaction.to.as_ref().map(checksummed),
        value: transaction.value_wei.to_string(),
        gas_limit: transaction.gas_limit.to_string(),
        gas_price: gas_price.map(U256::to_string),
        max_fee_per_gas: max_fee_per_gas.map(U256::to_string),
        max_priority_fee_per_gas: max_priority_fee_per_gas.map(U256::to_string),
        max_fee: transaction.max_fee_wei.to_string(),
        access_list: accessed.collect(),
    }
}

fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
