//! What an approved change does, in the transaction that says that it is approved.

use crate::ceremony::Payload;
use crate::store::unmanaged::{self, Address, Wallet};
use crate::store::users::{self, User};
use crate::store::{StoreError, parsed};
use countersign_wire::refusal::{Code, Refusal};
use sqlx::SqliteConnection;

/// Puts a change in force, or says why that is impossible by now.
///
/// # Errors
/// The database cannot be written.
pub async fn apply(
    db: &mut SqliteConnection,
    payload: &Payload,
    now_ms: u64,
) -> Result<Result<(), Refusal>, StoreError> {
    match payload {
        Payload::AddUser { id, name, role, public_key } => {
            let (role, public_key) = (parsed("role", role)?, public_key.clone());
            let user = User { id: id.clone(), name: name.clone(), role, public_key, created_at_ms: now_ms };
            users::insert(db, &user).await?;
        }
        Payload::AddWallet { wallet, name, customer_ref_id } => {
            let (name, customer_ref_id) = (name.clone(), customer_ref_id.clone());
            unmanaged::insert(db, &Wallet { id: wallet.clone(), name, customer_ref_id }, now_ms).await?;
        }
        Payload::AddAddress { wallet, asset, address, tag } => {
            if unmanaged::get(db, wallet).await?.is_none() {
                let detail = format!("unmanaged wallet {wallet} was removed before its address was approved");
                return Ok(Err(Refusal::new(Code::NotFound, detail)));
            }
            let new = Address {
                wallet: wallet.clone(),
                asset: asset.clone(),
                address: address.clone(),
                tag: tag.clone(),
                created_at_ms: now_ms,
            };
            if !unmanaged::insert_address(db, &new).await? {
                let detail =
                    format!("unmanaged wallet {wallet} has another address for {asset} by now: remove it first");
                return Ok(Err(Refusal::new(Code::Conflict, detail)));
            }
        }
        // It is in force in the enclave, where its operators signed it.
        Payload::SetApproval { .. } => {}
    }
    Ok(Ok(()))
}
