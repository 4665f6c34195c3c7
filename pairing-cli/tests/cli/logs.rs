//! `cosigner logs`.

use crate::simulated_enclave::{SimulatedEnclave, USER};
use crate::workstation::Workstation;
use countersign_wire::ids::BootId;
use countersign_wire::status::{Event, Severity};
use countersign_wire::{List, Text};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// 2026-11-27 00:00:00Z.
const THEN_MS: u64 = 1_795_737_600_000;
/// How long a line that is on its way may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn event(number: u64, severity: Severity, user: Option<&str>) -> Event {
    let fields = user.map(|u| (Text::new("user").unwrap(), Text::new(u).unwrap()));
    Event {
        number,
        at_ms: THEN_MS + number * 1_000,
        severity,
        kind: Text::new("callback").unwrap(),
        fields: List::new(fields.into_iter().collect()).unwrap(),
        text: Text::new(format!("line {number}\u{1b}[2J")).unwrap(),
    }
}

fn numbers(result: &Value) -> Vec<u64> {
    result["lines"].as_array().unwrap().iter().map(|l| l["number"].as_u64().unwrap()).collect()
}

#[test]
fn lines_are_filtered_and_shown_unharmed() {
    let station = Workstation::new();
    let enclave = station.paired();
    enclave.state().events = vec![
        event(1, Severity::Info, None),
        event(2, Severity::Warning, Some(USER)),
        event(3, Severity::Error, Some("another")),
        event(4, Severity::Info, Some(USER)),
    ];
    let read = |flags: &[&str]| numbers(&station.json(&enclave, &[&["logs"], flags].concat()).result());
    assert_eq!(read(&[]), [1, 2, 3, 4]);
    assert_eq!(read(&["--severity", "warning"]), [2, 3]);
    assert_eq!(read(&["--user", USER]), [2, 4]);
    assert_eq!(read(&["--user", USER, "--severity", "error"]), [0; 0]);
    let run = station.run(&enclave, &["logs", "--user", USER]);
    assert_eq!(
        run.stdout,
        "2026-11-27 00:00:02Z warning callback: line 2\u{fffd}[2J user=api-user-1\n\
         2026-11-27 00:00:04Z info    callback: line 4\u{fffd}[2J user=api-user-1\n"
    );
}

#[test]
fn more_lines_than_one_answer_holds_are_read_and_lost_ones_said_aloud() {
    let station = Workstation::new();
    let enclave = station.paired();
    enclave.state().events = (301..=801).map(|n| event(n, Severity::Info, None)).collect();
    let result = station.json(&enclave, &["logs"]).result();
    assert_eq!((numbers(&result).len(), &result["lost"], &result["newest"]), (501, &json!(300), &json!(801)));
    let run = station.run(&enclave, &["logs"]);
    assert!(run.stderr.contains("the first 300 lines since the boot are not kept any more"), "{}", run.stderr);
}

/// The command while it follows; ended when dropped.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(station: &Workstation, enclave: &SimulatedEnclave) -> Self {
        let (socket, root) = (enclave.socket.to_str().unwrap(), enclave.root_file.to_str().unwrap());
        let mut child = Command::new(env!("CARGO_BIN_EXE_cosigner"))
            .env_clear()
            .env("COUNTERSIGN_CONFIG_DIR", station.file("config"))
            .args(["logs", "-f", "--json", "--socket", socket, "--development-root", root])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    fn next(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).expect("another line")).unwrap()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn following_shows_new_lines_says_gaps_and_survives_a_reboot() {
    let station = Workstation::new();
    let enclave = station.paired();
    enclave.state().events = vec![event(1, Severity::Info, None)];
    let following = Following::start(&station, &enclave);
    assert_eq!(following.next()["number"], 1);

    enclave.state().events.push(event(2, Severity::Info, None));
    assert_eq!(following.next()["number"], 2);

    enclave.state().events = vec![event(7, Severity::Info, None)];
    let gap = following.next();
    assert_eq!(gap["aside"], "gap");
    assert!(gap["text"].as_str().unwrap().contains("4 LINES ARE LOST"), "{gap}");
    assert_eq!(following.next()["number"], 7);

    {
        let mut state = enclave.state();
        state.boot = BootId([8; 16]);
        state.events = vec![event(1, Severity::Warning, None)];
    }
    let mut asides = Vec::new();
    let line = loop {
        let line = following.next();
        match line["aside"].as_str() {
            Some(what) => asides.push(what.to_owned()),
            None => break line,
        }
    };
    assert_eq!(asides, ["trouble", "reboot"]);
    assert_eq!((&line["number"], &line["severity"]), (&json!(1), &json!("warning")));
}
