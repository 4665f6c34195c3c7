//! All processes of a stack, by name.

use crate::error::StackError;
use crate::files::write_private;
use crate::process::{Plan, Process, kill_pid, start_ticks, terminate};
use crate::wait::{Seen, until};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long processes of an earlier run may take to stop after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// A process as the list of running ones names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// When it was started, in clock ticks since the machine's boot.
    pub start_ticks: u64,
}

impl Running {
    /// Whether it still runs: the same id and the same start.
    pub fn is_there(&self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// The processes. A file lists the running ones, so that they can be ended by a later program.
pub struct Processes {
    list: PathBuf,
    /// What it last wrote there.
    written: Option<Vec<u8>>,
    own_groups: bool,
    all: BTreeMap<String, Process>,
}

impl Processes {
    /// None yet; `list` is the file.
    pub fn new(list: PathBuf) -> Self {
        Self { list, written: None, own_groups: false, all: BTreeMap::new() }
    }

    /// Whether each has a process group of its own.
    #[must_use]
    pub fn with_own_groups(mut self, own_groups: bool) -> Self {
        self.own_groups = own_groups;
        self
    }

    /// Starts a new process and waits until it is ready. Returns its ready file.
    pub async fn launch(&mut self, plan: Plan) -> Result<Value, StackError> {
        let name = plan.name.clone();
        self.all.insert(name.clone(), Process::new(plan).with_own_group(self.own_groups));
        self.start(&name).await
    }

    /// A process.
    pub fn get(&mut self, name: &str) -> Result<&mut Process, StackError> {
        self.all.get_mut(name).ok_or_else(|| StackError::UnknownProcess(name.to_owned()))
    }

    /// The names of all.
    pub fn names(&self) -> Vec<String> {
        self.all.keys().cloned().collect()
    }

    /// Starts one that does not run and waits until it is ready.
    pub async fn start(&mut self, name: &str) -> Result<Value, StackError> {
        let process = self.get(name)?;
        process.start()?;
        let ready = process.ready().await;
        self.write_list()?;
        ready
    }

    /// Ends one at once (SIGKILL).
    pub async fn kill(&mut self, name: &str) -> Result<(), StackError> {
        self.get(name)?.kill().await?;
        self.write_list()
    }

    /// The first that ended by itself, if any did.
    pub fn check(&mut self) -> Result<(), StackError> {
        for process in self.all.values_mut().filter(|p| p.pid().is_some()) {
            process.check()?;
        }
        Ok(())
    }

    /// Those that run.
    pub fn running(&self) -> Vec<Running> {
        let all = self.all.iter().filter_map(|(name, process)| {
            let pid = process.pid()?;
            Some(Running { name: name.clone(), pid, start_ticks: start_ticks(pid)? })
        });
        all.collect()
    }

    /// Asks all to end, in reverse order of names given, then the rest; ends those that do not. Removes the list,
    /// where it is still the own one.
    pub async fn stop_all(&mut self, last: &[&str]) -> Result<Vec<String>, StackError> {
        let (late, early): (Vec<String>, Vec<String>) =
            self.names().into_iter().partition(|n| last.contains(&n.as_str()));
        let mut forced = Vec::new();
        for names in [early, late] {
            for name in &names {
                if let Some(pid) = self.get(name)?.pid() {
                    terminate(pid);
                }
            }
            for name in names {
                if !self.get(&name)?.stop().await? {
                    forced.push(name);
                }
            }
        }
        if self.written.is_some() && fs::read(&self.list).ok() == self.written {
            let _ = fs::remove_file(&self.list);
        }
        Ok(forced)
    }

    /// Lets all run on after this program ends.
    pub fn release(&mut self) {
        self.all.values_mut().for_each(Process::release);
    }

    fn write_list(&mut self) -> Result<(), StackError> {
        let text = serde_json::to_vec_pretty(&self.running()).unwrap_or_default();
        write_private(&self.list, &text)?;
        self.written = Some(text);
        Ok(())
    }
}

/// Ends the processes of an earlier run by its list: those that are still the same. Returns how many there were.
pub async fn end_listed(list: &Path) -> Result<usize, StackError> {
    let Ok(text) = fs::read(list) else { return Ok(0) };
    let listed: Vec<Running> = serde_json::from_slice(&text).map_err(|e| StackError::Unexpected {
        expected: "a list of processes".into(),
        got: format!("{}: {e}", list.display()),
    })?;
    let there: Vec<Running> = listed.into_iter().filter(Running::is_there).collect();
    there.iter().for_each(|p| terminate(p.pid));
    let gone = until("the processes to end", STOP_TIMEOUT, || async {
        let left: Vec<&str> = there.iter().filter(|p| p.is_there()).map(|p| p.name.as_str()).collect();
        Ok(if left.is_empty() { Seen::Done(()) } else { Seen::NotYet(left.join(", ")) })
    });
    if gone.await.is_err() {
        there.iter().filter(|p| p.is_there()).for_each(|p| kill_pid(p.pid));
    }
    let _ = fs::remove_file(list);
    Ok(there.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path, name: &str) -> Plan {
        Plan {
            name: name.into(),
            program: "/bin/sleep".into(),
            arguments: vec!["600".into()],
            environment: vec![],
            log: folder.join("log"),
            ready: None,
        }
    }

    #[tokio::test]
    async fn a_later_program_ends_what_an_earlier_one_left_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("processes.json");
        let mut kept = Processes::new(list.clone());
        kept.launch(sleeper(folder.path(), "one")).await.unwrap();
        kept.launch(sleeper(folder.path(), "two")).await.unwrap();
        let mut running = kept.running();
        assert_eq!(running.len(), 2);
        // The second id now belongs to a process with another start: it must survive.
        if let Some(second) = running.get_mut(1) {
            second.start_ticks = second.start_ticks.saturating_sub(1);
        }
        fs::write(&list, serde_json::to_vec(&running).unwrap()).unwrap();
        assert_eq!(end_listed(&list).await.unwrap(), 1);
        assert!(kept.get("one").unwrap().ended().unwrap().is_some());
        assert!(kept.get("two").unwrap().ended().unwrap().is_none());
        assert!(kept.check().is_ok());
        kept.stop_all(&[]).await.unwrap();
        assert!(!list.exists());
    }

    #[tokio::test]
    async fn the_list_of_another_run_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("processes.json");
        let mut own = Processes::new(list.clone());
        own.launch(sleeper(folder.path(), "one")).await.unwrap();
        let mut other = Processes::new(list.clone());
        other.launch(sleeper(folder.path(), "two")).await.unwrap();
        own.stop_all(&[]).await.unwrap();
        assert!(list.exists());
        other.stop_all(&[]).await.unwrap();
        assert!(!list.exists());
    }
}
