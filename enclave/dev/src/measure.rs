use countersign_attest::{Measurements, Pcr};
use sha2::{Digest, Sha384};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What PCR1 of a plain process covers in the place of a kernel.
const NO_KERNEL: &[u8] = b"countersign process mode: no kernel, no enclave";

/// Measurements of the running executable: PCR0 and PCR2 cover its file, PCR1 is a constant. They change with every
/// build, as an image's do; nobody but the process itself vouches for them.
pub fn measure_executable() -> std::io::Result<Measurements> {
    // The file that runs, even if another one has taken its place on disk.
    let running = Path::new("/proc/self/exe");
    if running.exists() { measure_file(running) } else { measure_file(&std::env::current_exe()?) }
}

fn measure_file(path: &Path) -> std::io::Result<Measurements> {
    let mut hash = Sha384::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let len = file.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        hash.update(buffer.get(..len).unwrap_or_default());
    }
    let executable = extend(hash.finalize().into());
    Ok(Measurements { pcr0: executable, pcr1: extend(Sha384::digest(NO_KERNEL).into()), pcr2: executable, pcr8: None })
}

/// A register of zeros, extended once: SHA-384 of its old value and the new data.
fn extend(data: Pcr) -> Pcr {
    Sha384::new().chain_update([0u8; 48]).chain_update(data).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_depend_on_every_byte_of_the_executable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("executable");
        std::fs::write(&path, vec![7u8; 100_000]).unwrap();
        let before = measure_file(&path).unwrap();
        let mut bytes = vec![7u8; 100_000];
        bytes[99_999] = 8;
        std::fs::write(&path, bytes).unwrap();
        let after = measure_file(&path).unwrap();
        assert_ne!(before.pcr0, after.pcr0);
        assert_eq!(before.pcr1, after.pcr1);
    }

    #[test]
    fn the_running_executable_measures_the_same_twice_and_never_zero() {
        let one = measure_executable().unwrap();
        assert_eq!(one, measure_executable().unwrap());
        assert!(one.pcr0 != [0; 48] && one.pcr1 != [0; 48] && one.pcr2 != [0; 48]);
    }
}
