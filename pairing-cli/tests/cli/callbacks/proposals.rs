//! What a workspace proposes (threat T57).

use super::*;

#[test]
fn t57_a_proposal_is_shown_and_only_exactly_that_is_signed() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let before = setting(&enclave);
    let proposed = ApprovalSetting::Handler(Handler {
        url: Text::new("https://new.example\u{1b}[2J").unwrap(),
        ..handler(&enclave)
    });
    propose(&enclave, proposed.clone());
    let shown = station.json(&enclave, &["callback", "show", USER]).result();
    assert_eq!(setting(&enclave), before, "looking changes nothing");
    let (change, hash) = (CHANGE.to_string(), hex::encode(proposed.digest()));
    assert_eq!((&shown["proposal"]["change"], &shown["proposal"]["setting"]["hash"]), (&json!(change), &json!(hash)));
    let text = station.run(&enclave, &["callback", "show", USER]).stdout;
    assert!(text.contains(&format!("cosigner callback set {USER} --accept-proposal {change} --hash {hash}")), "{text}");
    assert!(text.contains("URL          - https://handler.example:8443"), "{text}");
    assert!(text.contains("+ https://new.example\u{fffd}[2J") && !text.contains('\u{1b}'), "{text}");

    let accept =
        |flags: &[&str]| station.json(&enclave, &[&["callback", "set", USER, "--accept-proposal"], flags].concat());
    let (count, zeros) = (commands(&enclave), "00".repeat(32));
    accept(&[&change]).fails(2, "--hash HEX or --yes");
    accept(&[&ChangeId([1; 16]).to_string(), "--yes"]).fails(5, "proposes another change");
    accept(&[&change, "--hash", &zeros]).fails(5, "something else under");
    accept(&[&change, "--yes", "--none"]).fails(2, "cannot be used with");
    assert_eq!((commands(&enclave), setting(&enclave)), (count, before));

    accept(&[&change, "--hash", &hash]).result();
    assert_eq!(setting(&enclave), proposed);
    accept(&[&change, "--hash", &hash]).fails(6, "proposes nothing");
}

#[test]
fn t57_a_proposal_that_changes_between_look_and_signature_is_refused() {
    let station = Workstation::new();
    let enclave = with_key(&station);
    let before = setting(&enclave);
    propose(&enclave, ApprovalSetting::None);
    let change = CHANGE.to_string();
    enclave.fault(Fault::ProposalChangesMeanwhile(ApprovalSetting::Auto));
    let accept = ["callback", "set", USER, "--accept-proposal", &change, "--yes"];
    station.run(&enclave, &accept).fails(5, "something else under").fails(5, "nothing was changed");
    assert_eq!(setting(&enclave), before);
}
