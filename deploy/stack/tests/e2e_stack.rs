//! The stack itself, with real processes and real signatures. The programs must be built before: `tests/run` does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloy_primitives::B256;
use countersign_stack::{Ask, Setup, System};

#[tokio::test]
async fn e2e_it_signs_rejects_and_signs_again_after_every_process_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::start(folder.path(), &Setup::default()).await.unwrap();
    let vault = system.vault_account("first").await.unwrap();

    let ask = Ask::message(vault.id, b"before");
    ask.verify(&system.transact(&ask).await.unwrap(), vault.address).unwrap();
    let ask = Ask::message(vault.id, b"never").note("reject-me");
    ask.verify_refused(&system.transact(&ask).await.unwrap(), "rejected").unwrap();

    system.stack.kill_all().await.unwrap();
    assert_eq!(system.stack.running(), []);
    system.stack.start_all().await.unwrap();

    let ask = Ask::raw(vault.id, &[B256::repeat_byte(7), B256::repeat_byte(9)]);
    let signatures = ask.verify(&system.transact(&ask).await.unwrap(), vault.address).unwrap();
    assert_eq!(signatures.len(), 2);
    assert_eq!(system.stack.stop().await.unwrap(), [""; 0]);
}
