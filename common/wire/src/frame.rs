//! Frames on the byte stream between an enclave and its host.
//!
//! ```text
//! offset  bytes  content
//! 0       2      magic 0xC5 0x16
//! 2       1      version, 1
//! 3       1      reserved, 0
//! 4       4      payload length, big endian, at most MAX_FRAME_BYTES
//! 8       …      payload: one encoded message
//! ```

use crate::limits::MAX_FRAME_BYTES;

/// First two bytes of every frame.
pub const MAGIC: [u8; 2] = [0xC5, 0x16];
/// Version of the frame layout.
pub const VERSION: u8 = 1;
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 8;

/// Why a frame was refused. The connection is closed; there is no way to find the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The stream does not carry our frames.
    #[error("expected a frame starting with c516, got {0:02x}{1:02x}")]
    Magic(u8, u8),
    /// The other side speaks another version.
    #[error("expected frame version 1, got {0}")]
    Version(u8),
    /// A reserved byte is not zero.
    #[error("expected the reserved byte to be 0, got {0}")]
    Reserved(u8),
    /// The declared payload is longer than allowed; nothing was allocated for it.
    #[error("expected a payload of at most {max} bytes, got {got}")]
    TooLarge {
        /// Most bytes allowed.
        max: usize,
        /// Bytes declared.
        got: usize,
    },
}

/// The header for a payload of `len` bytes.
pub fn header(len: usize) -> Result<[u8; HEADER_BYTES], FrameError> {
    let too_large = FrameError::TooLarge { max: MAX_FRAME_BYTES, got: len };
    if len > MAX_FRAME_BYTES {
        return Err(too_large);
    }
    let [a, b, c, d] = u32::try_from(len).map_err(|_| too_large)?.to_be_bytes();
    Ok([MAGIC[0], MAGIC[1], VERSION, 0, a, b, c, d])
}

/// The payload length that a header declares.
pub fn payload_len(header: &[u8; HEADER_BYTES]) -> Result<usize, FrameError> {
    let [m0, m1, version, reserved, a, b, c, d] = *header;
    if [m0, m1] != MAGIC {
        return Err(FrameError::Magic(m0, m1));
    }
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    if reserved != 0 {
        return Err(FrameError::Reserved(reserved));
    }
    let declared = u32::from_be_bytes([a, b, c, d]);
    match usize::try_from(declared) {
        Ok(len) if len <= MAX_FRAME_BYTES => Ok(len),
        _ => Err(FrameError::TooLarge { max: MAX_FRAME_BYTES, got: usize::try_from(declared).unwrap_or(usize::MAX) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_header() {
        assert_eq!(header(0x0001_0203).unwrap(), [0xC5, 0x16, 1, 0, 0, 1, 2, 3]);
        assert_eq!(payload_len(&[0xC5, 0x16, 1, 0, 0, 1, 2, 3]), Ok(0x0001_0203));
    }

    #[test]
    fn t45_a_declared_length_over_the_limit_is_refused() {
        assert!(matches!(payload_len(&[0xC5, 0x16, 1, 0, 0xff, 0xff, 0xff, 0xff]), Err(FrameError::TooLarge { .. })));
        assert!(header(MAX_FRAME_BYTES + 1).is_err());
    }

    #[test]
    fn t46_another_version_or_magic_is_a_typed_error() {
        assert_eq!(payload_len(&[0xC5, 0x16, 2, 0, 0, 0, 0, 0]), Err(FrameError::Version(2)));
        assert_eq!(payload_len(&[0x16, 0x03, 1, 0, 0, 0, 0, 0]), Err(FrameError::Magic(0x16, 3)));
        assert_eq!(payload_len(&[0xC5, 0x16, 1, 9, 0, 0, 0, 0]), Err(FrameError::Reserved(9)));
    }
}
