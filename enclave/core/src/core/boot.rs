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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Core;
    use crate::capability::without_documents;
    use crate::input::Input;
    use crate::seal::RootKey;
    use crate::serving::blobs;
    use crate::state::{Secret, Settings};
    use countersign_wire::refusal::Refusal;
    use countersign_wire::{List, Message, Text};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const ROOT_KEY: [u8; 32] = [7; 32];
    const IDENTITY: [u8; 32] = [8; 32];

    /// Boots from a state that was sealed with `sealed_with`, where operators named `named`.
    fn boot(sealed_with: &str, named: &str, instance: [u8; 32]) -> Option<Refusal> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let wrapping_key = Text::new(sealed_with).unwrap();
        let root_key = RootKey { key: Zeroizing::new(ROOT_KEY), wrapping_key, wrapped: b"wrapped".to_vec() };
        let mut sealer = Sealer::create(root_key, instance, &mut rng).unwrap();
        let settings = Settings {
            name: Text::default(),
            identity: Secret::new(&IDENTITY),
            operators: List::default(),
            required: 1,
            sealing_key: Text::new(named).unwrap(),
            epoch: 1,
        };
        let change = (blobs::settings(), Some(Zeroizing::new(settings.encode())));
        let stored = sealer.seal(vec![change], &mut rng).unwrap();
        let capabilities = without_documents(rng);
        let mut core = Core::new(capabilities, 1);
        core.step(1, Input::HostConnected);
        let count = stored.len() as u64;
        for write in stored {
            core.step(1, Input::Blob { name: write.name, value: write.value.unwrap().into_vec() });
        }
        core.step(1, Input::BlobsEnd { count });
        let key = Zeroizing::new(ROOT_KEY);
        let answer = SealingKeyAnswer { key, wrapped: b"wrapped".to_vec(), wrapping_key: sealed_with.to_owned() };
        core.step(1, Input::SealingKey(Ok(answer)));
        core.failure().cloned()
    }

    #[test]
    fn t42_a_state_under_another_sealing_key_or_instance_than_its_settings_say_is_refused() {
        let own = SigningIdentity::from_secret(&IDENTITY).public();
        assert_eq!(boot("one", "one", own), None);
        let refused = boot("another", "one", own).unwrap();
        assert_eq!(refused.code, Code::KeyService);
        assert!(refused.detail.contains("another sealing key than operators did"), "{refused}");
        let refused = boot("one", "one", [9; 32]).unwrap();
        assert_eq!(refused.code, Code::Storage);
        assert!(refused.detail.contains("of another instance"), "{refused}");
    }
}
