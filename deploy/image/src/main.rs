//! Puts an enclave image together from a kernel, a first process and a program, and says what it measures. `deploy/image/
//! build` builds those and calls this.

mod cpio;
mod eif;

use anyhow::{Context, Result};
use clap::Parser;
use cpio::Archive;
use eif::Image;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The kernel's command line. `reboot=t`: a triple fault, the one way of ending the machine that the emulator has, too.
/// `random.trust_cpu`: the processor's generator alone would do for a start; the enclave adds the security module's.
const COMMAND_LINE: &str = "reboot=t console=ttyS0 panic=-1 random.trust_cpu=on";
/// Memory and processors by default; whoever starts the enclave may give more.
const MEMORY: u64 = 512 << 20;
const PROCESSORS: u64 = 2;

/// Makes an enclave image (EIF) and its measurements.
#[derive(Debug, Parser)]
#[command(name = "countersign-image")]
struct Arguments {
    /// The kernel (bzImage).
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// What the kernel was built from.
    #[arg(long, value_name = "FILE")]
    built_from: PathBuf,
    /// The first process: a static executable.
    #[arg(long, value_name = "FILE")]
    init: PathBuf,
    /// The program of the enclave: a static executable.
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// Folder for `enclave.eif`, `measurements.json` and `built-from`.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// What else the image was built with: a line for people.
    #[arg(long, value_name = "TEXT")]
    toolchain: String,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (kernel, init, program) = (read(&arguments.kernel)?, read(&arguments.init)?, read(&arguments.program)?);
    let mut boot = Archive::default();
    for folder in ["dev", "proc", "sys"] {
        boot.folder(folder);
    }
    boot.console("dev/console");
    boot.executable("init", &init);
    let boot = boot.compressed().context("the boot ramdisk")?;
    let mut application = Archive::default();
    application.executable("cosigner-enclave", &program);
    let application = application.compressed().context("the application's ramdisk")?;
    let version = env!("CARGO_PKG_VERSION");
    let metadata = json!({
        "ImageName": "countersign", "ImageVersion": version,
        "BuildMetadata": {
            "BuildTime": "1970-01-01T00:00:00Z", "BuildTool": "countersign-image", "BuildToolVersion": version,
            "OperatingSystem": "none", "KernelVersion": "see built-from",
        },
        "DockerInfo": {}, "CustomMetadata": {},
    })
    .to_string();
    let image = Image {
        kernel: &kernel,
        command_line: COMMAND_LINE,
        boot: &boot,
        application: &application,
        metadata: metadata.as_bytes(),
        memory: MEMORY,
        processors: PROCESSORS,
    };
    let pcrs = image.pcrs();
    let file = image.encode();
    let measurements = json!({
        "pcr0": hex::encode(pcrs.pcr0), "pcr1": hex::encode(pcrs.pcr1), "pcr2": hex::encode(pcrs.pcr2),
    });
    let built_from = String::from_utf8(read(&arguments.built_from)?).context("built-from: expected text")?;
    let parts = [("kernel", &kernel), ("init", &init), ("program", &program), ("enclave.eif", &file)];
    let hashes: String =
        parts.iter().map(|(name, bytes)| format!("{name}: sha256 {}\n", hex::encode(Sha256::digest(bytes)))).collect();
    std::fs::create_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    write(&arguments.out.join("enclave.eif"), &file)?;
    write(&arguments.out.join("measurements.json"), format!("{measurements:#}\n").as_bytes())?;
    let all = format!("{built_from}toolchain: {}\ncommand line: {COMMAND_LINE}\n{hashes}", arguments.toolchain);
    write(&arguments.out.join("built-from"), all.as_bytes())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}
