//! `cosigner attestation verify`: an enclave that answers, and documents in files.

use crate::workstation::Workstation;
use serde_json::json;

/// When the real document was made, in seconds since 1970.
const MADE: u64 = 1_736_179_625;

fn real_document() -> String {
    format!("{}/../common/attest/testdata/real-attestation-document.cose", env!("CARGO_MANIFEST_DIR"))
}

/// The real document's measurements, with another value in one register.
fn measurements(station: &Workstation, changed: Option<&str>) -> String {
    let bytes = std::fs::read(real_document()).unwrap();
    let parsed = countersign_attest::parse_unverified(&bytes).unwrap();
    let register = |index: u8| hex::encode(parsed.for_display().pcrs[&index]);
    let mut file = json!({ "pcr0": register(0), "pcr1": register(1), "pcr2": register(2) });
    if let Some(name) = changed {
        file[name] = json!("ab".repeat(48));
    }
    station.write(&format!("{}.json", changed.unwrap_or("right")), file.to_string())
}

#[test]
fn t39_t40_a_document_in_a_file_is_verified_at_its_time_against_the_measurements_of_an_image() {
    let (station, document) = (Workstation::new(), real_document());
    // As docs/verify-attestation.md has it done.
    let right = real_document().replace(".cose", ".measurements.json");
    let verify = ["attestation", "verify", "--document", &document];
    station.offline(&verify).fails(2, "--measurements FILE");
    let with = |file: &str, more: &[&str]| station.offline(&[&verify[..], &["--measurements", file], more].concat());
    let verified = with(&right, &["--json"]).result();
    assert_eq!((&verified["anchor"], &verified["measurements_verdict"]), (&json!("aws"), &json!("equal")));
    assert_eq!(verified["module_id"], "i-0bee92034f3d60691-enc01943c5eaab3ad6a");
    let at = |seconds: u64| with(&right, &["--at", &seconds.to_string()]);
    assert_eq!(at(MADE + 60).code, 0);
    at(MADE + 3600).fails(5, "attestation refused");
    at(MADE - 3600).fails(5, "attestation refused");
    for name in ["pcr0", "pcr1", "pcr2"] {
        with(&measurements(&station, Some(name)), &[]).fails(5, &name.to_uppercase());
    }
    let mut bytes = std::fs::read(&document).unwrap();
    bytes[1000] ^= 1;
    let altered = station.write("altered.cose", &bytes);
    station.offline(&["attestation", "verify", "--document", &altered, "--measurements", &right]).fails(5, "refused");
    station.offline(&["attestation", "verify", "--at", "1"]).fails(2, "--document");
}

#[test]
fn an_enclave_that_answers_is_verified_only_where_its_measurements_are_known() {
    let station = Workstation::new();
    let enclave = crate::simulated_enclave::SimulatedEnclave::start();
    station.run(&enclave, &["attestation", "verify"]).fails(2, "--measurements FILE");
    let enclave = station.claimed();
    let verified = station.json(&enclave, &["attestation", "verify"]).result();
    assert_eq!(verified["measurements_verdict"], "equal", "with the pin");
    let other = measurements(&station, None);
    station.run(&enclave, &["attestation", "verify", "--measurements", &other]).fails(5, "attestation refused");
}
