//! The keys that sign requests to handlers, read once: checking an RSA key takes longer than signing with it.

use crate::state::Pairing;
use countersign_token::SigningKey;
use countersign_wire::ids::ApiUserId;
use countersign_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The keys of one pairing: its own, and those of API users that have one.
#[derive(Default)]
pub(crate) struct RequestKeys(BTreeMap<Option<ApiUserId>, Arc<SigningKey>>);

impl RequestKeys {
    /// The key that signs requests to the handler of `user`. Where that is to be its own, no other one does.
    pub(crate) fn of_user(&mut self, record: &Pairing, user: &ApiUserId) -> Result<Arc<SigningKey>, Refusal> {
        let own = record.users.iter().find(|u| u.id == *user && u.signs_own_requests());
        let (owner, secret) = match own {
            Some(user) => (Some(user.id.clone()), &user.request_key),
            None => (None, &record.callback_key),
        };
        if let Some(key) = self.0.get(&owner) {
            return Ok(key.clone());
        }
        let key = SigningKey::from_pkcs8_der(secret.expose())
            .map_err(|e| Refusal::new(Code::Internal, format!("the key for callback requests cannot be used: {e}")))?;
        let key = Arc::new(key);
        self.0.insert(owner, key.clone());
        Ok(key)
    }

    /// Settings changed: keys are read anew.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}
