use countersign_stack::emulator::Image;
use flate2::read::GzDecoder;
use std::io::{self, Read};

/// How a gzip member begins (RFC 1952, section 2.3): its magic, and the one method that there is.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// Most bytes that a ramdisk may unpack to.
const MAX_RAMDISK_BYTES: u64 = 256 * 1024 * 1024;

/// What is in the ramdisks of an image, unpacked. Whatever else begins as a ramdisk does and is none is passed over.
///
/// # Errors
/// The image cannot be read.
pub fn unpacked(image: &Image) -> io::Result<Vec<u8>> {
    let packed = std::fs::read(image.file())?;
    let mut all = Vec::new();
    for place in (0..packed.len()).filter(|place| packed.get(*place..).is_some_and(|rest| rest.starts_with(&GZIP))) {
        let mut ramdisk = Vec::new();
        let rest = packed.get(place..).unwrap_or_default();
        if GzDecoder::new(rest).take(MAX_RAMDISK_BYTES).read_to_end(&mut ramdisk).is_ok() {
            all.append(&mut ramdisk);
        }
    }
    Ok(all)
}
