//! Messages under the envelope of EIP-191, version 0x45 (`personal_sign`).

/// The bytes that are hashed: `0x19 ‖ "Ethereum Signed Message:\n" ‖ decimal length ‖ message`.
pub fn enveloped(message: &[u8]) -> Vec<u8> {
    let mut bytes = format!("\u{19}Ethereum Signed Message:\n{}", message.len()).into_bytes();
    bytes.extend_from_slice(message);
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::intent::keccak::keccak256;

    #[test]
    fn digests_are_those_that_wallets_make() {
        for (message, expected) in [
            ("hello world", "d9eba16ed0ecae432b71fe008c98cc872bb4cc214d3220a36f365326cf807d68"),
            ("Hello World", "a1de988600a42c4b4ab089b619297c17d53cffae5d5120d82d8a92d0bb3b78f2"),
            ("", "5f35dce98ba4fba25530a026ed80b2cecdaa31091ba4958b99b52ea1d068adad"),
        ] {
            assert_eq!(hex::encode(keccak256(&enveloped(message.as_bytes()))), expected, "{message:?}");
        }
    }

    #[test]
    fn the_length_is_in_bytes_and_the_envelope_begins_with_0x19() {
        assert_eq!(enveloped("é".as_bytes()), b"\x19Ethereum Signed Message:\n2\xc3\xa9");
    }
}
