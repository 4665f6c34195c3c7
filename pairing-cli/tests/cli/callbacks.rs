//! `cosigner callback`, and the flags that describe a handler.

mod probing;
mod proposals;
mod rotation;
mod setting;
mod showing;

use crate::golden::compare;
use crate::simulated_enclave::{Fault, OWN_CALLBACK_KEY, PAIRING, SimulatedEnclave, USER, user_status};
use crate::workstation::{Run, Workstation};
use countersign_wire::Text;
use countersign_wire::admin::{CallbackTest, TestStep};
use countersign_wire::callback::{Attempt, AttemptResult, CallbackSubject, StepTimes};
use countersign_wire::command::{ApprovalSetting, Change, Handler, HandlerMode, HandlerTls, RetrySchedule};
use countersign_wire::ids::{ChangeId, PairingId, TransactionId};
use countersign_wire::refusal::Code;
use serde_json::json;

const URL: &str = "https://handler.example:8443";
/// SHA-256 of the SubjectPublicKeyInfo of `testdata/handler-certificate.pem`, as OpenSSL computes it.
const PIN: &str = "8ac8a83306a274aec2d4d9a5236b56748e42784baa8fcf04021d77867a2d2e2c";
/// 2026-11-27 00:00:00Z.
const THEN_MS: u64 = 1_795_737_600_000;
const DAY_MS: u64 = 86_400_000;
const CHANGE: ChangeId = ChangeId([0xce; 16]);

fn testdata(name: &str) -> String {
    format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn ca(station: &Workstation) -> String {
    station.write("ca.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
}

fn with_key(station: &Workstation) -> SimulatedEnclave {
    let enclave = station.claimed();
    let add_user = station.add_user();
    let mut args: Vec<&str> = add_user.iter().map(String::as_str).collect();
    let key = testdata("handler-key.pem");
    args.extend(["--callback-url", URL, "--callback-key", &key]);
    station.json(&enclave, &args).result();
    enclave
}

fn setting(enclave: &SimulatedEnclave) -> ApprovalSetting {
    enclave.state().callbacks[&USER.parse().unwrap()].setting.clone()
}

fn handler(enclave: &SimulatedEnclave) -> Handler {
    match setting(enclave) {
        ApprovalSetting::Handler(handler) => handler,
        other => panic!("{other:?}"),
    }
}

fn commands(enclave: &SimulatedEnclave) -> usize {
    enclave.state().accepted.len()
}

fn set(station: &Workstation, enclave: &SimulatedEnclave, flags: &[&str]) -> Run {
    station.json(enclave, &[&["callback", "set", USER, "--yes"], flags].concat())
}

fn attempt(result: AttemptResult, code: Option<Code>, detail: &str) -> Attempt {
    Attempt {
        number: 1,
        started_at_ms: THEN_MS,
        waited_ms: 3,
        took_us: 83_571,
        steps: StepTimes {
            resolve_us: Some(1_234),
            connect_us: Some(12_000),
            tls_us: Some(30_120),
            answer_us: Some(40_217),
        },
        reused: false,
        result,
        code,
        detail: Text::new(detail).unwrap(),
        next_at_ms: None,
    }
}

fn probe(failed: Option<TestStep>, attempt: Attempt) -> CallbackTest {
    CallbackTest {
        url: Text::new(URL).unwrap(),
        mode: Text::new(HandlerMode::PublicKey.as_str()).unwrap(),
        attempt,
        failed,
        address: Text::new("203.0.113.7").unwrap(),
        certificate_expires_at_ms: Some(THEN_MS + 94 * DAY_MS),
        certificate_pin: Some([0x5e; 32]),
        protocol: Text::new("HTTP/2").unwrap(),
        action: Text::new(if failed.is_none() { "APPROVE" } else { "" }).unwrap(),
    }
}

fn test_brings(enclave: &SimulatedEnclave, test: CallbackTest) {
    enclave.state().callbacks.get_mut(&USER.parse().unwrap()).unwrap().test = Some(test);
}

fn propose(enclave: &SimulatedEnclave, setting: ApprovalSetting) {
    enclave.state().callbacks.get_mut(&USER.parse().unwrap()).unwrap().proposal = Some((CHANGE, setting));
}
