//! Rotation: operators have the state put under another root key, of the same key of the key service or of another one.

use crate::events::Fields;
use crate::input::SealingKeyAnswer;
use crate::new_root_key::{Asked, NewRootKey};
use crate::seal::RootKey;
use crate::serving::{Cx, Serving};
use countersign_wire::Text;
use countersign_wire::admin::Done;
use countersign_wire::limits::MAX_URL_BYTES;
use countersign_wire::refusal::{Code, Refusal};
use countersign_wire::status::Severity;

/// A rotation under way.
pub(crate) struct Rotation {
    /// The admin connection that waits for the result; none when the host was away since: then nothing is rotated.
    connection: Option<u64>,
    asked: NewRootKey,
}

impl Rotation {
    /// The host is gone: the answer that comes is not for the one that asked.
    pub(crate) fn host_gone(&mut self) {
        self.connection = None;
    }
}

impl Serving {
    /// Asks the key service for a root key. The result goes to `connection`.
    pub(super) fn begin_rotation(
        &mut self,
        cx: &mut Cx<'_>,
        connection: u64,
        sealing_key: Text<MAX_URL_BYTES>,
    ) -> Result<(), Refusal> {
        if self.rotation.is_some() {
            return Err(Refusal::new(Code::Busy, "the sealing key is being rotated; try again when that is done"));
        }
        let asked = NewRootKey::ask(cx, self.instance.0, sealing_key);
        self.rotation = Some(Rotation { connection: Some(connection), asked });
        Ok(())
    }

    /// The key service answered. Returns what to tell whom, when it is all done.
    pub(crate) fn sealing_key_answered(
        &mut self,
        cx: &mut Cx<'_>,
        answer: Result<SealingKeyAnswer, String>,
    ) -> Option<(u64, Result<Done, Refusal>)> {
        let Rotation { connection, asked } = self.rotation.take()?;
        let connection = connection?;
        let result = match asked.answered(cx, answer) {
            Asked::Again(asked) => {
                self.rotation = Some(Rotation { connection: Some(connection), asked });
                return None;
            }
            Asked::Ended(made) => made.and_then(|root_key| self.rotate(cx, root_key)),
        };
        if let Err(refusal) = &result {
            let mut fields = Fields::default();
            fields.add("code", refusal.code);
            cx.event(Severity::Warning, "sealing-key", fields, "the sealing key was not rotated");
        }
        Some((connection, result))
    }

    fn rotate(&mut self, cx: &mut Cx<'_>, root_key: RootKey) -> Result<Done, Refusal> {
        let sealing_key = root_key.wrapping_key.clone();
        let rotated = self.sealer.rotate(root_key, &mut *cx.caps.entropy);
        rotated.map_err(|error| Refusal::new(Code::Storage, error.to_string()))?;
        let mut fields = Fields::default();
        fields.add("before", &self.settings.sealing_key).add("after", &sealing_key);
        cx.event(Severity::Info, "sealing-key", fields, "operators rotated the sealing key");
        self.settings.sealing_key = sealing_key;
        self.count_command(cx);
        Ok(Done::SealingKeyRotated)
    }
}
