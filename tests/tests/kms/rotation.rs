//! Operators rotate the sealing key: under the same key of the service, and to another one.

use super::KEY;
use super::broker::{self, Said};
use super::scene::{CUSTOMER, Scene};
use countersign_wire::host_link::FromHost;
use serde_json::{Value, json};

const NEXT_KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/5678abcd-12ab-34cd-56ef-1234567890ab";

pub async fn rotations(scene: &mut Scene, instance: &str, pcrs: &[String; 3]) {
    // A new root key of the same key.
    scene.kms.calls.lock().unwrap().clear();
    let first = scene.blobs(CUSTOMER)["root"].clone();
    assert_eq!(scene.rotate(CUSTOMER, KEY).await.unwrap()["before"], KEY);
    let asked: Vec<String> = scene.kms.calls.lock().unwrap().drain(..).map(|(operation, _)| operation).collect();
    assert_eq!(asked, ["GenerateDataKey", "Decrypt"], "what it wraps it can unwrap");
    assert_ne!(scene.blobs(CUSTOMER)["root"], first);
    scene.restarts_and_serves(CUSTOMER).await;

    // To keys that would lock it out, or are none: nothing changes.
    scene.kms.create_key(NEXT_KEY, without_decrypt(scene.policy(pcrs, &[instance])));
    let before = scene.blobs(CUSTOMER)["root"].clone();
    for (key, why) in [
        (NEXT_KEY, "AccessDeniedException"),
        ("arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000", "NotFoundException"),
        ("file:0011223344556677", "expected a KMS key as arn:aws:kms"),
    ] {
        let refused = scene.rotate(CUSTOMER, key).await.unwrap_err();
        assert!(refused.contains(why), "{key}: {refused}");
    }
    assert_eq!(scene.blobs(CUSTOMER)["root"], before);
    scene.restarts_and_serves(CUSTOMER).await;

    // To another key, which then opens it alone.
    scene.set_policy(NEXT_KEY, scene.policy(pcrs, &[instance]));
    assert_eq!(scene.rotate(CUSTOMER, NEXT_KEY).await.unwrap()["sealing_key"], NEXT_KEY);
    scene.restarts_and_serves(CUSTOMER).await;
    let status = scene.member(CUSTOMER).operator.run(["get-status"]).await.unwrap();
    assert_eq!(status["description"]["sealing_key"], NEXT_KEY);

    // The host keeps a former root, whose keys the service still unwraps.
    for former in [first, before] {
        scene.broker(CUSTOMER).set(Box::new(move |said| match said {
            Said::Down(FromHost::Blob { name, .. }) if name.as_str() == "root" => {
                vec![Said::Down(FromHost::Blob { name, value: former.clone() })]
            }
            said => vec![said],
        }));
        scene.restarts_and_ends(CUSTOMER, "not of this instance").await;
        scene.broker(CUSTOMER).set(broker::honest());
    }
    scene.set_policy(KEY, scene.policy(pcrs, &[&"00".repeat(32)]));
    scene.restarts_and_serves(CUSTOMER).await;
}

/// The policy, of which whoever wrote it forgot that the state has to be opened, too.
fn without_decrypt(mut policy: Value) -> Value {
    for statement in policy["Statement"].as_array_mut().unwrap() {
        if statement["Effect"] == "Allow" && statement["Action"] == json!(["kms:Decrypt", "kms:GenerateDataKey"]) {
            statement["Action"] = json!(["kms:GenerateDataKey"]);
        }
    }
    policy
}
