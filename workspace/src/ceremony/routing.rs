//! Which ceremony a co-signer's message concerns, as the message says. The ceremony checks that it does.

use super::agreement;
use super::coordinator::Coordinator;
use super::timers::Owner;
use countersign_wire::agreement::Subject;
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::ids::KeyId;

impl Coordinator {
    pub(super) fn owner_of(&self, message: &CosignerMessage) -> Option<Owner> {
        match message {
            CosignerMessage::Hello { .. } | CosignerMessage::Users { .. } => None,
            CosignerMessage::GroupAccepted { group, .. } => Some(Owner::Group(*group)),
            CosignerMessage::Authorised { transaction, .. }
            | CosignerMessage::AuthorisationRefused { transaction, .. }
            | CosignerMessage::AuthorisationWaiting { transaction, .. }
            | CosignerMessage::SignatureDone { transaction, .. } => Some(Owner::Transaction(*transaction)),
            CosignerMessage::ChangeWaiting { change, .. }
            | CosignerMessage::ChangeDecided { change, .. }
            | CosignerMessage::ChangeRefused { change, .. } => Some(Owner::Change(*change)),
            CosignerMessage::Ready { session, .. }
            | CosignerMessage::Refused { session, .. }
            | CosignerMessage::Aborted { session, .. } => self.sessions.get(session).cloned(),
            CosignerMessage::Acknowledged { .. }
            | CosignerMessage::NeverHeld { .. }
            | CosignerMessage::StillRunning { .. } => match agreement::subject_of(message)? {
                Subject::Aux(group) => Some(Owner::Group(group)),
                Subject::Key(key) => Some(Owner::Key(key)),
            },
            CosignerMessage::KeyPublished { key, .. } => Some(Owner::Key(*key)),
            CosignerMessage::Certificate { key, certificate } => {
                let word = certificate.peek_unverified().ok()?;
                self.certifying(key, word.vault_account, &word.asset)
            }
            CosignerMessage::CertificateRefused { key, vault_account, asset, .. } => {
                self.certifying(key, *vault_account, asset)
            }
        }
    }

    fn certifying(&self, key: &KeyId, vault_account: u32, asset: &str) -> Option<Owner> {
        let at = (vault_account, asset.to_owned());
        let asked = self.certificates.get(&at).is_some_and(|c| c.key == *key && c.is_for(vault_account, asset));
        asked.then_some(Owner::Certificate(at.0, at.1))
    }
}
