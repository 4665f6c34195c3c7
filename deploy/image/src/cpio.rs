//! A ramdisk: a cpio archive in the `newc` format (cpio(5); the kernel's Documentation/driver-api/early-userspace/
//! buffer-format.rst), compressed. The same entries give the same bytes: no times, no owners, inodes by position.

use flate2::{Compression, GzBuilder};
use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_555;
const CHARACTER_DEVICE: u32 = 0o020_600;
/// Numbers of `/dev/console`, on which the kernel opens the first process's standard output.
const CONSOLE: (u32, u32) = (5, 1);

/// An archive that grows.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a folder.
    pub fn folder(&mut self, name: &str) {
        self.entry(name, DIRECTORY, (0, 0), &[]);
    }

    /// Adds an executable file.
    pub fn executable(&mut self, name: &str, content: &[u8]) {
        self.entry(name, EXECUTABLE, (0, 0), content);
    }

    /// Adds the console's device.
    pub fn console(&mut self, name: &str) {
        self.entry(name, CHARACTER_DEVICE, CONSOLE, &[]);
    }

    fn entry(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.entries = self.entries.saturating_add(1);
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            u32::try_from(content.len()).unwrap_or(u32::MAX),
            0,
            0,
            major,
            minor,
            u32::try_from(name.len()).unwrap_or(u32::MAX).saturating_add(1),
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }

    /// The whole archive, compressed (gzip, without name and time).
    pub fn compressed(mut self) -> io::Result<Vec<u8>> {
        self.entries = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
        gzip.write_all(&self.bytes)?;
        gzip.finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Read;

    fn archive() -> Vec<u8> {
        let mut archive = Archive::default();
        archive.folder("dev");
        archive.console("dev/console");
        archive.executable("init", b"hello");
        archive.compressed().unwrap()
    }

    #[test]
    fn an_archive_has_its_entries_in_order_each_padded_to_four_bytes() {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&archive()[..]).read_to_end(&mut plain).unwrap();
        assert_eq!(plain.len() % 4, 0);
        let text = String::from_utf8_lossy(&plain);
        let at = |part: &str| text.find(part).unwrap();
        assert!(at("dev\0") < at("dev/console\0") && at("dev/console\0") < at("init\0"));
        assert!(at("init\0") < at("hello") && at("hello") < at("TRAILER!!!\0"));
        assert!(text.starts_with("07070100000001000041ed"), "{text}");
        assert_eq!(text.matches("070701").count(), 4);
    }

    #[test]
    fn the_same_entries_give_the_same_bytes() {
        assert_eq!(archive(), archive());
    }
}
