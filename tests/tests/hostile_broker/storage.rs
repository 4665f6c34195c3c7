//! Sealed state: the host refuses to store it, or claims that it did.

use crate::broker::Said;
use crate::{DEADLINE, Scene};
use countersign_stack::Ask;
use countersign_stack::wait::{Seen, until};
use countersign_wire::Text;
use countersign_wire::ceremony::CosignerMessage;
use countersign_wire::host_link::{FromEnclave, FromHost};
use countersign_wire::relay::RelayUp;
use countersign_wire::{Message, Signed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long to listen for what must not be said.
const LISTEN: Duration = Duration::from_secs(10);

pub async fn does_not_store(scene: &mut Scene) {
    // Refuses: from then on the enclave sends nothing.
    let after: Arc<Mutex<(bool, Vec<String>)>> = Arc::default();
    let record = Arc::clone(&after);
    scene.broker.set(Box::new(move |said| {
        let mut after = record.lock().unwrap();
        match said {
            Said::Up(FromEnclave::Persist { sequence, .. }) => {
                after.0 = true;
                let detail = Text::cut("the disk is full, says the host");
                vec![Said::Down(FromHost::PersistFailed { sequence, detail })]
            }
            Said::Up(message) => {
                if after.0 && matters(&message) {
                    after.1.push(format!("{message:?}"));
                }
                vec![Said::Up(message)]
            }
            other => vec![other],
        }
    }));
    let asked = scene.times_asked();
    let ask = Ask::message(scene.vault.id, b"not stored");
    let made = scene.system.client.post("/v1/transactions", &ask.body).await.unwrap();
    until("something to be stored", DEADLINE, || async {
        Ok(if after.lock().unwrap().0 { Seen::Done(()) } else { Seen::NotYet("nothing yet".into()) })
    })
    .await
    .unwrap();
    tokio::time::sleep(LISTEN).await;
    let said = after.lock().unwrap().1.clone();
    assert_eq!(said, [""; 0], "said although it was not stored");
    let id = made["id"].as_str().unwrap().to_owned();
    let transaction = scene.system.client.get(&format!("/v1/transactions/{id}")).await.unwrap();
    assert_eq!(transaction["signedMessages"], serde_json::json!([]), "{transaction}");
    scene.broker.set(crate::broker::honest());
    scene.broker.restart(&mut scene.system.stack).await;
    let workspace = scene.system.stack.workspace().unwrap();
    let ended = workspace.ended(&scene.system.client, &id, Duration::from_secs(150)).await.unwrap();
    if ended["status"] == "COMPLETED" {
        ask.verify(&ended, scene.vault.address).unwrap();
        assert!(scene.times_asked() > asked, "signed without the handler's word");
    }
    scene.is_well("a host that stores nothing").await;

    // Claims to have stored: what was approved is signed, and what was lost is the host's loss.
    scene.broker.set(Box::new(|said| match said {
        Said::Up(FromEnclave::Persist { sequence, .. }) => vec![Said::Down(FromHost::Persisted { sequence })],
        other => vec![other],
    }));
    scene.asks("claimed to be stored").await;
    scene.broker.set(crate::broker::honest());
    scene.broker.restart(&mut scene.system.stack).await;
    scene.is_well("a host that claims to have stored").await;
}

/// What carries a promise: packets to other co-signers, and words to the workspace that are more than a greeting or a no.
fn matters(message: &FromEnclave) -> bool {
    let FromEnclave::LinkSend { frame, .. } = message else { return false };
    match RelayUp::decode(frame).unwrap() {
        RelayUp::Peer { .. } => true,
        RelayUp::Workspace(bytes) => {
            let signed: Signed<CosignerMessage> = borsh::from_slice(&bytes).unwrap();
            matches!(
                signed.peek_unverified().unwrap(),
                CosignerMessage::Authorised { .. }
                    | CosignerMessage::Ready { .. }
                    | CosignerMessage::SignatureDone { .. }
            )
        }
    }
}
