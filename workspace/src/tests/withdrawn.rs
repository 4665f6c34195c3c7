//! What already runs when an owner's approval is withdrawn.

use super::client::{Client, ok, refused};
use super::cosigner::{Attempt, access_token, connect};
use super::running::{Running, ended, until};
use super::signing::{stack, typed, with_address};
use countersign_wire::group::Role;
use tokio_tungstenite::tungstenite::Error;

async fn link(running: &Running, token: &str) -> Option<u16> {
    match connect(&running.addresses.url, &running.ca_pem, token).await.map_err(|e| *e) {
        Ok(_) => None,
        Err(Error::Http(response)) => Some(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn token_of(client: &Client, refresh_token: &str) -> String {
    ok(access_token(client, refresh_token).await)["accessToken"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_co_signer_whose_approval_is_withdrawn_loses_its_link_and_its_tokens_and_is_asked_for_nothing() {
    let mut stack = stack().await;
    with_address(&stack).await;
    let config = stack.running.folder.path().join("workspace.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("'at_once'", "'owner'")).unwrap();
    stack.running.restart().await;
    let (running, client, owner) = (&stack.running, &stack.client, &stack.running.owner);
    let (customer, cloud) = (&stack.cosigners[0], &stack.cosigners[1]);
    let linked = async |party, wanted: bool| {
        until("a link", || async { (running.app.hub.is_connected(party) == wanted).then_some(()) }).await;
    };
    linked(&customer.party, true).await;
    linked(&cloud.party, true).await;
    let id = ok(client.post("/v1/transactions", &typed("before", None)).await)["id"].as_str().unwrap().to_owned();
    assert_eq!(ended(client, &id).await["status"], "COMPLETED");
    let clouds = token_of(owner, &cloud.refresh_token).await;
    let old = token_of(owner, &customer.refresh_token).await;

    // Another API user of it, and another image by now.
    let token = running.token(&running.user("second", "SIGNER", None).await).await;
    let changed = Attempt { pcr0: [4; 48], ..Attempt::new(customer.party, Role::Customer, &token) };
    let paired = ok(changed.pair(running).await);
    assert_eq!(paired["status"], "WAITING_FOR_APPROVAL");
    assert!(!running.app.hub.is_connected(&customer.party));
    assert_eq!(link(running, &old).await, Some(401));
    let told = || async {
        let parties = running.app.service.parties();
        parties.get(&customer.party).is_some_and(|view| !view.connected).then_some(())
    };
    until("the coordinator to know that the link is down", told).await;
    refused(&client.post("/v1/transactions", &typed("after", None)).await, 409, "conflict");
    assert!(running.app.hub.is_connected(&cloud.party), "another co-signer's link stays");
    assert_eq!(link(running, &clouds).await, None, "and so do its tokens");

    ok(owner.post_empty(&format!("/v1/cosigners/{}/api_keys/{}/approve", customer.device, stack.signer)).await);
    ok(client.post("/v1/transactions", &typed("again", None)).await);
    assert_eq!(link(running, &token_of(owner, paired["refreshToken"].as_str().unwrap()).await).await, None);
}
