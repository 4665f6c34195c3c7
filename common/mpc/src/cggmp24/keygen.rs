//! Distributed key generation with a threshold and a chain code.

use super::driver::{Driver, Ended, Parties};
use super::guard::Guard;
use super::material::Share;
use super::session::Session;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::plan::{ExecutionId, Output};
use cggmp24::keygen::ThresholdMsg;
use cggmp24::security_level::SecurityLevel128;
use generic_ec::curves::Secp256k1;
use rand_core::CryptoRngCore;
use round_based::state_machine::wrap_protocol;
use sha2::Sha256;

type Msg = ThresholdMsg<Secp256k1, SecurityLevel128, Sha256>;

pub(crate) fn start(
    execution: ExecutionId,
    parties: Parties,
    threshold: u16,
    mut rng: Box<dyn CryptoRngCore + Send>,
) -> Result<Box<dyn Machine>, Failure> {
    let (me, count) = (parties.me(), parties.count());
    if !(2..=count).contains(&threshold) {
        return Err(Failure::internal(format!("expected a threshold from 2 to {count}, got {threshold}")));
    }
    let session = Session::Keygen { parties: count, threshold }.id(execution)?;
    let protocol = wrap_protocol(move |party| async move {
        let core = cggmp24::keygen::<Secp256k1>(cggmp24::ExecutionId::new(&session), me, count)
            .set_threshold(threshold)
            .hd_wallet(true)
            .enforce_reliable_broadcast(true)
            .start(&mut rng.as_mut(), party)
            .await
            .map_err(|e| Ended::Scheme(Box::new(e)))?;
        let share = Share::check(core).map_err(|e| Ended::Internal(e.to_string()))?;
        if (share.core.i, share.parties, share.threshold) != (me, count, threshold) {
            return Err(Ended::Internal("the share is not the one that was asked for".into()));
        }
        share.encode().map(Output::KeyShare).map_err(|e| Ended::Internal(e.to_string()))
    });
    Ok(Box::new(Driver::new(parties, KeygenGuard, protocol)))
}

/// Nothing is added: the crate checks everything but the form.
struct KeygenGuard;

impl Guard for KeygenGuard {
    type Msg = Msg;
    type Wire = Msg;
    const MAX_BYTES: usize = countersign_wire::limits::MAX_KEYGEN_MESSAGE_BYTES;

    fn message(wire: &Msg) -> &Msg {
        wire
    }

    fn is_broadcast(message: &Msg) -> bool {
        !matches!(message, ThresholdMsg::Round2Uni(_))
    }

    fn view(message: &Msg) -> Option<&[u8]> {
        match message {
            ThresholdMsg::ReliabilityCheck(check) => Some(check.0.as_slice()),
            _ => None,
        }
    }

    fn send(&mut self, message: Msg) -> Result<Msg, Failure> {
        Ok(message)
    }

    fn receive(&mut self, _from: u16, wire: Msg) -> Result<Msg, &'static str> {
        Ok(wire)
    }

    fn check(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}
