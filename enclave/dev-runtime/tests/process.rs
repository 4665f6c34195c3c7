//! The development binary as a process, against a host that the test plays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cosigner_enclave::frames::{read_message, write_message};
use countersign_wire::Text;
use countersign_wire::host_link::{FromEnclave, FromHost, Opening};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tokio::net::{UnixListener, UnixStream};

const BINARY: &str = env!("CARGO_BIN_EXE_cosigner-enclave-dev");
const PATIENCE: Duration = Duration::from_secs(60);

fn call(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).current_dir(folder).output().unwrap()
}

fn line(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim_end().to_owned()
}

/// Ends the process with the test.
struct Enclave(Child);

impl Enclave {
    fn start(folder: &Path) -> Self {
        let child = Command::new(BINARY)
            .args(["--host-socket", "host.sock", "--development-root", "root", "--key-file", "key"])
            .args(["--test-primes", "0"])
            .current_dir(folder)
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// Asks it to end, and says how it did.
    fn terminate(&mut self) -> Option<i32> {
        Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        let start = Instant::now();
        loop {
            match self.0.try_wait().unwrap() {
                Some(status) => return status.code(),
                None if start.elapsed() > PATIENCE => panic!("it does not end"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Enclave {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn next(stream: &mut UnixStream) -> FromEnclave {
    tokio::time::timeout(PATIENCE, read_message(stream)).await.expect("nothing comes").unwrap()
}

#[tokio::test]
async fn it_loads_its_state_from_the_host_serves_and_ends_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(line(&call(folder.path(), &["make-root", "root"])), "root/development-root.pem");
    let listener = UnixListener::bind(folder.path().join("host.sock")).unwrap();
    let mut enclave = Enclave::start(folder.path());

    let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.expect("nobody comes").unwrap();
    assert!(matches!(read_message(&mut stream).await.unwrap(), Opening::Control { .. }));
    write_message(&mut stream, &FromHost::Welcome { version: Text::cut("1") }).await.unwrap();
    // It made its key before it connected: now its id can be asked for.
    assert!(line(&call(folder.path(), &["key-id", "--key-file", "key"])).starts_with("file:"));
    while next(&mut stream).await != FromEnclave::LoadBlobs {}
    write_message(&mut stream, &FromHost::BlobsEnd { count: 0 }).await.unwrap();
    // It lives: it reports regularly.
    let mut reports = 0;
    while reports < 2 {
        reports += usize::from(matches!(next(&mut stream).await, FromEnclave::Report { .. }));
    }
    assert_eq!(enclave.terminate(), Some(0));
}

#[test]
fn the_id_of_a_key_stays_differs_from_that_of_another_and_no_key_is_made_to_print_one() {
    let folder = tempfile::tempdir().unwrap();
    for (name, digits) in [("key", "01"), ("other", "02")] {
        let path = folder.path().join(name);
        std::fs::write(&path, digits.repeat(32)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let id = line(&call(folder.path(), &["key-id", "--key-file", "key"]));
    assert!(id.starts_with("file:"), "{id}");
    assert_eq!(line(&call(folder.path(), &["key-id", "--key-file", "key"])), id);
    assert_ne!(line(&call(folder.path(), &["key-id", "--key-file", "other"])), id);

    let elsewhere = call(folder.path(), &["key-id", "--key-file", "missing"]);
    let said = String::from_utf8_lossy(&elsewhere.stderr);
    assert!(elsewhere.status.code() == Some(1) && elsewhere.stdout.is_empty() && said.contains("missing"), "{said}");
    assert!(said.contains("start the enclave first") && !folder.path().join("missing").exists(), "{said}");
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let run = ["--host-socket", "s", "--development-root", "root", "--key-file", "key"];
    let no_root = call(folder.path(), &run);
    assert_eq!(no_root.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&no_root.stderr).contains("make-root"));

    line(&call(folder.path(), &["make-root", "root"]));
    let no_primes = call(folder.path(), &[&run[..], &["--test-primes", "4000"]].concat());
    assert_eq!(no_primes.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&no_primes.stderr).contains("4000"));

    let nothing = call(folder.path(), &[]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("--host-socket"));
}
