//! A fresh enclave and its claim (threat T51): who commands it from then on, and under which key it seals.

use super::boot::load;
use super::{Parts, Phase, SinceAsked};
use crate::input::SealingKeyAnswer;
use crate::new_root_key::{Asked, NewRootKey};
use crate::seal::Sealer;
use crate::serving::{Cx, Serving, blobs};
use crate::state::{PrimesRecord, Secret, Settings};
use countersign_wire::SigningIdentity;
use countersign_wire::admin::{AdminResponse, Done};
use countersign_wire::command::{Change, SignedCommand};
use countersign_wire::ids::InstanceId;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::status::Description;
use countersign_wire::{List, Text};
use zeroize::Zeroizing;

/// An unclaimed enclave: its identity lives in memory only.
pub(crate) struct Fresh {
    pub(super) identity: SigningIdentity,
}

/// A claim under way.
pub(crate) struct Claim {
    pub(super) fresh: Fresh,
    pub(super) connection: u64,
    pub(super) settings: Settings,
    pub(super) asked: NewRootKey,
    pub(super) host: SinceAsked,
}

impl Fresh {
    pub(super) fn instance(&self) -> InstanceId {
        InstanceId(self.identity.public())
    }
}

impl Parts<'_> {
    pub(super) fn claim(&mut self, cx: &mut Cx<'_>, fresh: Fresh, connection: u64, signed: &SignedCommand) -> Phase {
        let authority = crate::admin::command::Authority {
            instance: fresh.instance(),
            settings_epoch: 0,
            nonce: self.admins.take_nonce(connection),
            operators: &[],
            required: 0,
        };
        match crate::admin::command::verify(signed, &authority) {
            Ok(Change::Claim { operators, required, sealing_key }) => {
                let secret = Zeroizing::new(fresh.identity.secret());
                let settings = Settings {
                    name: Text::default(),
                    identity: Secret::new(&*secret),
                    operators,
                    required,
                    sealing_key: sealing_key.clone(),
                    epoch: 1,
                };
                let asked = NewRootKey::ask(cx, fresh.instance().0, sealing_key);
                Phase::Claiming(Box::new(Claim { fresh, connection, settings, asked, host: SinceAsked::Same }))
            }
            Ok(_) => {
                let refusal = Refusal::new(Code::NotClaimed, "this co-signer is not claimed: `cosigner init` first");
                self.admins.answer(cx, connection, &AdminResponse::Refused(refusal));
                Phase::Fresh(fresh)
            }
            Err(refusal) => {
                self.admins.answer(cx, connection, &AdminResponse::Refused(refusal));
                Phase::Fresh(fresh)
            }
        }
    }

    pub(super) fn describe_unclaimed(&mut self, cx: &mut Cx<'_>, instance: InstanceId, connection: u64) -> Description {
        Description {
            name: Text::default(),
            instance,
            boot: cx.boot,
            version: Text::cut(cx.caps.version),
            operators: List::default(),
            required: 0,
            sealing_key: Text::default(),
            settings_epoch: 0,
            pending_changes: 0,
            nonce: self.admins.new_nonce(cx, connection),
            measurements: cx.caps.measurements.clone(),
        }
    }

    pub(super) fn claimed(&mut self, cx: &mut Cx<'_>, claim: Claim, answer: Result<SealingKeyAnswer, String>) -> Phase {
        let Claim { fresh, connection, settings, asked, host } = claim;
        match host {
            SinceAsked::Same => {}
            SinceAsked::Gone => return Phase::Waiting,
            SinceAsked::Back => return load(cx),
        }
        let sealer = match asked.answered(cx, answer) {
            Asked::Again(asked) => {
                return Phase::Claiming(Box::new(Claim { fresh, connection, settings, asked, host }));
            }
            Asked::Ended(made) => made.and_then(|root_key| {
                let sealer = Sealer::create(root_key, fresh.instance().0, &mut *cx.caps.entropy);
                sealer.map_err(|error| Refusal::new(Code::KeyService, error.to_string()))
            }),
        };
        let sealer = match sealer {
            Ok(sealer) => sealer,
            Err(refusal) => {
                self.admins.answer(cx, connection, &AdminResponse::Refused(refusal));
                return Phase::Fresh(fresh);
            }
        };
        cx.save(blobs::settings(), &settings);
        if let Some(primes) = self.background.spare_primes() {
            cx.save(blobs::spare_primes(), &PrimesRecord { group: None, primes: primes.clone() });
        }
        let serving = Serving::new(fresh.identity, settings, sealer);
        self.admins.answer(cx, connection, &AdminResponse::Done(Done::Claimed));
        Phase::Serving(Box::new(serving))
    }
}
