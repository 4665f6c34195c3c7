//! Key certificates, and the binding of a vault account's asset to one key.

use crate::intent;
use crate::limits::MAX_VAULTS_PER_PAIRING;
use crate::serving::{Cx, PairingState, blobs};
use crate::state::{Agreed, VaultRecord};
use countersign_mpc::public;
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::evm::Asset;
use countersign_wire::group::Role;
use countersign_wire::ids::KeyId;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{List, Signed, Text};

impl PairingState {
    pub(super) fn certify(&mut self, cx: &mut Cx<'_>, key: KeyId, vault_account: u32, asset: Text<32>) {
        let message = match self.certificate(cx, key, vault_account, &asset) {
            Ok(certificate) => CosignerMessage::Certificate { key, certificate },
            Err(refusal) => CosignerMessage::CertificateRefused { key, vault_account, asset, refusal },
        };
        self.tell(cx, &message);
    }

    fn certificate(
        &mut self,
        cx: &mut Cx<'_>,
        id: KeyId,
        vault_account: u32,
        asset: &Text<32>,
    ) -> Result<Signed<KeyCertificate>, Refusal> {
        if self.record.role != Role::Customer {
            return Err(Refusal::new(Code::NotAllowed, "key certificates come from the customer's co-signer"));
        }
        let known = Asset::find(asset)
            .ok_or_else(|| Refusal::new(Code::Malformed, format!("asset {asset} is not supported")))?;
        let key = self.keys.get(&id).filter(|k| k.agreed == Agreed::Published);
        let key = key.ok_or_else(|| Refusal::new(Code::NotFound, format!("no published key {id}")))?;
        if key.purpose.coin_type != known.coin_type {
            let detail =
                format!("key {id} was made for coin type {}, {asset} has {}", key.purpose.coin_type, known.coin_type);
            return Err(Refusal::new(Code::PurposeMismatch, detail));
        }
        let internal = |e: String| Refusal::new(Code::Internal, e);
        let path = known
            .path(vault_account)
            .map_err(|e| Refusal::new(Code::Malformed, format!("vault account {vault_account}: {e}")))?;
        let public_key =
            public::derive(&key.public_key, &key.chain_code, &path).map_err(|e| internal(e.to_string()))?;
        let uncompressed = public::uncompressed(&public_key).map_err(|e| internal(e.to_string()))?;
        let group = self.record.accepted_group(&key.group).ok_or_else(|| internal("the key's group is gone".into()))?;
        let certificate = KeyCertificate {
            workspace: self.record.workspace,
            vault_account,
            asset: asset.clone(),
            key: id,
            algorithm: key.purpose.algorithm,
            signer: key.purpose.signer.clone(),
            operations: key.purpose.operations.clone(),
            path,
            public_key,
            address: Text::cut(intent::ethereum_address(&uncompressed)),
            group: group.id,
            parties: List::cut(group.parties.iter().map(|p| p.id).collect()),
            threshold: group.threshold,
            epoch: key.epoch,
        };
        self.bind_vault(cx, id, vault_account, asset)?;
        Ok(Signed::sign(&certificate, &self.identity))
    }

    fn bind_vault(&mut self, cx: &mut Cx<'_>, key: KeyId, vault_account: u32, asset: &Text<32>) -> Result<(), Refusal> {
        let place = (vault_account, asset.to_string());
        match self.vaults.get(&place) {
            Some(bound) if *bound == key => Ok(()),
            Some(bound) => {
                let detail = format!("asset {asset} of vault account {vault_account} belongs to key {bound} for ever");
                Err(Refusal::new(Code::Conflict, detail))
            }
            None if self.vaults.len() >= MAX_VAULTS_PER_PAIRING => {
                Err(Refusal::new(Code::Busy, format!("this pairing has {MAX_VAULTS_PER_PAIRING} vault assets")))
            }
            None => {
                let record = VaultRecord { vault_account, asset: asset.clone(), key };
                cx.save(blobs::vault(self.record.id, vault_account, asset), &record);
                self.vaults.insert(place, key);
                Ok(())
            }
        }
    }
}
