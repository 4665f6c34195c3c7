#![allow(clippy::unwrap_used)]

use super::address::Address;
use super::rlp::RlpError;
use super::rlp::tests::{Item, encoded};
use super::transaction::*;
use super::u256::U256;
use crate::intent::keccak::keccak256;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address as TheirAddress, B256, TxKind, U256 as Theirs};
use countersign_wire::evm::{MAX_ACCESSED_ADDRESSES, MAX_ACCESSED_KEYS};
use countersign_wire::limits::MAX_UNSIGNED_BYTES;
use proptest::prelude::*;

const TO: Address = [0x35; 20];

fn int(number: u64) -> Item {
    Item::Bytes(number.to_be_bytes().iter().skip_while(|b| **b == 0).copied().collect())
}

/// The example of EIP-155: nonce 9, 20 Gwei, 21000 gas, one Ether to 0x3535…35, on chain 1.
fn example() -> Vec<Item> {
    vec![
        int(9),
        int(20_000_000_000),
        int(21_000),
        Item::Bytes(TO.into()),
        int(1_000_000_000_000_000_000),
        Item::Bytes(vec![]),
        int(1),
        int(0),
        int(0),
    ]
}

fn list(items: Vec<Item>) -> Vec<u8> {
    encoded(&Item::List(items))
}

fn typed(kind: u8, items: Vec<Item>) -> Vec<u8> {
    [vec![kind], list(items)].concat()
}

/// Chain 1, nonce 2, 3 wei of at most 4 wei, 5 gas.
fn market(access_list: Item) -> Vec<Item> {
    vec![int(1), int(2), int(3), int(4), int(5), Item::Bytes(TO.into()), int(6), Item::Bytes(vec![7, 8]), access_list]
}

#[test]
fn the_example_of_eip_155_is_read_and_has_its_digest() {
    let bytes = list(example());
    assert_eq!(
        hex::encode(&bytes),
        "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080"
    );
    assert_eq!(hex::encode(keccak256(&bytes)), "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53");
    let transaction = decode(&bytes).unwrap();
    assert_eq!(transaction.fees, Fees::Legacy { gas_price: U256::from(20_000_000_000) });
    assert_eq!((transaction.chain_id, transaction.nonce, transaction.gas_limit), (1, 9, 21_000));
    assert_eq!((transaction.to, transaction.value_wei), (Some(TO), U256::from(1_000_000_000_000_000_000)));
    assert_eq!(transaction.max_fee_wei, U256::from(420_000_000_000_000));
}

#[test]
fn a_legacy_transaction_names_its_chain_and_has_no_signature() {
    assert_eq!(decode(&list(example()[..6].to_vec())), Err(TransactionError::NoChain));
    for at in [7, 8] {
        let mut signed = example();
        signed[at] = int(1);
        assert_eq!(decode(&list(signed)), Err(TransactionError::NotUnsigned));
    }
    for count in [0, 1, 5, 7, 8] {
        assert!(decode(&list(example()[..count].to_vec())).is_err(), "{count} items");
    }
    let more = [example(), vec![int(0)]].concat();
    let trailing = |result| matches!(result, Err(TransactionError::Encoding { error: RlpError::Trailing, .. }));
    assert!(trailing(decode(&list(more))));
    assert!(trailing(decode(&[list(example()), vec![0]].concat())));
}

#[test]
fn other_types_are_refused_by_name() {
    let refused = |first: u8| decode(&[first, 0xc0]).unwrap_err().to_string();
    assert!(refused(3).contains("blob transaction"));
    assert!(refused(4).contains("EIP-7702"));
    for first in [0, 5, 0x7f, 0x80, 0xbf] {
        assert!(refused(first).contains(&format!("type {first} is not supported")), "{first}");
    }
    assert_eq!(decode(&[]), Err(TransactionError::Length(0)));
    assert_eq!(decode(&vec![0xc0; MAX_UNSIGNED_BYTES + 1]), Err(TransactionError::Length(MAX_UNSIGNED_BYTES + 1)));
}

