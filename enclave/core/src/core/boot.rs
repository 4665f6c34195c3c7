//! From the host's blobs to a co-signer that serves: the root, its key, the records.

use super::claim::Fresh;
use super::{Parts, Phase, SinceAsked, failed};
use crate::effect::Effect;
use crate::input::SealingKeyAnswer;
use crate::seal::{Root, Sealer};
use crate::serving::{Cx, Serving};
use countersign_channel::StaticKey;
use countersign_wire::SigningIdentity;
use countersign_wire::host_link::BlobName;
use countersign_wire::refusal::Code;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The key service unwraps the root key of these blobs.
pub(crate) struct Unlock {
    pub(super) root: Root,
    pub(super) blobs: BTreeMap<BlobName, Vec<u8>>,
    pub(super) host: SinceAsked,
}

pub(super) fn load(cx: &mut Cx<'_>) -> Phase {
    cx.out.push(Effect::LoadBlobs);
    Phase::Loading(BTreeMap::new())
}

impl Parts<'_> {
    pub(super) fn loaded(&mut self, cx: &mut Cx<'_>, blobs: BTreeMap<BlobName, Vec<u8>>, count: u64) -> Phase {
        if u64::try_from(blobs.len()) != Ok(count) {
            return failed(Code::Storage, format!("the host announced {count} blobs and presented {}", blobs.len()));
        }
        match Root::read(&blobs) {
            Ok(None) => {
                let secret: Zeroizing<[u8; 32]> = Zeroizing::new(cx.random());
                Phase::Fresh(Fresh { identity: SigningIdentity::from_secret(&secret) })
            }
            Ok(Some(root)) => {
                cx.out.push(Effect::UnwrapSealingKey {
                    instance: root.instance,
                    wrapping_key: root.wrapping_key.clone(),
                    wrapped: root.wrapped.to_vec(),
                });
                Phase::Unlocking(Box::new(Unlock { root, blobs, host: SinceAsked::Same }))
            }
            Err(error) => failed(Code::Storage, error.to_string()),
        }
    }

    pub(super) fn unlocked(
        &mut self,
        cx: &mut Cx<'_>,
        Unlock { root, blobs, host }: Unlock,
        answer: Result<SealingKeyAnswer, String>,
    ) -> Phase {
        match host {
            SinceAsked::Same => {}
            SinceAsked::Gone => return Phase::Waiting,
            SinceAsked::Back => return load(cx),
        }
        let key = match answer {
            Ok(answer) if answer.wrapping_key == root.wrapping_key.as_str() => answer.key,
            Ok(answer) => {
                let detail = format!(
                    "the root key is wrapped by {}, the root names {}",
                    answer.wrapping_key,
                    root.wrapping_key.as_str()
                );
                return failed(Code::KeyService, detail);
            }
            Err(detail) => return failed(Code::KeyService, detail),
        };
        let (instance, wrapping_key) = (root.instance, root.wrapping_key.clone());
        let (sealer, records) = match Sealer::open(&key, root, &blobs) {
            Ok(opened) => opened,
            Err(error) => return failed(Code::Storage, error.to_string()),
        };
        let entropy = &mut cx.caps.entropy;
        let loaded = Serving::load(sealer, records, &mut || StaticKey::generate(&mut **entropy));
        match loaded {
            Ok(loaded) if loaded.serving.settings.sealing_key.as_str() != wrapping_key.as_str() => {
                failed(Code::KeyService, "the root names another sealing key than operators did")
            }
            Ok(loaded) if loaded.serving.instance.0 != instance => {
                failed(Code::Storage, "the root is of another instance")
            }
            Ok(mut loaded) => {
                self.background.restore(loaded.spare_primes);
                loaded.serving.pairings.values_mut().for_each(|p| p.open_link(cx));
                Phase::Serving(Box::new(loaded.serving))
            }
            Err(error) => failed(Code::Storage, error.to_string()),
        }
    }
}
