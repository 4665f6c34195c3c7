//! What people see of a real system, compared with the files that documents show. `COUNTERSIGN_WRITE_GOLDEN=1` writes them
//! anew; read the difference before you commit it.

use std::collections::BTreeMap;
use std::path::Path;

/// Where documents say that the admin socket is.
const SOCKET: &str = "/tmp/cosigner.sock";
/// Checks of `doctor` that tell of the machine on which the tests run: how full its disk is, and how fast.
const OF_THE_MACHINE: [(&str, &str); 2] =
    [("storage", "nothing waits, batches are durable within 4.2 ms"), ("disk", "60.0 GiB of 100.0 GiB free (60 %)")];
/// Steps of `callback test`, and the times that stand for theirs.
const STEPS: [(&str, &str); 6] = [
    ("resolve", "1.2 ms"),
    ("connect", "12.0 ms"),
    ("TLS", "30.1 ms"),
    ("HTTP", "40.2 ms"),
    ("signature", ""),
    ("payload", ""),
];
/// What stands for a number in front of a unit.
const MEASURES: [(&str, &str); 3] = [("ms", "83.6"), ("days", "94"), ("blobs", "42")];

/// That a command showed what the file holds.
#[track_caller]
pub fn compare(name: &str, shown: &str, socket: &Path) {
    let shown = normalised(shown, &socket.display().to_string());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/outputs").join(format!("{name}.txt"));
    if std::env::var_os("COUNTERSIGN_WRITE_GOLDEN").is_some() {
        std::fs::write(&file, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(shown, expected, "{} is not as shown", file.display());
}

/// The text with fixed stand-ins for what differs from run to run: ids, ports, times, dates, versions, paths.
fn normalised(text: &str, socket: &str) -> String {
    let mut names = Names::default();
    let mut lines: Vec<String> = Vec::new();
    let mut skips = false;
    for line in text.replace(socket, SOCKET).lines() {
        if std::mem::take(&mut skips) && line.trim_start().starts_with("next:") {
            continue;
        }
        let first = line.split_whitespace().next().unwrap_or_default();
        if let Some((check, says)) = OF_THE_MACHINE.iter().find(|(check, _)| *check == first) {
            skips = true;
            lines.push(format!("  {check:<12}  {:<11}  {says}", "passed"));
        } else if let Some((step, took)) = STEPS.iter().find(|(step, _)| *step == first) {
            lines.push(of_step(step, took, line, &mut names));
        } else {
            lines.push(names.replace(line));
        }
    }
    let summary = summary(&lines);
    for line in &mut lines {
        if line.ends_with("not checked") && line.contains(" warnings, ") {
            line.clone_from(&summary);
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A line of `callback test`: name, outcome, time, what was seen. Times decide how wide their column is.
fn of_step(step: &str, took: &str, line: &str, names: &mut Names) -> String {
    let rest = line.trim_start().strip_prefix(step).unwrap_or_default().trim_start();
    let (outcome, rest) = rest.split_once("  ").unwrap_or((rest, ""));
    let (took, says) = match rest.trim_start().split_once(" ms") {
        Some((number, says)) if number.parse::<f64>().is_ok() => (took, says),
        _ => ("", rest),
    };
    let says = names.replace(says.trim_start());
    format!("  {step:<9}  {outcome}  {took:>7}  {says}").trim_end().to_owned()
}

/// The last line of `doctor`, counted anew: a check of the machine may have become another one.
fn summary(lines: &[String]) -> String {
    let count = |word: &str| {
        let of_check = |line: &&String| line.starts_with("  ") && line.get(16..).is_some_and(|l| l.starts_with(word));
        lines.iter().filter(of_check).count()
    };
    format!(
        "{} failed, {} warnings, {} passed, {} not checked",
        count("FAILED"),
        count("warning"),
        count("passed"),
        count("not checked")
    )
}

/// What stands for ids and fingerprints: the same for the same one.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn replace(&mut self, line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let inside = out.chars().last().is_some_and(|c| c.is_ascii_alphanumeric());
            match (!inside).then(|| self.token(rest, &out)).flatten() {
                Some((len, shown)) => {
                    out.push_str(&shown);
                    rest = &rest[len..];
                }
                None => {
                    out.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        out
    }

    /// What `rest` begins with: its length, and what stands for it.
    fn token(&mut self, rest: &str, before: &str) -> Option<(usize, String)> {
        let len = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(rest.len());
        let word = &rest[..len];
        let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        if word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && word.split('-').all(hex) {
            return Some((len, self.numbered(word, |n| uuid(&format!("{n:x}")))));
        }
        if len == 64 && hex(word) {
            return Some((len, self.numbered(word, |n| format!("{n:x}{:x}", 15 - n).repeat(32))));
        }
        if word.split('-').map(str::len).eq([4, 2, 2]) && word.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            return Some((len, "2027-03-01".to_owned()));
        }
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        if digits == 0 {
            return None;
        }
        if before.ends_with("127.0.0.1:") || before.ends_with(" port ") {
            return Some((digits, "8443".to_owned()));
        }
        if before.ends_with("version ") {
            let digits = rest[..digits].trim_end_matches('.').len();
            return Some((digits, "0.1.0".to_owned()));
        }
        let unit = rest[digits..].strip_prefix(' ')?.split(|c: char| !c.is_alphabetic()).next()?;
        let (_, number) = MEASURES.iter().find(|(of, _)| *of == unit)?;
        Some((digits, (*number).to_owned()))
    }

    fn numbered(&mut self, word: &str, make: impl Fn(usize) -> String) -> String {
        let next = self.0.len() + 1;
        self.0.entry(word.to_owned()).or_insert_with(|| make(next)).clone()
    }
}

/// A UUID of one digit.
fn uuid(digit: &str) -> String {
    [8, 4, 4, 4, 12].map(|len| digit.repeat(len)).join("-")
}

#[test]
fn what_differs_from_run_to_run_has_fixed_stand_ins_and_the_rest_stays() {
    let (one, two) = ("0197f1c0-aaaa-7bbb-8ccc-0123456789ab", "9c794cee-7e27-86c9-9e9a-ed68295ff06b");
    let key = "0c".repeat(32);
    let text = format!(
        "doctor of co-signer customer at /run/x/admin\n{one}: {two} {one}, {key}\nhttps://127.0.0.1:40123 (127.0.0.1 port 9)\n\
         certificate until 4096-01-01 (755 days), 7 blobs in 0.3 ms, version 12.3.4, 9 requests, HTTP/2 200, os error 111\n"
    );
    let expected = format!(
        "doctor of co-signer customer at /tmp/cosigner.sock\n{}: {} {}, {}\nhttps://127.0.0.1:8443 (127.0.0.1 port 8443)\n\
         certificate until 2027-03-01 (94 days), 42 blobs in 83.6 ms, version 0.1.0, 9 requests, HTTP/2 200, os error 111\n",
        uuid("1"),
        uuid("2"),
        uuid("1"),
        "3c".repeat(32)
    );
    assert_eq!(normalised(&text, "/run/x/admin"), expected);
    assert_eq!(normalised(&expected, SOCKET), expected, "a second time changes nothing");
}

#[test]
fn steps_keep_their_columns_whatever_their_times() {
    let expected = "  resolve    passed   1.2 ms  127.0.0.1\n  connect    passed  12.0 ms\n  payload    FAILED           no: why\n";
    for text in [
        "  resolve    passed  0.1 ms  127.0.0.1\n  connect    passed  0.2 ms\n  payload    FAILED          no: why\n",
        "  resolve    passed    0.1 ms  127.0.0.1\n  connect    passed  2000.2 ms\n  payload    FAILED             no: why\n",
    ] {
        assert_eq!(normalised(text, "-"), expected);
    }
}

#[test]
fn a_slow_or_full_machine_shows_the_same_as_another_one() {
    let head = "  socket        passed       somebody listens\n";
    let tail = "  handlers      FAILED       no\n                             next: look\n";
    let fine = "  storage       passed       nothing waits, batches are durable within 0.9 ms\n  disk          passed       3 MiB of 4 MiB free (75 %)\n";
    let slow = "  storage       warning      slow\n                             next: buy\n  disk          warning      1 MiB of 9 MiB free (9 %)\n                             next: make room\n";
    let of = |middle: &str, counts: &str| normalised(&format!("{head}{middle}{tail}{counts}\n"), "-");
    let shown = of(slow, "1 failed, 2 warnings, 1 passed, 0 not checked");
    assert_eq!(shown, of(fine, "1 failed, 0 warnings, 3 passed, 0 not checked"));
    assert!(shown.ends_with("next: look\n1 failed, 0 warnings, 3 passed, 0 not checked\n"), "{shown}");
    assert!(shown.contains("free (60 %)\n  handlers"), "{shown}");
}
