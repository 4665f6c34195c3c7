//! Operator keys on disk.

use crate::workstation::Workstation;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_key_is_made_shown_and_checked() {
    let station = Workstation::new();
    let passphrase = station.path("passphrase");
    let made = station.offline(&["operator-key", "new", "--json", "--passphrase-file", &passphrase]).result();
    let shown = station.offline(&["operator-key", "show", "--json"]).result();
    assert_eq!(shown["keys"][0]["public_key"], made["public_key"]);
    let file = station.file("config/operator.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    station.offline(&["operator-key", "show", "--check", "--passphrase-file", &passphrase]);
    station.offline(&["operator-key", "new", "--passphrase-file", &passphrase]).fails(7, "exists already");

    let wrong = station.write("wrong", "another passphrase\n");
    station.offline(&["operator-key", "show", "--check", "--passphrase-file", &wrong]).fails(7, "wrong passphrase");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    station.offline(&["operator-key", "show"]).fails(7, "chmod 600");
}

#[test]
fn the_passphrase_file_may_come_from_the_environment_and_must_be_there() {
    let station = Workstation::new();
    station.offline(&["operator-key", "new"]).fails(2, "--passphrase-file");
    let missing = station.path("nothing");
    station.offline(&["operator-key", "new", "--passphrase-file", &missing]).fails(1, "nothing");
    let short = station.write("short", "short\n");
    station.offline(&["operator-key", "new", "--passphrase-file", &short]).fails(2, "too short");
    assert!(!station.file("config/operator.key").exists());
}

#[test]
fn init_with_new_key_never_takes_an_old_one() {
    let station = Workstation::new();
    let enclave = station.claimed();
    station.run(&enclave, &[&station.init()[..], &["--new-key"]].concat()).fails(7, "exists already");
}

#[test]
fn a_missing_key_says_how_to_get_one() {
    let station = Workstation::new();
    station.offline(&["operator-key", "show"]).fails(7, "cosigner operator-key new");
}
