//! A destination in a body: an address that is written there, for nothing else can be held against a transaction.

use super::address::{Address, address, checksummed};
use super::differs;
use super::transaction::UnsignedTransaction;
use countersign_wire::refusal::{Code, Refusal};
use serde::Deserialize;

/// `{"type": "ONE_TIME_ADDRESS", "oneTimeAddress": {"address": "0x…"}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Destination {
    r#type: String,
    one_time_address: OneTimeAddress,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneTimeAddress {
    address: String,
    /// Other chains have one; some client libraries send it empty.
    tag: Option<String>,
}

impl Destination {
    /// The address.
    fn address(&self) -> Result<Address, Refusal> {
        let malformed = |detail: String| Refusal::new(Code::Malformed, detail);
        if self.r#type != "ONE_TIME_ADDRESS" {
            let got = &self.r#type;
            return Err(malformed(format!("expected a destination of type ONE_TIME_ADDRESS, got {got:?}")));
        }
        if self.one_time_address.tag.as_deref().is_some_and(|tag| !tag.is_empty()) {
            return Err(malformed("an Ethereum address has no tag".into()));
        }
        address(&self.one_time_address.address).map_err(|e| malformed(format!("destination: {e}")))
    }

    /// The transaction must go there.
    pub(super) fn check(&self, transaction: &UnsignedTransaction) -> Result<(), Refusal> {
        let expected = self.address()?;
        match transaction.to {
            Some(to) if to == expected => Ok(()),
            Some(to) => Err(differs("destination", checksummed(&expected), checksummed(&to))),
            None => Err(differs("destination", checksummed(&expected), "none: it creates a contract")),
        }
    }
}
