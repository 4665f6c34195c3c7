//! Messages that claim to be the workspace's.

use crate::broker::Said;
use crate::{DEADLINE, Scene};
use countersign_stack::Ask;
use countersign_stack::wait::{Seen, until};
use countersign_wire::ceremony::{CosignerMessage, ToCosigner, WorkspaceMessage};
use countersign_wire::host_link::{FromEnclave, FromHost};
use countersign_wire::ids::{PairingId, SessionId, TransactionId};
use countersign_wire::relay::{RelayDown, RelayUp};
use countersign_wire::transaction::TransactionRequest;
use countersign_wire::{Bytes, Message, Signed, SigningIdentity};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long to listen for an answer that must not come.
const LISTEN: Duration = Duration::from_secs(5);

/// A signed message of the workspace to the customer's co-signer, if it is one.
fn from_workspace(said: &Said) -> Option<(PairingId, Signed<ToCosigner>)> {
    let Said::Down(FromHost::LinkData { pairing, frame }) = said else { return None };
    let RelayDown::Workspace(bytes) = RelayDown::decode(frame).ok()? else { return None };
    Some((*pairing, borsh::from_slice(&bytes).ok()?))
}

/// What a co-signer says to the workspace, if it does.
fn to_workspace(said: &Said) -> Option<CosignerMessage> {
    let Said::Up(FromEnclave::LinkSend { frame, .. }) = said else { return None };
    let RelayUp::Workspace(bytes) = RelayUp::decode(frame).ok()? else { return None };
    borsh::from_slice::<Signed<CosignerMessage>>(&bytes).ok()?.peek_unverified().ok()
}

fn down(pairing: PairingId, signed: &Signed<ToCosigner>) -> Said {
    let bytes = Bytes::new(borsh::to_vec(signed).unwrap()).unwrap();
    Said::Down(FromHost::LinkData { pairing, frame: Bytes::new(RelayDown::Workspace(bytes).encode()).unwrap() })
}

/// The same request for another transaction, with another body.
fn invented(request: &TransactionRequest, body: &[u8]) -> TransactionRequest {
    TransactionRequest {
        transaction: TransactionId(*uuid::Uuid::new_v4().as_bytes()),
        body: Bytes::new(body).unwrap(),
        ..request.clone()
    }
}

pub async fn speaks_in_the_workspaces_name(scene: &Scene) {
    // Listens to an honest transaction first.
    let heard: Arc<Mutex<Vec<Said>>> = Arc::default();
    let record = Arc::clone(&heard);
    scene.broker.set(Box::new(move |said| {
        record.lock().unwrap().push(said.clone());
        vec![said]
    }));
    assert!(scene.asks("the host listens").await);
    let messages = || -> Vec<_> { heard.lock().unwrap().iter().filter_map(from_workspace).collect() };
    let request = messages().iter().find_map(|(pairing, signed)| match signed.peek_unverified().unwrap() {
        ToCosigner { to, message: WorkspaceMessage::Authorise(request) } => Some((*pairing, to, request)),
        _ => None,
    });
    let (pairing, to, request) = request.expect("the workspace asked for an Authorisation");
    // The workspace may have the signature from another co-signer, and this one's word is still to come.
    until("the customer's word on the signature", DEADLINE, || async {
        let told = heard.lock().unwrap().iter().filter_map(to_workspace).any(
            |said| matches!(said, CosignerMessage::SignatureDone { transaction, .. } if transaction == request.transaction),
        );
        Ok(if told { Seen::Done(()) } else { Seen::NotYet("not told".into()) })
    })
    .await
    .unwrap();
    // Each once: a message beside its own copy would be spliced with itself below, and be genuine.
    let mut known = BTreeSet::new();
    let mut genuine = messages();
    genuine.retain(|(_, signed)| known.insert(borsh::to_vec(signed).unwrap()));

    // Forged with a key of the host's own: another message to sign, and every message heard.
    let own = SigningIdentity::from_secret(&[7; 32]);
    let body = Ask::message(scene.vault.id, b"never asked for").body.to_string();
    let forged = |message| down(pairing, &Signed::sign(&ToCosigner { to, message }, &own));
    let mut injected = vec![
        forged(WorkspaceMessage::Authorise(invented(&request, body.as_bytes()))),
        forged(WorkspaceMessage::Authorise(invented(&request, &request.body))),
        forged(WorkspaceMessage::Cancel { session: SessionId([3; 16]) }),
    ];
    injected.extend(genuine.iter().map(|(_, signed)| forged(signed.peek_unverified().unwrap().message)));
    // Genuine ones under another party's name, and genuine bytes under a signature of another message.
    let spliced = |index: usize| {
        let mut bytes = borsh::to_vec(&genuine[index].1).unwrap();
        let length = bytes.len();
        let foreign = borsh::to_vec(&genuine[(index + 1) % genuine.len()].1).unwrap();
        bytes[length - 64..].copy_from_slice(&foreign[foreign.len() - 64..]);
        down(pairing, &borsh::from_slice(&bytes).unwrap())
    };
    injected.extend((0..genuine.len()).map(spliced));
    let answered = inject(scene, injected).await;
    assert!(answered.is_empty(), "forged messages were answered: {answered:?}");

    // Genuine ones again, the whole transaction: no new signature, no new question to the handler.
    let asked = scene.times_asked();
    let again = genuine.iter().map(|(pairing, signed)| down(*pairing, signed)).collect();
    for answer in inject(scene, again).await {
        let known = match &answer {
            CosignerMessage::Authorised { transaction, .. } | CosignerMessage::SignatureDone { transaction, .. } => {
                *transaction == request.transaction
            }
            _ => true,
        };
        assert!(known, "a replay led to something new: {answer:?}");
    }
    assert_eq!(scene.times_asked(), asked, "the handler was asked for a replay");
    scene.is_well("a host that speaks in the workspace's name").await;
}

/// Gives these messages to the enclave, and returns what it says to the workspace meanwhile, but for greetings.
async fn inject(scene: &Scene, messages: Vec<Said>) -> Vec<CosignerMessage> {
    let said: Arc<Mutex<Vec<CosignerMessage>>> = Arc::default();
    let (record, mut queue) = (Arc::clone(&said), Some(messages));
    scene.broker.set(Box::new(move |message| {
        record.lock().unwrap().extend(to_workspace(&message));
        let mut all = vec![message];
        all.extend(queue.take().into_iter().flatten());
        all
    }));
    // Something has to be said for the script to run: a status is.
    scene.system.stack.customer().unwrap().status().await.unwrap();
    tokio::time::sleep(LISTEN).await;
    let mut said = std::mem::take(&mut *said.lock().unwrap());
    said.retain(|message| !matches!(message, CosignerMessage::Hello { .. }));
    said
}
