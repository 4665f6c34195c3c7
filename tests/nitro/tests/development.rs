//! The development image in the emulator does the main job beside co-signers that are processes: claim, pairing, sealed
//! state, a callback through brokered TLS, key generation, signing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_attest::{Measurements, parse_unverified};
use countersign_nitro_tests::measured;
use countersign_stack::emulator::Image;
use countersign_stack::workspace::VaultAccount;
use countersign_stack::{Ask, Options, Setup, System};
use std::collections::BTreeMap;
use std::time::Instant;

/// Co-signers whose enclaves are images: the customer's, or all three in the deep run.
fn emulated() -> usize {
    if is_deep() { 3 } else { 1 }
}

fn is_deep() -> bool {
    std::env::var_os("COUNTERSIGN_DEEP").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_the_development_image_does_the_main_job_and_goes_on_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let image = Image::built("development").unwrap();
    let images = (0..emulated()).map(|index| (index, image.clone())).collect::<BTreeMap<_, _>>();
    let options = Options { images, ..Options::default() };
    let started = Instant::now();
    let mut system = System::start(folder.path(), &Setup { options, ..Setup::default() }).await.unwrap();
    println!("development image: {:.1} s until the group is ready", started.elapsed().as_secs_f64());
    assert_eq!(system.stack.parts_asked_for(), emulated());

    // The registers that everybody compares are those of the security module, not of a file.
    let customer = system.stack.customer().unwrap().clone();
    for (index, member) in system.stack.members.iter().enumerate() {
        let out = folder.path().join(format!("document-{index}.cose"));
        let flags = ["attestation", "show", "--document-out", out.to_str().unwrap()];
        member.operator.run(flags).await.unwrap();
        let document = std::fs::read(&out).unwrap();
        let reported = Measurements::of(parse_unverified(&document).unwrap().for_display()).unwrap();
        assert_eq!(reported == measured(&image).unwrap(), index < emulated(), "{}", member.name);
    }

    let vault = system.vault_account("first").await.unwrap();
    let seconds = sign(&system, &vault).await;
    println!("development image: {seconds:.1} s for a signature, callback included");
    let ask = Ask::message(vault.id, b"never").note("reject-me");
    ask.verify_refused(&system.transact(&ask).await.unwrap(), "rejected").unwrap();

    // What the machine forgets with its end, the sealed state brings back.
    system.stack.processes.kill(&customer.enclave()).await.unwrap();
    system.stack.restart(&customer.enclave()).await.unwrap();
    system.stack.serving().await.unwrap();
    let ask = Ask::message(vault.id, b"after its end");
    ask.verify(&system.transact(&ask).await.unwrap(), vault.address).unwrap();
    system.stack.stop().await.unwrap();
    if is_deep() {
        let folder = tempfile::tempdir().unwrap();
        let system = System::start(folder.path(), &Setup::default()).await.unwrap();
        let vault = system.vault_account("first").await.unwrap();
        let process = sign(&system, &vault).await;
        println!("process mode: {process:.1} s for the same; the image takes {:.1} times as long", seconds / process);
        system.stack.stop().await.unwrap();
    }
}

/// Asks for a signature; the seconds until the client has it.
async fn sign(system: &System, vault: &VaultAccount) -> f64 {
    let started = Instant::now();
    let ask = Ask::message(vault.id, b"from an image");
    ask.verify(&system.transact(&ask).await.unwrap(), vault.address).unwrap();
    started.elapsed().as_secs_f64()
}
