//! The enclave image format, version 4, and the measurements that the hypervisor takes of it. Source: AWS's definition in
//! `aws-nitro-enclaves-image-format` (src/defs/mod.rs); written here because that crate brings 250 others. What these
//! lines compute is compared with what an independent loader measures, in tests/nitro.

use sha2::{Digest, Sha384};

const MAGIC: &[u8; 4] = b".eif";
const VERSION: u16 = 4;
/// x86-64; bit 0 set would be ARM.
const FLAGS: u16 = 0;
const MAX_SECTIONS: usize = 32;
const HEADER_BYTES: usize = 4 + 2 + 2 + 8 + 8 + 2 + 2 + MAX_SECTIONS * 16 + 4 + 4;

const KERNEL: u16 = 1;
const COMMAND_LINE: u16 = 2;
const RAMDISK: u16 = 3;
const METADATA: u16 = 5;

/// What an image is made of.
pub struct Image<'a> {
    /// bzImage.
    pub kernel: &'a [u8],
    /// The kernel's command line.
    pub command_line: &'a str,
    /// The first process and where it mounts things.
    pub boot: &'a [u8],
    /// The program.
    pub application: &'a [u8],
    /// JSON for people and tools; not measured.
    pub metadata: &'a [u8],
    /// Memory that the image wants by default, in bytes.
    pub memory: u64,
    /// Processors that it wants by default.
    pub processors: u64,
}

/// PCR0, PCR1 and PCR2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pcrs {
    /// The whole image.
    pub pcr0: [u8; 48],
    /// Kernel, command line, boot ramdisk.
    pub pcr1: [u8; 48],
    /// The application.
    pub pcr2: [u8; 48],
}

impl Image<'_> {
    /// Measurements, as AWS documents them: each register starts as zeros and is extended once, with SHA-384 of what it
    /// covers.
    pub fn pcrs(&self) -> Pcrs {
        let command_line = self.command_line.as_bytes();
        Pcrs {
            pcr0: register(&[self.kernel, command_line, self.boot, self.application]),
            pcr1: register(&[self.kernel, command_line, self.boot]),
            pcr2: register(&[self.application]),
        }
    }

    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        let sections: [(u16, &[u8]); 5] = [
            (KERNEL, self.kernel),
            (COMMAND_LINE, self.command_line.as_bytes()),
            (METADATA, self.metadata),
            (RAMDISK, self.boot),
            (RAMDISK, self.application),
        ];
        let (mut body, mut offsets, mut sizes) = (Vec::new(), [0u64; MAX_SECTIONS], [0u64; MAX_SECTIONS]);
        for ((kind, content), (offset, size)) in sections.iter().zip(offsets.iter_mut().zip(sizes.iter_mut())) {
            *offset = (HEADER_BYTES + body.len()) as u64;
            *size = content.len() as u64;
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(&0u16.to_be_bytes());
            body.extend_from_slice(&size.to_be_bytes());
            body.extend_from_slice(content);
        }
        let mut file = Vec::with_capacity(HEADER_BYTES + body.len());
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&VERSION.to_be_bytes());
        file.extend_from_slice(&FLAGS.to_be_bytes());
        file.extend_from_slice(&self.memory.to_be_bytes());
        file.extend_from_slice(&self.processors.to_be_bytes());
        file.extend_from_slice(&0u16.to_be_bytes());
        file.extend_from_slice(&(sections.len() as u16).to_be_bytes());
        for number in offsets.into_iter().chain(sizes) {
            file.extend_from_slice(&number.to_be_bytes());
        }
        file.extend_from_slice(&0u32.to_be_bytes());
        // Over everything but itself.
        let mut crc = crc32fast::Hasher::new();
        crc.update(&file);
        crc.update(&body);
        file.extend_from_slice(&crc.finalize().to_be_bytes());
        file.extend_from_slice(&body);
        file
    }
}

fn register(covered: &[&[u8]]) -> [u8; 48] {
    let mut data = Sha384::new();
    covered.iter().for_each(|part| data.update(part));
    Sha384::new().chain_update([0u8; 48]).chain_update(data.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Image<'_> = Image {
        kernel: b"kernel",
        command_line: "console=ttyS0",
        boot: b"boot",
        application: b"application",
        metadata: b"{}",
        memory: 1 << 28,
        processors: 2,
    };

    #[test]
    fn each_register_covers_its_parts() {
        let before = IMAGE.pcrs();
        let after = Image { application: b"another", ..IMAGE }.pcrs();
        assert!(before.pcr0 != after.pcr0 && before.pcr1 == after.pcr1 && before.pcr2 != after.pcr2);
        let after = Image { boot: b"another", ..IMAGE }.pcrs();
        assert!(before.pcr0 != after.pcr0 && before.pcr1 != after.pcr1 && before.pcr2 == after.pcr2);
        let after = Image { command_line: "another", ..IMAGE }.pcrs();
        assert!(before.pcr0 != after.pcr0 && before.pcr1 != after.pcr1 && before.pcr2 == after.pcr2);
        assert_eq!(Image { metadata: b"another", memory: 0, ..IMAGE }.pcrs(), before);
    }

    #[test]
    fn the_file_says_where_its_sections_are_and_what_it_sums_up_to() {
        let file = IMAGE.encode();
        let number = |at: usize| u64::from_be_bytes(file[at..at + 8].try_into().unwrap_or_default());
        assert_eq!(HEADER_BYTES, 548);
        assert_eq!(&file[..6], b".eif\0\x04");
        let first = usize::try_from(number(28)).unwrap_or_default();
        assert_eq!((first, number(28 + MAX_SECTIONS * 8)), (HEADER_BYTES, 6));
        assert_eq!(&file[first + 12..first + 18], b"kernel");
        let mut without = file.clone();
        without.drain(HEADER_BYTES - 4..HEADER_BYTES);
        assert_eq!(crc32fast::hash(&without).to_be_bytes(), file[HEADER_BYTES - 4..HEADER_BYTES]);
    }
}
