//! One process of a stack: started with a log file and a ready file, killed and started again by whoever asks.

use crate::error::StackError;
use crate::files::tail;
use crate::wait::{Seen, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a process may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a process may take to stop after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Log lines shown when a process fails.
const SHOWN_LINES: usize = 12;

/// How a process is started. Its standard error and output go to the log.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name in the stack.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables, beside those of this process.
    pub environment: Vec<(String, String)>,
    /// Where its output goes, appended.
    pub log: PathBuf,
    /// The JSON file that it writes when it serves.
    pub ready: Option<PathBuf>,
}

/// A process that was started.
pub struct Process {
    plan: Plan,
    own_group: bool,
    child: Option<Child>,
    pid: Option<u32>,
}

impl Process {
    /// A process that does not run yet.
    pub fn new(plan: Plan) -> Self {
        Self { plan, own_group: false, child: None, pid: None }
    }

    /// Whether it has a process group of its own: what ends the group of whoever started it, such as an interrupt of the
    /// terminal, ends it then only through whoever started it.
    #[must_use]
    pub fn with_own_group(mut self, own_group: bool) -> Self {
        self.own_group = own_group;
        self
    }

    /// How it is started.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How it will be started the next time.
    pub fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Starts it. It has no standard input.
    pub fn start(&mut self) -> Result<(), StackError> {
        if let Some(ready) = &self.plan.ready {
            let _ = fs::remove_file(ready);
        }
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.plan.log)
            .map_err(StackError::file(&self.plan.log))?;
        let errors = log.try_clone().map_err(StackError::file(&self.plan.log))?;
        let mut command = Command::new(&self.plan.program);
        if self.own_group {
            command.process_group(0);
        }
        let child = command
            .args(&self.plan.arguments)
            .envs(self.plan.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(StackError::io(format!("starting {}", self.plan.program.display())))?;
        self.pid = child.id();
        self.child = Some(child);
        Ok(())
    }

    /// Waits until its ready file is there, written by this very process, and returns its content.
    pub async fn ready(&mut self) -> Result<Value, StackError> {
        let Some(path) = self.plan.ready.clone() else { return Ok(Value::Null) };
        let waited = until("its ready file", READY_TIMEOUT, || {
            let seen = self.ended().and_then(|ended| match ended {
                Some(status) => Err(self.failed(&status)),
                None => Ok(read_ready(&path, self.pid)),
            });
            std::future::ready(seen)
        });
        match waited.await {
            Err(StackError::Waited { seconds, .. }) => Err(StackError::NotReady {
                name: self.plan.name.clone(),
                seconds,
                log: self.plan.log.clone(),
                tail: tail(&self.plan.log, SHOWN_LINES),
            }),
            other => other,
        }
    }

    /// Whether it ended by itself, and how.
    pub fn ended(&mut self) -> Result<Option<String>, StackError> {
        let Some(child) = &mut self.child else { return Ok(Some("not started".into())) };
        let status = child.try_wait().map_err(StackError::io(format!("asking for {}", self.plan.name)))?;
        if status.is_some() {
            self.pid = None;
        }
        Ok(status.map(|s| s.to_string()))
    }

    fn failed(&self, status: &str) -> StackError {
        StackError::Ended {
            name: self.plan.name.clone(),
            status: status.to_owned(),
            log: self.plan.log.clone(),
            tail: tail(&self.plan.log, SHOWN_LINES),
        }
    }

    /// An error with its last lines if it ended by itself.
    pub fn check(&mut self) -> Result<(), StackError> {
        match self.ended()? {
            Some(status) => Err(self.failed(&status)),
            None => Ok(()),
        }
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    pub async fn kill(&mut self) -> Result<(), StackError> {
        self.pid = None;
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().await.map_err(StackError::io(format!("killing {}", self.plan.name)))
    }

    /// Asks it to end (SIGTERM), and ends it where it does not within [`STOP_TIMEOUT`]. Says whether it ended by itself.
    pub async fn stop(&mut self) -> Result<bool, StackError> {
        let Some(child) = &mut self.child else { return Ok(true) };
        if let Some(pid) = child.id() {
            terminate(pid);
        }
        let ended = tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_ok();
        self.kill().await?;
        Ok(ended)
    }

    /// Lets it run on after this program ends.
    pub fn release(&mut self) {
        // A child that is dropped is not killed: see `Drop` below.
        self.child = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whoever does not stop a stack in order, a test that failed for one, leaves no process behind.
        if let Some(child) = &mut self.child {
            let _ = child.start_kill();
        }
    }
}

fn read_ready(path: &Path, pid: Option<u32>) -> Seen<Value> {
    match fs::read(path).map(|bytes| serde_json::from_slice::<Value>(&bytes)) {
        Ok(Ok(value)) if value["pid"].as_u64() == pid.map(u64::from) => Seen::Done(value),
        Ok(Ok(_)) => Seen::NotYet("a ready file of another process".into()),
        Ok(Err(e)) => Seen::NotYet(format!("not JSON: {e}")),
        Err(e) => Seen::NotYet(e.to_string()),
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Sends SIGTERM to a process. One that is gone is no error.
pub fn terminate(pid: u32) {
    if let Some(pid) = to_pid(pid) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Sends SIGKILL to a process. One that is gone is no error.
pub fn kill_pid(pid: u32) {
    if let Some(pid) = to_pid(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// When a process was started, in clock ticks since boot: with it a process id that was given to another process shows.
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name in parentheses, may contain spaces; the start time is the 22nd.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let state = *fields.first()?;
    if state == "Z" { None } else { fields.get(19)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{getpgid, getpgrp};

    fn shell(folder: &Path, script: &str) -> Process {
        Process::new(Plan {
            name: "script".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("READY".into(), folder.join("ready").display().to_string())],
            log: folder.join("log"),
            ready: Some(folder.join("ready")),
        })
    }

    #[tokio::test]
    async fn a_process_is_ready_when_it_says_so_itself_and_is_gone_when_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell(folder.path(), r#"echo "{\"pid\":$$,\"x\":1}" > "$READY"; exec sleep 600"#);
        std::fs::write(folder.path().join("ready"), r#"{"pid":1}"#).unwrap();
        process.start().unwrap();
        assert_eq!(process.ready().await.unwrap()["x"], 1);
        let pid = process.pid().unwrap();
        assert!(start_ticks(pid).is_some());
        process.kill().await.unwrap();
        assert_eq!((start_ticks(pid), process.pid()), (None, None));
        process.start().unwrap();
        process.ready().await.unwrap();
        assert!(process.stop().await.unwrap());
    }

    #[tokio::test]
    async fn a_process_ends_with_the_group_of_who_started_it_unless_it_is_to_outlive_that() {
        let folder = tempfile::tempdir().unwrap();
        for own_group in [false, true] {
            let mut process = shell(folder.path(), "exec sleep 600").with_own_group(own_group);
            process.start().unwrap();
            let pid = to_pid(process.pid().unwrap()).unwrap();
            let group = getpgid(Some(pid)).unwrap();
            assert_eq!(group, if own_group { pid } else { getpgrp() });
            process.kill().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_process_that_ends_early_is_reported_with_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell(folder.path(), "echo no such thing >&2; exit 3");
        process.start().unwrap();
        let error = process.ready().await.unwrap_err();
        let StackError::Ended { status, tail, .. } = error else { panic!("{error}") };
        assert!(status.contains('3') && tail.contains("no such thing"), "{status} {tail}");
    }
}
