//! Keys and pins that rotate in place.

use super::*;

#[test]
fn a_key_rotates_in_place_and_a_third_one_waits_for_the_end_of_the_second() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let (old, new) = (testdata("handler-key.pem"), testdata("handler-key-rsa.pem"));
    let rotate = |flags: &[&str]| station.json(&enclave, &[&["callback", "rotate-key", USER, "--yes"], flags].concat());
    let before = handler(&enclave);
    rotate(&["--finish"]).fails(2, "only one key is active");
    rotate(&["--key", &old]).fails(2, "active already");
    rotate(&[]).fails(2, "--key");
    rotate(&["--key", &new]).result();
    assert_eq!((handler(&enclave).keys.len(), &handler(&enclave).keys[0]), (2, &before.keys[0]));
    let third = station.public_key("third.pem");
    rotate(&["--key", &third]).fails(2, "rotate-key USER --finish");
    rotate(&["--finish"]).result();
    let after = handler(&enclave);
    assert_eq!(after.keys.len(), 1);
    assert_ne!(after.keys, before.keys);
    assert_eq!(Handler { keys: before.keys.clone(), ..after }, before, "nothing else changed");
    station
        .run(&enclave, &["callback", "rotate-pin", USER, "--yes", "--pin", PIN])
        .fails(2, "--callback-pin-certificate");
}

#[test]
fn a_pin_rotates_in_place() {
    let station = Workstation::new();
    let enclave = station.paired();
    let (first, certificate) = ("ab".repeat(32), testdata("handler-certificate.pem"));
    set(&station, &enclave, &["--callback-url", URL, "--callback-pin", &first]).result();
    let rotate = |flags: &[&str]| station.json(&enclave, &[&["callback", "rotate-pin", USER, "--yes"], flags].concat());
    let pins = || match handler(&enclave).tls {
        HandlerTls::Pinned(pins) => pins.iter().map(hex::encode).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    rotate(&["--certificate", &certificate]).result();
    assert_eq!(pins(), [first.clone(), PIN.to_owned()]);
    rotate(&["--pin", &"cd".repeat(32)]).fails(2, "--finish");
    rotate(&["--finish"]).result();
    assert_eq!(pins(), [PIN]);
    rotate(&["--pin", &first, "--finish"]).fails(2, "cannot be used with");
    station.run(&enclave, &["callback", "rotate-key", USER, "--yes", "--finish"]).fails(2, "has no key");
}

#[test]
fn what_a_change_ends_is_said_before_it_is_signed_and_afterwards() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let new = testdata("handler-key-rsa.pem");
    let waits = |waiting, retrying| {
        let mut state = enclave.state();
        (state.users[0].waiting, state.users[0].retrying) = (waiting, retrying);
    };
    waits(4, 3);
    let add = station.run(&enclave, &["callback", "rotate-key", USER, "--yes", "--key", &new]);
    assert!(add.code == 0 && !add.stderr.contains("this ends"), "adding ends nothing: {}", add.stderr);
    waits(4, 3);
    let count = commands(&enclave);
    let said = "wait for its handler (4 now) and its RETRY series (3 now): they have to be sent again";
    station.run(&enclave, &["callback", "rotate-key", USER, "--finish"]).fails(2, said).fails(2, "--yes");
    assert_eq!(commands(&enclave), count);
    let finish = station.run(&enclave, &["callback", "rotate-key", USER, "--finish", "--yes"]);
    assert!(finish.stdout.contains("ended: 7 requests that waited"), "{}", finish.stdout);
    waits(1, 0);
    let update = ["callback", "update", USER, "--callback-timeout", "9s"];
    station.run(&enclave, &update).fails(2, "wait for its handler (1 now)");
}
