//! The handshake between a CLI and an enclave, whatever the host does to its messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod support;

use countersign_attest::{AttestationError, TrustAnchor};
use countersign_channel::admin::{AdminInitiator, respond};
use countersign_channel::{AttestationPolicy, ChannelError, IdentityBinding, Transport};
use countersign_wire::ids::{BootId, InstanceId, PartyId};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::LazyLock;
use support::*;

/// The instance of enclave 2, which answers in all of these.
static INSTANCE: LazyLock<InstanceId> = LazyLock::new(|| InstanceId(identity(2).public()));

fn start(seed: u8) -> (AdminInitiator, Vec<u8>) {
    AdminInitiator::start(&mut ChaCha20Rng::from_seed([seed; 32])).unwrap()
}

fn answer(enclave: &mut Enclave, message1: &[u8]) -> (Transport, Vec<u8>) {
    respond(&enclave.identity, &enclave.key, enclave.boot, &mut enclave.rng, &mut enclave.nsm, message1).unwrap()
}

#[test]
fn a_cli_opens_a_channel_to_an_enclave_and_talks_both_ways() {
    let mut enclave = Enclave::new(2);
    let (mut cli, message1) = start(1);
    let (mut inside, message2) = answer(&mut enclave, &message1);
    let mut channel = cli.finish(&message2, &policy()).unwrap();
    assert_eq!((channel.instance, channel.boot), (*INSTANCE, BootId([2; 16])));
    let (counter, sealed) = channel.transport.seal(b"status?").unwrap().remove(0);
    assert_eq!(inside.open(counter, &sealed).unwrap().unwrap().as_slice(), b"status?");
    let (counter, sealed) = inside.seal(b"fine").unwrap().remove(0);
    assert_eq!(channel.transport.open(counter, &sealed).unwrap().unwrap().as_slice(), b"fine");
}

#[test]
fn t50_the_host_reads_nothing_and_alters_nothing() {
    let mut enclave = Enclave::new(2);
    let (mut cli, message1) = start(1);
    let (mut inside, message2) = answer(&mut enclave, &message1);
    let mut channel = cli.finish(&message2, &policy()).unwrap();
    let secret = b"eyJhbGciOi.the.pairing-token";
    let (counter, sealed) = channel.transport.seal(secret).unwrap().remove(0);
    assert!(!sealed.windows(8).any(|w| secret.windows(8).any(|s| s == w)));
    for position in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[position] ^= 0x80;
        assert_eq!(inside.open(counter, &altered), Err(ChannelError::Tampered { what: "packet" }));
    }
    assert!(inside.open(counter, &sealed).unwrap().is_some());
}

#[test]
fn an_enclave_in_the_middle_has_no_document_for_its_key() {
    // The host answers with keys of its own, and has the enclave attest something for it: the enclave's documents for
    // peers carry a party's binding, those for the CLI the enclave's own key.
    let (mut cli, message1) = start(1);
    let (mut enclave, mut host) = (Enclave::new(2), Enclave::new(3));
    let enclave_key = enclave.key.public();
    let mut lends = Meddling(nsm(IMAGE), |_: &mut Vec<u8>, _: &mut Vec<u8>, key: &mut Vec<u8>| {
        *key = enclave_key.to_vec();
    });
    let (_, forged) =
        respond(&enclave.identity, &host.key, enclave.boot, &mut host.rng, &mut lends, &message1).unwrap();
    assert!(matches!(cli.finish(&forged, &policy()), Err(ChannelError::Binding { field: "public_key", .. })));

    let party = IdentityBinding::party(PartyId(INSTANCE.0), enclave.boot);
    let mut lends = Meddling(nsm(IMAGE), |_: &mut Vec<u8>, user_data: &mut Vec<u8>, _: &mut Vec<u8>| {
        *user_data = party.hash().to_vec();
    });
    let (_, forged) =
        respond(&enclave.identity, &host.key, enclave.boot, &mut host.rng, &mut lends, &message1).unwrap();
    assert!(matches!(cli.finish(&forged, &policy()), Err(ChannelError::Binding { field: "user_data", .. })));

    let (_, message2) = answer(&mut enclave, &message1);
    assert!(cli.finish(&message2, &policy()).is_ok(), "the genuine answer is still taken");
}

#[test]
fn t40_an_answer_to_another_challenge_is_refused() {
    let mut enclave = Enclave::new(2);
    let (mut cli, _) = start(1);
    let (_, other) = start(4);
    let (_, message2) = answer(&mut enclave, &other);
    assert!(matches!(cli.finish(&message2, &policy()), Err(ChannelError::Tampered { .. })));
    let (mut cli, message1) = start(1);
    let mut stale = Meddling(nsm(IMAGE), |nonce: &mut Vec<u8>, _: &mut Vec<u8>, _: &mut Vec<u8>| nonce[5] ^= 1);
    let (_, message2) =
        respond(&enclave.identity, &enclave.key, enclave.boot, &mut enclave.rng, &mut stale, &message1).unwrap();
    let refused = cli.finish(&message2, &policy()).map(drop);
    assert!(matches!(refused, Err(ChannelError::Document(AttestationError::NonceMismatch { .. }))));
}

#[test]
fn t16_a_tampered_answer_does_no_harm() {
    let mut enclave = Enclave::new(2);
    let (mut cli, message1) = start(1);
    let (_, message2) = answer(&mut enclave, &message1);
    for position in [0, 32, 70, 80, 600, message2.len() - 1] {
        let mut forged = message2.clone();
        forged[position] ^= 1;
        assert!(matches!(cli.finish(&forged, &policy()), Err(ChannelError::Tampered { .. })), "byte {position}");
    }
    assert!(cli.finish(&message2, &policy()).is_ok());
    assert!(matches!(cli.finish(&message2, &policy()), Err(ChannelError::Finished)));
}

#[test]
fn a_replayed_first_message_opens_a_channel_that_nobody_can_use() {
    let mut enclave = Enclave::new(2);
    let (mut cli, message1) = start(1);
    let (_, message2) = answer(&mut enclave, &message1);
    let mut channel = cli.finish(&message2, &policy()).unwrap();
    let (counter, sealed) = channel.transport.seal(b"a command").unwrap().remove(0);
    let (mut replayed, _) = answer(&mut enclave, &message1);
    assert_eq!(replayed.open(counter, &sealed), Err(ChannelError::Tampered { what: "packet" }));
}

#[test]
fn a_development_enclave_is_refused_by_a_cli_that_was_not_told() {
    let mut enclave = Enclave::new(2);
    let (mut cli, message1) = start(1);
    let (_, message2) = answer(&mut enclave, &message1);
    let production = AttestationPolicy { anchor: &TrustAnchor::aws(), ..policy() };
    let refused = cli.finish(&message2, &production).map(drop);
    assert!(matches!(refused, Err(ChannelError::Document(AttestationError::Chain { .. }))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_never_a_panic_and_never_a_channel(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
        let mut enclave = Enclave::new(2);
        prop_assert!(start(1).0.finish(&bytes, &policy()).is_err());
        let _ = respond(&enclave.identity, &enclave.key, enclave.boot, &mut enclave.rng, &mut Says(vec![1]), &bytes);
    }
}
