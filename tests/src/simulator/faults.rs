//! The hostile host and network, as chances in a thousand.

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

/// A way in which something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// See [`Faults::drop`].
    Drop,
    /// See [`Faults::duplicate`].
    Duplicate,
    /// See [`Faults::tamper`].
    Tamper,
    /// See [`Faults::replay`].
    Replay,
    /// See [`Faults::cross_wire`].
    CrossWire,
    /// See [`Faults::crash`].
    Crash,
    /// See [`Faults::impersonate`].
    Impersonate,
    /// See [`Faults::host_crash`].
    HostCrash,
    /// See [`Faults::link_break`].
    LinkBreak,
    /// See [`Faults::workspace_crash`].
    WorkspaceCrash,
    /// See [`Faults::exchange`].
    Exchange,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Drop,
        Self::Duplicate,
        Self::Tamper,
        Self::Replay,
        Self::CrossWire,
        Self::Crash,
        Self::Impersonate,
        Self::HostCrash,
        Self::LinkBreak,
        Self::WorkspaceCrash,
        Self::Exchange,
    ];
}

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

    /// The chance of one kind.
    pub fn chance(&self, kind: FaultKind) -> u32 {
        match kind {
            FaultKind::Drop => self.drop,
            FaultKind::Duplicate => self.duplicate,
            FaultKind::Tamper => self.tamper,
            FaultKind::Replay => self.replay,
            FaultKind::CrossWire => self.cross_wire,
            FaultKind::Crash => self.crash,
            FaultKind::Impersonate => self.impersonate,
            FaultKind::HostCrash => self.host_crash,
            FaultKind::LinkBreak => self.link_break,
            FaultKind::WorkspaceCrash => self.workspace_crash,
            FaultKind::Exchange => self.exchange,
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