#[test]
fn a_signature_behind_the_fields_is_refused_in_every_type() {
    let items = [market(Item::List(vec![])), vec![int(0), int(1), int(1)]].concat();
    assert!(matches!(
        decode(&typed(2, items)),
        Err(TransactionError::Encoding { field: "transaction", error: RlpError::Trailing })
    ));
}

#[test]
fn every_field_is_held_to_its_form() {
    let field = |at: usize, item: Item| {
        let mut items = market(Item::List(vec![]));
        items[at] = item;
        decode(&typed(2, items))
    };
    assert!(field(0, int(1)).is_ok());
    for at in 0..9 {
        let other = if at == 8 { Item::Bytes(vec![]) } else { Item::List(vec![]) };
        assert!(matches!(field(at, other), Err(TransactionError::Encoding { .. })), "{at}");
    }
    for at in [0, 1, 2, 3, 4, 6] {
        let zero_in_front = Item::Bytes(vec![0, 1]);
        assert!(matches!(field(at, zero_in_front), Err(TransactionError::Encoding { .. })), "{at}");
        assert!(matches!(field(at, Item::Bytes(vec![1; 33])), Err(TransactionError::Encoding { .. })), "{at}");
    }
    for at in [0, 1, 4] {
        assert!(matches!(field(at, Item::Bytes(vec![1; 9])), Err(TransactionError::Encoding { .. })), "{at}");
    }
    for length in [1, 19, 21, 32] {
        let expected = TransactionError::FieldLength { field: "to", expected: 20, got: length };
        assert_eq!(field(5, Item::Bytes(vec![1; length])), Err(expected));
    }
    assert_eq!(field(5, Item::Bytes(vec![])).unwrap().to, None, "it creates a contract");
    assert_eq!(field(2, int(5)), Err(TransactionError::PriorityAboveMaximum));
    assert_eq!(field(3, Item::Bytes(vec![0xff; 32])), Err(TransactionError::FeeOverflow));
}

#[test]
fn an_access_list_is_read_within_its_limits() {
    let entry = |keys: usize| {
        let keys = vec![Item::Bytes(vec![9; 32]); keys];
        Item::List(vec![Item::Bytes(TO.into()), Item::List(keys)])
    };
    let read = |entries: Vec<Item>| decode(&typed(2, market(Item::List(entries)))).map(|t| t.access_list);
    let expected = Accessed { address: TO, storage_keys: vec![[9; 32]; 2] };
    assert_eq!(read(vec![entry(2), entry(0)]).unwrap()[0], expected);
    assert!(read(vec![entry(0); MAX_ACCESSED_ADDRESSES]).is_ok());
    assert_eq!(read(vec![entry(0); MAX_ACCESSED_ADDRESSES + 1]), Err(TransactionError::AccessListTooLong));
    assert!(read(vec![entry(MAX_ACCESSED_KEYS / 2); 2]).is_ok(), "the keys of all addresses count");
    let one_more = vec![entry(MAX_ACCESSED_KEYS / 2), entry(MAX_ACCESSED_KEYS / 2 + 1)];
    assert_eq!(read(one_more), Err(TransactionError::AccessListTooLong));
    for bad in [
        Item::Bytes(TO.into()),
        Item::List(vec![Item::Bytes(TO.into())]),
        Item::List(vec![Item::Bytes(vec![1; 19]), Item::List(vec![])]),
        Item::List(vec![Item::Bytes(TO.into()), Item::List(vec![Item::Bytes(vec![1; 31])])]),
        Item::List(vec![Item::Bytes(TO.into()), Item::List(vec![]), Item::List(vec![])]),
    ] {
        assert!(read(vec![bad]).is_err());
    }
}

/// One transaction in the words of another implementation, of each type in turn.
#[derive(Debug, Clone)]
struct Fields {
    kind: u8,
    chain_id: u64,
    nonce: u64,
    gas_limit: u64,
    price: u128,
    priority: u128,
    to: Option<Address>,
    value: [u8; 32],
    data: Vec<u8>,
    accessed: Vec<(Address, Vec<[u8; 32]>)>,
}

