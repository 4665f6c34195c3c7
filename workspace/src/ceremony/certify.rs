//! A key certificate: asked of the customer's co-signer, compared with what was asked, kept.

use super::context::{Ceremony, Context, named};
use super::messages::{Kind, Report};
use super::parties::Parties;
use super::record::{CertificateRecord, Record};
use super::retry::Retry;
use countersign_wire::ceremony::{CosignerMessage, WorkspaceMessage};
use countersign_wire::certificate::KeyCertificate;
use countersign_wire::group::Group;
use countersign_wire::ids::{KeyId, PartyId};
use countersign_wire::key::{Algorithm, DerivationPath};
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::{Signed, Text};

pub(super) struct Certifying {
    pub key: KeyId,
    vault_account: u32,
    asset: Text<32>,
    path: DerivationPath,
    group: Group,
    asking: Retry,
    until_ms: u64,
    trouble: Option<Refusal>,
    outcome: Option<CertificateRecord>,
    over: bool,
}

impl Certifying {
    pub fn new(
        key: KeyId,
        vault_account: u32,
        asset: Text<32>,
        path: DerivationPath,
        group: Group,
        until_ms: u64,
    ) -> Self {
        Self {
            key,
            vault_account,
            asset,
            path,
            group,
            asking: Retry::now(),
            until_ms,
            trouble: None,
            outcome: None,
            over: false,
        }
    }

    /// Whether a message about this vault account and asset is about this.
    pub fn is_for(&self, vault_account: u32, asset: &str) -> bool {
        self.vault_account == vault_account && self.asset.as_str() == asset
    }

    fn end(&mut self, ctx: &mut Context<'_>, answer: Result<Signed<KeyCertificate>, Refusal>) {
        let subject = format!("{}/{}", self.vault_account, self.asset.as_str());
        let (certificate, refusal) = match answer {
            Ok(certificate) => (Some(certificate), None),
            Err(refusal) => (None, Some(refusal)),
        };
        ctx.report(match &refusal {
            None => Report::Succeeded { kind: Kind::Certify, subject },
            Some(refusal) => Report::Failed { kind: Kind::Certify, subject, refusal: refusal.clone(), blamed: None },
        });
        self.outcome = Some(CertificateRecord {
            vault_account: self.vault_account,
            asset: self.asset.clone(),
            key: self.key,
            certificate,
            refusal,
        });
        self.over = true;
    }

    fn check(&self, ctx: &Context<'_>, word: &KeyCertificate) -> Result<(), Refusal> {
        let address = ctx.checks.address(self.asset.as_str(), &word.public_key);
        let parties_fit = word.parties.iter().eq(self.group.parties.iter().map(|p| &p.id));
        let checks = [
            (word.workspace == ctx.workspace, "workspace"),
            (word.vault_account == self.vault_account, "vault account"),
            (word.asset == self.asset, "asset"),
            (word.key == self.key, "key"),
            (word.algorithm == Algorithm::EcdsaSecp256k1, "algorithm"),
            (word.path == self.path, "derivation path"),
            (word.group == self.group.id, "group"),
            (parties_fit, "list of parties"),
            (word.threshold == self.group.threshold, "threshold"),
            (address.as_deref() == Some(word.address.as_str()), "address than that of its public key"),
        ];
        match checks.into_iter().find(|(fits, _)| !fits) {
            Some((_, what)) => Err(Refusal::new(Code::Mismatch, format!("the certificate names another {what}"))),
            None => Ok(()),
        }
    }

    fn on_certificate(&mut self, ctx: &mut Context<'_>, from: PartyId, signed: &Signed<KeyCertificate>) {
        let word = match signed.open(&from.0) {
            Ok(word) => word,
            Err(e) => return ctx.bad_message(from, e.to_string()),
        };
        let answer = self.check(ctx, &word).map(|()| signed.clone()).map_err(|refusal| named(&from, &refusal));
        self.end(ctx, answer);
    }
}

impl Ceremony for Certifying {
    fn concerns(&self, party: &PartyId) -> bool {
        self.group.customer() == Some(*party)
    }

    fn greeted(&mut self, _ctx: &mut Context<'_>, _party: PartyId) {
        self.asking = Retry::now();
    }

    fn rebooted(&mut self, _ctx: &mut Context<'_>, _party: PartyId) {
        self.asking = Retry::now();
    }

    fn receive(&mut self, ctx: &mut Context<'_>, from: PartyId, message: &CosignerMessage) {
        if self.over {
            return;
        }
        match message {
            CosignerMessage::Certificate { certificate, .. } => self.on_certificate(ctx, from, certificate),
            CosignerMessage::CertificateRefused { refusal, .. } if super::authorisation::is_passing(refusal.code) => {
                self.trouble = Some(named(&from, refusal));
            }
            CosignerMessage::CertificateRefused { refusal, .. } => self.end(ctx, Err(named(&from, refusal))),
            _ => {}
        }
    }

    fn advance(&mut self, ctx: &mut Context<'_>) {
        if self.over {
            return;
        }
        let Some(customer) = self.group.customer() else { return };
        if ctx.now_ms >= self.until_ms {
            let sentence = format!("no key certificate in time from co-signer {customer}; is it connected?");
            let refusal = self.trouble.take().unwrap_or_else(|| Refusal::new(Code::Timeout, sentence));
            return self.end(ctx, Err(refusal));
        }
        let (key, vault_account, asset) = (self.key, self.vault_account, self.asset.clone());
        let message = WorkspaceMessage::Certify { key, vault_account, asset };
        if self.asking.is_due(ctx.now_ms) && ctx.send(customer, message) {
            self.asking.sent(ctx.now_ms, ctx.settings);
        }
    }

    fn next_wake_ms(&self, parties: &Parties) -> Option<u64> {
        let up = self.group.customer().is_some_and(|id| parties.is_connected(&id));
        (!self.over).then(|| if up { self.asking.at_ms.min(self.until_ms) } else { self.until_ms })
    }

    fn take_record(&mut self) -> Option<Record> {
        self.outcome.take().map(Record::Certificate)
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
