//! The binary as a process, in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where a host keeps everything; several hosts may run there one after the other.
#[derive(Clone)]
pub struct Place(Arc<TempDir>);

impl Place {
    pub fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().unwrap()))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A configuration whose tables can be extended: `[("dial", "max_streams = 1")]`.
    fn config(&self, extra: &[(&str, &str)]) -> String {
        let base = [
            ("enclave", format!("listen = \"unix:{}\"", self.path("enclave.sock").display())),
            ("storage", format!("directory = \"{}\"", self.path("store").display())),
            ("dial", String::new()),
            ("links", String::new()),
            ("admin", format!("socket = \"{}\"", self.path("admin.sock").display())),
            ("http", "listen = \"127.0.0.1:0\"".to_owned()),
            ("log", String::new()),
            ("process", format!("ready_file = \"{}\"", self.path("ready.json").display())),
        ];
        let mut text = String::new();
        for (table, lines) in base {
            text += &format!("[{table}]\n{lines}\n");
            for (_, more) in extra.iter().filter(|(name, _)| *name == table) {
                text += &format!("{more}\n");
            }
        }
        // The environment of whoever runs the tests has no say, unless a test wants that.
        for table in ["links", "dial"] {
            if !extra.iter().any(|(name, lines)| *name == table && lines.contains("proxy =")) {
                text = text.replace(&format!("[{table}]\n"), &format!("[{table}]\nproxy = \"none\"\n"));
            }
        }
        text
    }

    /// Starts a host and returns without waiting for it.
    pub fn spawn(&self, extra: &[(&str, &str)]) -> Child {
        self.spawn_with(Command::new(binary()), extra)
    }

    /// The same, by a command of one's own that ends in the host.
    fn spawn_with(&self, mut command: Command, extra: &[(&str, &str)]) -> Child {
        let config = self.path("config.toml");
        std::fs::write(&config, self.config(extra)).unwrap();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        command
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    pub async fn start(&self, extra: &[(&str, &str)]) -> Host {
        self.start_with(Command::new(binary()), extra).await
    }

    /// Starts a host by a command of one's own that ends in it.
    pub async fn start_with(&self, command: Command, extra: &[(&str, &str)]) -> Host {
        let _ = std::fs::remove_file(self.path("ready.json"));
        let mut child = self.spawn_with(command, extra);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read_to_string(self.path("ready.json")) {
                let ready: serde_json::Value = serde_json::from_str(&text).unwrap();
                return Host { child, http: ready["http"].as_str().unwrap().to_owned(), place: self.clone() };
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the host ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "the host did not start:\n{}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cosigner-host"))
}

/// A running host.
pub struct Host {
    child: Child,
    http: String,
    pub place: Place,
}

impl Host {
    pub async fn start(extra: &[(&str, &str)]) -> Self {
        Place::new().start(extra).await
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and waits.
    pub async fn terminate(mut self) -> ExitStatus {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }

    /// Status code and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).await.expect("an answer")
    }

    /// Status code and body, unless the host hangs up instead.
    async fn try_get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.http).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// The same, asked again while the host hangs up instead.
    pub async fn get_when_served(&self, path: &str) -> (u16, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.try_get(path).await {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} is not served");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn http_address(&self) -> &str {
        &self.http
    }

    /// The value of one metric, 0 if it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a metric is at least `value`.
    pub async fn metric_reaches(&self, name: &str, value: f64) {
        self.metrics_reach(&[name], value).await;
    }

    /// Waits until the sum of some metrics is at least `value`, and returns it.
    pub async fn metrics_reach(&self, names: &[impl AsRef<str>], value: f64) -> f64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut sum = 0.0;
            for name in names {
                sum += self.metric(name.as_ref()).await;
            }
            if sum >= value {
                return sum;
            }
            let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
            assert!(Instant::now() < deadline, "{names:?}: {sum} of {value}:\n{}", self.get("/metrics").await.1);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// Most virtual memory so far, in KiB: what is allocated counts, also where nothing was written to it.
    pub fn peak_virtual_kib(&self) -> u64 {
        self.memory_kib("VmPeak:")
    }

    fn memory_kib(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}