fn fields() -> impl Strategy<Value = Fields> {
    let accessed =
        proptest::collection::vec((any::<Address>(), proptest::collection::vec(any::<[u8; 32]>(), 0..3)), 0..4);
    let small_value = (any::<[u8; 32]>(), 0usize..=32).prop_map(|(mut value, zeros)| {
        value[..zeros].fill(0);
        value
    });
    let prices = (any::<u128>(), any::<u128>(), 0u32..128);
    let data = proptest::collection::vec(any::<u8>(), 0..200);
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    (0u8..3, numbers, prices, any::<Option<Address>>(), small_value, data, accessed).prop_map(
        |(kind, (chain_id, nonce, gas_limit), (price, priority, shift), to, value, data, accessed)| {
            let price = price >> shift;
            let priority = priority.min(price);
            Fields { kind, chain_id, nonce, gas_limit, price, priority, to, value, data, accessed }
        },
    )
}

/// The bytes to sign, and their hash.
fn theirs(fields: &Fields) -> (Vec<u8>, B256) {
    let Fields { kind, chain_id, nonce, gas_limit, price, priority, value, .. } = fields.clone();
    let to = fields.to.map_or(TxKind::Create, |to| TxKind::Call(TheirAddress::from(to)));
    let value = Theirs::from_be_bytes(value);
    let input = fields.data.clone().into();
    let accessed = fields.accessed.iter().map(|(address, keys)| AccessListItem {
        address: TheirAddress::from(*address),
        storage_keys: keys.iter().map(B256::from).collect(),
    });
    let access_list = AccessList(accessed.collect());
    match kind {
        0 => {
            let chain_id = Some(chain_id);
            let tx = TxLegacy { chain_id, nonce, gas_price: price, gas_limit, to, value, input };
            (tx.encoded_for_signing(), tx.signature_hash())
        }
        1 => {
            let tx = TxEip2930 { chain_id, nonce, gas_price: price, gas_limit, to, value, access_list, input };
            (tx.encoded_for_signing(), tx.signature_hash())
        }
        _ => {
            let (max_fee_per_gas, max_priority_fee_per_gas) = (price, priority);
            let tx = TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            };
            (tx.encoded_for_signing(), tx.signature_hash())
        }
    }
}

fn wide(number: u128) -> U256 {
    U256::from_be_slice(&number.to_be_bytes()).unwrap()
}

proptest! {
    #[test]
    fn what_another_implementation_encodes_is_read_back_and_has_its_digest(fields in fields()) {
        let (bytes, hash) = theirs(&fields);
        prop_assert_eq!(keccak256(&bytes), hash.0);
        let read = decode(&bytes).unwrap();
        prop_assert_eq!(
            (read.chain_id, read.nonce, read.gas_limit, read.to, read.value_wei, &read.data),
            (fields.chain_id, fields.nonce, fields.gas_limit, fields.to, U256::from_be_bytes(fields.value), &fields.data)
        );
        let expected = match fields.kind {
            0 => Fees::Legacy { gas_price: wide(fields.price) },
            1 => Fees::AccessList { gas_price: wide(fields.price) },
            _ => Fees::Market {
                max_fee_per_gas: wide(fields.price),
                max_priority_fee_per_gas: wide(fields.priority),
            },
        };
        prop_assert_eq!(&read.fees, &expected);
        prop_assert_eq!(read.fees.transaction_type(), fields.kind);
        prop_assert_eq!(Some(read.max_fee_wei), wide(fields.price).checked_mul(fields.gas_limit));
        let accessed = read.access_list.into_iter().map(|a| (a.address, a.storage_keys)).collect::<Vec<_>>();
        prop_assert_eq!(accessed, if fields.kind == 0 { vec![] } else { fields.accessed });
    }

    #[test]
    fn a_changed_byte_is_refused_or_makes_another_transaction(
        fields in fields(), at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let (bytes, _) = theirs(&fields);
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= flip;
        if let Ok(read) = decode(&changed) {
            prop_assert_ne!(read, decode(&bytes).unwrap());
        }
    }

    #[test]
    fn t46_bytes_of_any_kind_are_read_or_refused(
        kind in proptest::option::of(0u8..5), bytes in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let all = kind.into_iter().chain(bytes).collect::<Vec<_>>();
        let _ = decode(&all);
    }
}
