//! Streams to the callback handler: the host answers for names, and ends TLS itself.

use crate::Scene;
use crate::broker::{Dials, OwnServer};
use countersign_stack::Ask;
use countersign_stack::certificates::Authority;
use countersign_stack::handler::Handler;
use countersign_stack::stack::{Approval, Pairing};
use std::sync::Arc;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(150);

pub async fn ends_tls_itself(scene: &Scene) {
    let stack = &scene.system.stack;
    let folder = stack.around.folder.join("own-authority");
    std::fs::create_dir(&folder).unwrap();
    let authority = Authority::create(&folder).unwrap();
    // The right names, but nobody's authority that an operator named.
    let server = OwnServer::new(&authority.issue(&folder).unwrap());
    let port: u16 = scene.system.handler.url.rsplit(':').next().unwrap().parse().unwrap();

    // T26: a literal address, dialled to the host's own server.
    scene.broker.dial(Dials::Own(port, Arc::clone(&server)));
    let asked = scene.times_asked();
    let ask = Ask::message(scene.vault.id, b"to the host's own server");
    let ended = scene.system.transact(&ask).await.unwrap();
    let sentence = ask.verify_refused(&ended, "tls_untrusted").unwrap();
    assert!(!sentence.is_empty());
    nothing_heard(&server);

    // T27: a name, for which the host has an address of its own; an allowed one, and one that is not.
    let workspace = stack.workspace().unwrap();
    let user = workspace.create_user("named", "SIGNER", false).await.unwrap();
    let named = Handler { url: format!("https://localhost:{port}"), ..scene.system.handler.clone() };
    let pairing = Pairing { approval: Approval::Handler(&named), allow_raw: false, require_intent: true };
    scene.broker.dial(Dials::Honest);
    stack.pair(workspace, &user, stack.customer().unwrap(), &[&scene.system.user], pairing).await.unwrap();
    let vault = workspace.vault_account("named", &user).await.unwrap();
    let metadata = [169, 254, 169, 254];
    for (dials, code) in
        [(Dials::Own(port, Arc::clone(&server)), "tls_untrusted"), (Dials::Resolve(metadata), "address_denied")]
    {
        scene.broker.dial(dials);
        let ask = Ask::message(vault.id, format!("refused for {code}").as_bytes());
        let ended = workspace.transact(&scene.system.client, &ask, DEADLINE).await.unwrap();
        ask.verify_refused(&ended, code).unwrap();
        nothing_heard(&server);
    }
    assert_eq!(scene.times_asked(), asked, "the real handler was not asked either");

    // The name leads to the handler where the host is honest.
    scene.broker.dial(Dials::Honest);
    let ask = Ask::message(vault.id, b"by name");
    ask.verify(&workspace.transact(&scene.system.client, &ask, DEADLINE).await.unwrap(), vault.address).unwrap();
    scene.is_well("a host that ends TLS itself").await;
}

/// Enclaves came, gave up in the handshake, and said nothing behind it.
#[track_caller]
fn nothing_heard(server: &OwnServer) {
    let heard = std::mem::take(&mut *server.heard.lock().unwrap());
    for (ended, said) in heard {
        assert!(said.is_empty(), "the host read {} bytes: {}", said.len(), String::from_utf8_lossy(&said));
        let error = ended.expect_err("the handshake went through");
        assert!(!error.is_empty());
    }
}
