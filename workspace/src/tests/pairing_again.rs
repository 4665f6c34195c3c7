//! Pairings that are repeated: with another content, or because an answer was lost.

use super::client::{ok, refused};
use super::cosigner::{Attempt, OPERATOR, access_token};
use super::running::Running;
use countersign_wire::group::Role;
use countersign_wire::ids::PartyId;
use serde_json::json;

const PARTY: PartyId = PartyId([5; 32]);
const OTHER: PartyId = PartyId([6; 32]);

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_holds_for_what_the_owner_saw_and_for_nothing_else() {
    let running = Running::start("").await;
    let owner = &running.owner;
    let user = running.user("s", "SIGNER", None).await;
    let token = running.token(&user).await;
    let same = || Attempt::new(PARTY, Role::Customer, &token);
    let pair = async |attempt: Attempt| ok(attempt.pair(&running).await);
    let device = pair(same()).await["deviceId"].as_str().unwrap().to_owned();
    let approve = format!("/v1/cosigners/{device}/api_keys/{user}/approve");
    let changes: [(&str, Attempt); 5] = [
        ("auto-approve", Attempt { auto_approve: true, ..same() }),
        ("intent", Attempt { require_intent: false, ..same() }),
        ("operators", Attempt { operators: vec![OPERATOR, [0x0f; 32]], ..same() }),
        ("required", Attempt { operators: vec![OPERATOR, [0x0f; 32]], required: 2, ..same() }),
        ("measurements", Attempt { pcr0: [4; 48], ..same() }),
    ];
    for (what, changed) in changes {
        pair(same()).await;
        ok(owner.post_empty(&approve).await);
        assert_eq!(pair(same()).await["status"], "COMPLETED", "nothing changed");
        assert_eq!(pair(changed).await["status"], "WAITING_FOR_APPROVAL", "{what}");
        let shown = ok(owner.get(&format!("/v1/cosigners/{device}")).await);
        assert_eq!(shown["users"][0]["status"], "WAITING_FOR_APPROVAL", "{what}");
        assert_eq!(pair(same()).await["status"], "WAITING_FOR_APPROVAL", "{what}, and back");
    }
    let answer = pair(same()).await;
    refused(&access_token(owner, answer["refreshToken"].as_str().unwrap()).await, 403, "waiting_for_owner");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_operators_behind_a_co_signer_void_the_approvals_of_all_its_users() {
    let running = Running::start("").await;
    let owner = &running.owner;
    let (first, second) = (running.user("s", "SIGNER", None).await, running.user("s2", "SIGNER", None).await);
    let answer = ok(Attempt::new(PARTY, Role::Customer, &running.token(&first).await).pair(&running).await);
    let device = answer["deviceId"].as_str().unwrap();
    ok(owner.post_empty(&format!("/v1/cosigners/{device}/api_keys/{first}/approve")).await);
    let token = running.token(&second).await;
    let more = Attempt { operators: vec![OPERATOR, [0x0f; 32]], ..Attempt::new(PARTY, Role::Customer, &token) };
    ok(more.pair(&running).await);
    let shown = ok(owner.get(&format!("/v1/cosigners/{device}")).await);
    let waiting = |user: &serde_json::Value| user["status"] == "WAITING_FOR_APPROVAL";
    assert!(shown["users"].as_array().unwrap().iter().all(waiting), "{shown}");
    refused(&access_token(owner, answer["refreshToken"].as_str().unwrap()).await, 403, "waiting_for_owner");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pairing_whose_answer_was_lost_goes_on_with_a_new_token_of_the_same_co_signer() {
    let running = Running::start("approve_pairings = 'at_once'").await;
    let owner = &running.owner;
    let user = running.user("s", "SIGNER", None).await;
    let (first, path) = (running.token(&user).await, format!("/v1/management/api_users/{user}/pairing_token"));
    let lost = ok(Attempt::new(PARTY, Role::Customer, &first).pair(&running).await);
    let second = running.token(&user).await;
    assert_ne!(first, second);
    refused(&Attempt::new(OTHER, Role::Customer, &second).pair(&running).await, 409, "conflict");
    let again = ok(Attempt::new(PARTY, Role::Customer, &second).pair(&running).await);
    assert_eq!(again["deviceId"], lost["deviceId"]);
    let refresh = |answer: &serde_json::Value| answer["refreshToken"].as_str().unwrap().to_owned();
    refused(&access_token(owner, &refresh(&lost)).await, 401, "token_invalid");
    refused(&Attempt::new(PARTY, Role::Customer, &first).pair(&running).await, 409, "token_used");

    // Another user's pairing with the same co-signer does not end this one's.
    let other = running.user("s2", "SIGNER", None).await;
    let others = ok(Attempt::new(PARTY, Role::Customer, &running.token(&other).await).pair(&running).await);
    ok(access_token(owner, &refresh(&others)).await);
    let third = running.token(&user).await;
    let arrived = ok(Attempt::new(PARTY, Role::Customer, &third).pair(&running).await);
    ok(access_token(owner, &refresh(&arrived)).await);
    refused(&owner.post_empty(&path).await, 409, "conflict");
    refused(&Attempt::new(PARTY, Role::Customer, &third).pair(&running).await, 409, "token_used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_another_root_is_refused_with_the_setting_that_may_be_missing() {
    let mut running = Running::start("").await;
    let path = running.folder.path().join("workspace.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let user = running.user("s", "SIGNER", None).await;
    let refusal = async |running: &Running| {
        let token = running.token(&user).await;
        let answer = Attempt::new(PARTY, Role::Customer, &token).pair(running).await;
        refused(&answer, 403, "attestation_refused");
        answer.1["message"].as_str().unwrap().to_owned()
    };
    std::fs::write(&path, text.replace("development_root = 'root.pem'", "")).unwrap();
    running.restart().await;
    let message = refusal(&running).await;
    assert!(message.contains("[trust] development_root") && message.contains("real hardware only"), "{message}");

    let another = cosigner_dev::DevelopmentRoot::generate().unwrap();
    std::fs::write(running.folder.path().join("root.pem"), another.certificate_pem()).unwrap();
    std::fs::write(&path, &text).unwrap();
    running.restart().await;
    let message = refusal(&running).await;
    assert!(message.contains("one development root only"), "{message}");
    assert_eq!(ok(running.owner.get("/v1/cosigners").await)["data"], json!([]));
}
