//! A root key of the key service's making, for a claim or a rotation.
//!
//! The service makes the root key and is asked at once to unwrap it again: a key that wraps and does not unwrap would lock
//! the co-signer out of its own state at the next boot.

use crate::effect::Effect;
use crate::input::SealingKeyAnswer;
use crate::seal::RootKey;
use crate::serving::Cx;
use countersign_wire::Text;
use countersign_wire::limits::MAX_URL_BYTES;
use countersign_wire::refusal::{Code, Refusal};

/// A root key that the key service is asked for.
pub(crate) struct NewRootKey {
    instance: [u8; 32],
    sealing_key: Text<MAX_URL_BYTES>,
    /// What the service made, while it is asked to unwrap it.
    made: Option<SealingKeyAnswer>,
}

/// What an answer of the key service leads to.
pub(crate) enum Asked {
    /// It was asked once more.
    Again(NewRootKey),
    /// That is all.
    Ended(Result<RootKey, Refusal>),
}

impl NewRootKey {
    /// Asks for one, sealed with the key that operators named.
    pub(crate) fn ask(cx: &mut Cx<'_>, instance: [u8; 32], sealing_key: Text<MAX_URL_BYTES>) -> Self {
        cx.out.push(Effect::GenerateSealingKey { instance, wrapping_key: sealing_key.clone() });
        Self { instance, sealing_key, made: None }
    }

    /// The service answered.
    pub(crate) fn answered(self, cx: &mut Cx<'_>, answer: Result<SealingKeyAnswer, String>) -> Asked {
        let refused = |detail: String| Asked::Ended(Err(Refusal::new(Code::KeyService, detail)));
        let Self { instance, sealing_key, made } = self;
        let answer = match answer {
            Ok(answer) if answer.wrapping_key == sealing_key.as_str() => answer,
            Ok(answer) => {
                let used = answer.wrapping_key;
                return refused(format!("the key service's key is {used}, operators named {sealing_key}"));
            }
            Err(detail) => return refused(detail),
        };
        let Some(made) = made else {
            let wrapped = answer.wrapped.clone();
            cx.out.push(Effect::UnwrapSealingKey { instance, wrapping_key: sealing_key.clone(), wrapped });
            return Asked::Again(Self { instance, sealing_key, made: Some(answer) });
        };
        if *made.key != *answer.key {
            return refused("the key service unwraps another key than it wrapped".into());
        }
        Asked::Ended(Ok(RootKey { key: made.key, wrapping_key: sealing_key, wrapped: made.wrapped }))
    }
}
