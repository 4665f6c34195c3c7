//! A key service that wraps and unwraps root keys, without any security, and can be at fault.

use cosigner_core::SealingKeyAnswer;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// How it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyServiceFault {
    /// It makes no key.
    RefusesToMake,
    /// It unwraps no key.
    RefusesToUnwrap,
    /// It wraps, and says that it wrapped, under another key than it was asked for.
    UsesAnotherKey,
    /// What it unwraps is not what it wrapped.
    UnwrapsSomethingElse,
}

/// See the module. What it wrapped says all: the wrapping key's name and the number of the root key.
#[derive(Debug, Default)]
pub struct SimulatedKeyService {
    made: u64,
    /// What is wrong with it.
    pub fault: Option<KeyServiceFault>,
}

impl SimulatedKeyService {
    pub(super) fn make(&mut self, instance: &[u8; 32], wrapping_key: &str) -> Result<SealingKeyAnswer, String> {
        let wrapping_key = match self.fault {
            Some(KeyServiceFault::RefusesToMake) => return Err("refused to make a key".into()),
            Some(KeyServiceFault::UsesAnotherKey) => "another key",
            _ => wrapping_key,
        };
        self.made += 1;
        let wrapped = format!("{wrapping_key}#{}", self.made).into_bytes();
        Ok(unwrapped(instance, wrapped))
    }

    pub(super) fn unwrap(&self, instance: &[u8; 32], wrapped: Vec<u8>) -> Result<SealingKeyAnswer, String> {
        let mut answer = unwrapped(instance, wrapped);
        match self.fault {
            Some(KeyServiceFault::RefusesToUnwrap) => return Err("refused to unwrap a key".into()),
            Some(KeyServiceFault::UnwrapsSomethingElse) => answer.key[0] ^= 1,
            _ => {}
        }
        Ok(answer)
    }
}

/// What the key service in order answers about what it wrapped.
pub fn unwrapped(instance: &[u8; 32], wrapped: Vec<u8>) -> SealingKeyAnswer {
    let key =
        Sha256::new().chain_update(b"simulated root key").chain_update(instance).chain_update(&wrapped).finalize();
    let text = String::from_utf8_lossy(&wrapped).into_owned();
    let wrapping_key = text.split_once('#').map_or(text.as_str(), |(name, _)| name).to_owned();
    SealingKeyAnswer { key: Zeroizing::new(key.into()), wrapped, wrapping_key }
}
