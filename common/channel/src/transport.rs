use crate::ChannelError;
use crate::assembly::{Assembly, FRAGMENT_BYTES, HEADER_BYTES, split};
use crate::window::ReceiveWindow;
use snow::StatelessTransportState;
use std::fmt;
use zeroize::Zeroizing;

/// First counter that is never used. Long before it a channel should have been replaced.
pub const MAX_COUNTER: u64 = 1 << 48;
/// AES-GCM tag.
const TAG_BYTES: usize = 16;
/// Longest ciphertext.
const MAX_SEALED_BYTES: usize = FRAGMENT_BYTES + HEADER_BYTES + TAG_BYTES;
const _: () = assert!(MAX_SEALED_BYTES <= countersign_wire::limits::MAX_PACKET_BYTES);
const _: () = assert!(MAX_SEALED_BYTES <= countersign_wire::limits::MAX_ADMIN_BYTES);

/// An open channel. A packet is a counter and a ciphertext; the counter is the Noise nonce, so it needs no further
/// authentication. Each direction counts for itself, from 0.
pub struct Transport {
    noise: StatelessTransportState,
    next: u64,
    window: ReceiveWindow,
    assembly: Assembly,
}

impl Transport {
    pub(crate) fn new(noise: StatelessTransportState) -> Self {
        Self { noise, next: 0, window: ReceiveWindow::new(), assembly: Assembly::default() }
    }

    /// Seals one message into packets, to be sent in any order. Errors with [`ChannelError::CountersExhausted`] when a
    /// new handshake is needed, and if the message is longer than [`crate::MAX_MESSAGE_BYTES`].
    pub fn seal(&mut self, plaintext: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, ChannelError> {
        let fragments = split(plaintext)?;
        let needed = u64::try_from(fragments.len()).unwrap_or(u64::MAX);
        if self.next.saturating_add(needed) > MAX_COUNTER {
            return Err(ChannelError::CountersExhausted { max: MAX_COUNTER });
        }
        let mut packets = Vec::with_capacity(fragments.len());
        for fragment in &fragments {
            // Used up even if sealing fails: a counter must never seal twice.
            let counter = self.next;
            self.next = self.next.saturating_add(1);
            let mut sealed = vec![0u8; fragment.len().saturating_add(TAG_BYTES)];
            let len = self
                .noise
                .write_message(counter, fragment, &mut sealed)
                .map_err(|e| ChannelError::Noise(e.to_string()))?;
            sealed.truncate(len);
            packets.push((counter, sealed));
        }
        Ok(packets)
    }

    /// Opens one packet. Returns a message when its last missing fragment came. After an error the channel is as before:
    /// a forged packet does no harm, and the genuine one is still accepted.
    pub fn open(&mut self, counter: u64, ciphertext: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, ChannelError> {
        if counter >= MAX_COUNTER {
            return Err(ChannelError::CountersExhausted { max: MAX_COUNTER });
        }
        if ciphertext.len() > MAX_SEALED_BYTES {
            return Err(ChannelError::TooLarge { what: "packet", max: MAX_SEALED_BYTES, got: ciphertext.len() });
        }
        self.window.check(counter)?;
        let mut fragment = Zeroizing::new(vec![0u8; ciphertext.len()]);
        let len = self
            .noise
            .read_message(counter, ciphertext, &mut fragment)
            .map_err(|_| ChannelError::Tampered { what: "packet" })?;
        fragment.truncate(len);
        let message = self.assembly.add(counter, &fragment)?;
        self.window.mark(counter);
        self.assembly.forget_before(self.window.oldest());
        Ok(message)
    }

    /// Messages of which some but not all fragments came.
    pub fn incomplete(&self) -> usize {
        self.assembly.len()
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport(next {}, incomplete {})", self.next, self.incomplete())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Pattern, Recipe, StaticKey, random_secret};
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    /// Both ends of a channel without documents.
    fn pair() -> (Transport, Transport) {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let recipe = |initiator, static_key, ephemeral| Recipe {
            pattern: Pattern::Nx,
            initiator,
            prologue: Vec::new(),
            static_key,
            ephemeral,
        };
        let mut a = recipe(true, None, random_secret(&mut rng)).start().unwrap();
        let key = StaticKey::generate(&mut rng);
        let mut b = recipe(false, Some(key), random_secret(&mut rng)).start().unwrap();
        b.read("1", &a.write(b"").unwrap()).unwrap();
        a.read("2", &b.write(b"").unwrap()).unwrap();
        (a.finish().unwrap().0, b.finish().unwrap().0)
    }

    #[test]
    fn the_last_counters_ask_for_a_new_handshake_and_never_wrap() {
        let (mut a, mut b) = pair();
        a.next = MAX_COUNTER - 2;
        let exhausted = Err(ChannelError::CountersExhausted { max: MAX_COUNTER });
        assert_eq!(a.seal(&vec![0; 3 * FRAGMENT_BYTES]), exhausted, "not three at once");
        for packet in a.seal(&vec![1; 2 * FRAGMENT_BYTES]).unwrap() {
            b.open(packet.0, &packet.1).unwrap();
        }
        assert_eq!(a.next, MAX_COUNTER);
        assert_eq!(a.seal(b""), exhausted);
        assert_eq!(a.seal(b""), exhausted);
    }

    #[test]
    fn an_authentic_packet_that_is_no_fragment_changes_nothing() {
        let (a, mut b) = pair();
        let mut sealed = vec![0; 2 + TAG_BYTES];
        a.noise.write_message(5, b"no", &mut sealed).unwrap();
        assert!(matches!(b.open(5, &sealed), Err(ChannelError::Fragment { .. })));
        assert!(matches!(b.open(5, &sealed), Err(ChannelError::Fragment { .. })), "its counter was not used up");
        assert_eq!(b.window.oldest(), 0);
    }
}
