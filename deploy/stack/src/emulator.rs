//! An enclave image in QEMU's nitro-enclave machine: a vsock device and the machine, two processes. `tests/nitro/tools`
//! builds both programs, `deploy/image/build` the images.

use crate::error::StackError;
use crate::files::write_private;
use crate::member::Surroundings;
use crate::process::Plan;
use crate::programs;
use crate::stack::Material;
use crate::wait::{Seen, until};
use countersign_wire::host_link::VSOCK_PORT;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// Port from which a development image fetches what it cannot bring along.
const PARTS_PORT: u32 = 5017;
/// The context id that the emulated device knows the parent by.
const PARENT_CID: u32 = 2;
/// The enclave's context id. Each device has one enclave, so that any number does.
const ENCLAVE_CID: u32 = 4;
/// How long the device may take to listen.
pub const DEVICE_TIMEOUT: Duration = Duration::from_secs(20);

/// A built image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Folder with `enclave.eif` and `measurements.json`.
    pub folder: PathBuf,
    /// Memory that it gets, in MiB.
    pub memory_mib: u32,
}

impl Image {
    /// `production` or `development`, as `deploy/image/build` makes them, with 512 MiB of memory.
    ///
    /// # Errors
    /// It is not built.
    pub fn built(kind: &str) -> Result<Self, StackError> {
        let folder = programs::folder("image", "deploy/image/build")?.join(kind);
        Ok(Self { folder, memory_mib: 512 })
    }

    /// The image.
    pub fn file(&self) -> PathBuf {
        self.folder.join("enclave.eif")
    }

    /// Its measurements.
    pub fn measurements(&self) -> PathBuf {
        self.folder.join("measurements.json")
    }
}

/// Where the emulator's sockets of one enclave are.
#[derive(Debug, Clone)]
pub struct Sockets {
    base: PathBuf,
}

impl Sockets {
    /// All of them have names that begin with `base`.
    pub fn new(base: PathBuf) -> Self {
        Self { base }
    }

    fn port(&self, port: u32) -> PathBuf {
        self.base.with_added_extension(format!("v_{port}"))
    }

    /// Where the host has to listen.
    pub fn host(&self) -> PathBuf {
        self.port(VSOCK_PORT)
    }

    /// Between device and machine.
    pub fn device(&self) -> PathBuf {
        self.base.with_added_extension("d")
    }

    /// Where the device takes connections to the enclave.
    fn vsock(&self) -> PathBuf {
        self.base.with_added_extension("v")
    }

    /// Removes what a device left that was ended.
    pub fn clear(&self) {
        for left in [self.device(), self.vsock()] {
            let _ = fs::remove_file(left);
        }
    }

    /// Waits until the device takes a machine.
    ///
    /// # Errors
    /// Not within [`DEVICE_TIMEOUT`].
    pub async fn device_is_there(&self) -> Result<(), StackError> {
        let socket = self.device();
        until(socket.display(), DEVICE_TIMEOUT, || {
            let seen = if socket.exists() { Seen::Done(()) } else { Seen::NotYet("not there".into()) };
            std::future::ready(Ok(seen))
        })
        .await
    }
}

/// The device's and the machine's processes.
pub fn plans(names: [String; 2], image: &Image, sockets: &Sockets, log: &Path) -> Result<[Plan; 2], StackError> {
    let tools = programs::folder("nitro-tools", "tests/nitro/tools")?;
    let [device, machine] = names;
    let vsock = sockets.vsock();
    let (device_socket, firmware) = (sockets.device().display().to_string(), tools.join("firmware"));
    let vm = format!("guest-cid={ENCLAVE_CID},socket={device_socket},uds-path={}", vsock.display());
    let device = Plan {
        name: device,
        program: tools.join("vhost-device-vsock"),
        arguments: vec!["--vm".into(), vm.into()],
        environment: vec![],
        log: log.with_extension("vsock.log"),
        ready: None,
    };
    let memory = format!("{}M", image.memory_mib);
    let (machine_type, parent) =
        (format!("nitro-enclave,vsock=c,id={machine}"), format!("parent_cid={PARENT_CID} quiet"));
    let chardev = format!("socket,id=c,path={device_socket}");
    let mut arguments: Vec<std::ffi::OsString> =
        vec!["-L".into(), firmware.into(), "-kernel".into(), image.file().into()];
    for (flag, value) in [
        ("-M", machine_type.as_str()),
        ("-accel", "tcg"),
        ("-cpu", "max"),
        ("-m", &memory),
        ("-append", &parent),
        ("-chardev", &chardev),
        ("-serial", "stdio"),
        ("-monitor", "none"),
    ] {
        arguments.extend([flag.into(), value.into()]);
    }
    arguments.extend(["-nodefaults", "-nographic", "-no-reboot"].map(Into::into));
    let machine = Plan {
        name: machine,
        program: tools.join("qemu-system-x86_64"),
        arguments,
        environment: vec![],
        log: log.to_owned(),
        ready: None,
    };
    Ok([device, machine])
}

/// Gives a development image its parts, each time that it asks for them; ends with the handle.
pub struct PartsServer {
    task: JoinHandle<()>,
    asked: Arc<AtomicUsize>,
}

impl Drop for PartsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PartsServer {
    /// Listens. The wrapping key is made where there is none.
    pub fn start(
        sockets: &Sockets,
        around: &Surroundings,
        key_file: &Path,
        index: usize,
        material: Material,
    ) -> Result<Self, StackError> {
        if !key_file.exists() {
            let key: String = (0..2).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
            write_private(key_file, key.as_bytes())?;
        }
        let read = |path: &Path| fs::read_to_string(path).map_err(StackError::file(path));
        let parts = json!({
            "root": read(&around.development_root.join("development-root.key"))?,
            "wrapping_key": read(key_file)?.trim(),
            "test_primes": (material != Material::Own).then_some(index),
            "test_aux_info": material == Material::TestAuxInfo,
            "public_root": around.public_root.as_deref().map(read).transpose()?,
        });
        let path = sockets.port(PARTS_PORT);
        let listener = UnixListener::bind(&path).map_err(StackError::file(&path))?;
        let parts = parts.to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                // An enclave that went away meanwhile asks again.
                let _ = stream.write_all(parts.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Ok(Self { task, asked })
    }

    /// How often an enclave came for its parts.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}
