//! Groups that did not become one, and how many there may be.

use super::client::{ok, refused};
use super::running::Running;
use super::signing::stack;
use crate::ceremony::{AgreementPhase, GroupStatus, Record};
use crate::store::ceremonies;
use countersign_wire::ids::SessionId;
use countersign_wire::limits::MAX_GROUPS;
use countersign_wire::refusal::{Code, Refusal};
use serde_json::json;

/// Ends every group as co-signers that hold different outcomes do.
async fn contradict(running: &mut Running) {
    running.stop().await;
    let store = crate::store::Store::open(&running.config().database, false).await.unwrap();
    let mut write = store.write().await.unwrap();
    for mut stored in ceremonies::groups(&mut write).await.unwrap() {
        stored.record.status = GroupStatus::Error;
        stored.record.aux.phase = AgreementPhase::Contradicted { session: SessionId([7; 16]) };
        stored.record.reason = Some(Refusal::new(Code::Mismatch, "they hold different outcomes"));
        ceremonies::save(&mut write, &Record::Group(stored.record), 0).await.unwrap();
    }
    write.commit().await.unwrap();
    store.close().await;
    running.restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_in_error_says_why_and_another_one_takes_its_place() {
    let mut stack = stack().await;
    contradict(&mut stack.running).await;
    let owner = &stack.running.owner;
    let key = json!({"coinType": 60, "operations": ["RAW"], "signerId": stack.signer});
    let answer = owner.post("/v1/keys", &key).await;
    refused(&answer, 409, "conflict");
    let message = answer.1["message"].as_str().unwrap();
    assert!(message.contains("they hold different outcomes") && message.contains("propose another one"), "{message}");

    let devices: Vec<&str> = stack.cosigners.iter().map(|c| c.device.as_str()).collect();
    let group = json!({"customerCosignerId": devices[0], "cloudCosignerIds": devices[1..]});
    ok(owner.post("/v1/signing_groups", &group).await);
    refused(&owner.post("/v1/signing_groups", &group).await, 409, "conflict");
    // Whatever the new one is by now, it is the one that counts.
    let (status, answer) = owner.post("/v1/keys", &key).await;
    assert!(status == 201 || (status == 503 && answer["reason"] == "not_yet"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_co_signer_is_in_no_more_groups_than_it_keeps() {
    let mut stack = stack().await;
    for _ in 1..MAX_GROUPS {
        contradict(&mut stack.running).await;
        let devices: Vec<&str> = stack.cosigners.iter().map(|c| c.device.as_str()).collect();
        let group = json!({"customerCosignerId": devices[0], "cloudCosignerIds": devices[1..]});
        ok(stack.running.owner.post("/v1/signing_groups", &group).await);
    }
    let devices: Vec<&str> = stack.cosigners.iter().map(|c| c.device.as_str()).collect();
    let group = json!({"customerCosignerId": devices[0], "cloudCosignerIds": devices[1..], "threshold": 2});
    let answer = stack.running.owner.post("/v1/signing_groups", &group).await;
    refused(&answer, 429, "busy");
    assert!(answer.1["message"].as_str().unwrap().contains("16 signing groups"), "{}", answer.1);
}
