//! The hostile host and network, as chances in a thousand.

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

/// What goes wrong, and until when.
#[derive(Debug, Clone)]
pub struct Faults {
    /// A frame of a link is lost.
    pub drop: u32,
    /// A frame comes twice.
    pub duplicate: u32,
    /// A bit of a frame is flipped.
    pub tamper: u32,
    /// An older frame of the same link is delivered again.
    pub replay: u32,
    /// A frame is delivered to another co-signer, or as if from another one.
    pub cross_wire: u32,
    /// The process of a co-signer ends at a border between two effects.
    pub crash: u32,
    /// A peer packet comes as if from another party, or what one party sent comes over another one's link.
    pub impersonate: u32,
    /// The host's process ends at a border between two effects, and the co-signer lives on.
    pub host_crash: u32,
    /// A link breaks, and nothing else.
    pub link_break: u32,
    /// The workspace's process ends, at a message that comes in, or between its records and what it sends.
    pub workspace_crash: u32,
    /// An exchange fails.
    pub exchange: u32,
    /// Longest delay of anything, in ms: what is delayed is overtaken by others.
    pub delay_ms: u64,
    /// After this time (ms since the start of the run) nothing goes wrong any more.
    pub until_ms: u64,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self {
            drop: 0,
            duplicate: 0,
            tamper: 0,
            replay: 0,
            cross_wire: 0,
            crash: 0,
            impersonate: 0,
            host_crash: 0,
            link_break: 0,
            workspace_crash: 0,
            exchange: 0,
            delay_ms: 20,
            until_ms: 0,
        }
    }

    /// A mix that the seed chooses: some runs are nearly calm, some are storms.
    pub fn drawn(rng: &mut ChaCha20Rng) -> Self {
        let mut upto = |most: u32| if rng.next_u32().is_multiple_of(3) { 0 } else { rng.next_u32() % most };
        Self {
            drop: upto(150),
            duplicate: upto(150),
            tamper: upto(80),
            replay: upto(80),
            cross_wire: upto(60),
            crash: upto(8),
            impersonate: upto(60),
            host_crash: upto(8),
            link_break: upto(20),
            workspace_crash: upto(6),
            exchange: upto(200),
            delay_ms: 20 + u64::from(upto(1_500)),
            until_ms: 60_000 + u64::from(upto(60_000)),
        }
    }
}

/// Whether something with this chance in a thousand happens.
pub fn happens(rng: &mut ChaCha20Rng, chance: u32) -> bool {
    chance > 0 && rng.next_u32() % 1_000 < chance
}

/// From 1 to `most`.
pub fn between(rng: &mut ChaCha20Rng, most: u64) -> u64 {
    1 + rng.next_u64() % most.max(1)
}
