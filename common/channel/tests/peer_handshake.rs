//! The handshake between two co-signers, whatever is done to its messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod support;

use countersign_attest::{AttestationError, Measurements, TrustAnchor};
use countersign_channel::peer::{PeerInitiator, PeerPair, PeerResponder};
use countersign_channel::{AttestationPolicy, ChannelError, IdentityBinding, StaticKey};
use countersign_wire::ids::{BootId, PartyId, WorkspaceId};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_core::{CryptoRng, RngCore};
use support::*;

#[test]
fn two_co_signers_open_a_channel_and_talk_both_ways() {
    let (mut a, mut b) = connect();
    assert_eq!(a.handshake_hash, b.handshake_hash);
    assert_eq!((a.peer_boot, b.peer_boot), (BootId([2; 16]), BootId([1; 16])));
    let binding = IdentityBinding::party(PAIR.responder, a.peer_boot);
    assert_eq!(a.document.user_data.as_deref(), Some(&binding.hash()[..]));
    for (counter, sealed) in a.transport.seal(b"to the responder").unwrap() {
        assert_eq!(b.transport.open(counter, &sealed).unwrap().unwrap().as_slice(), b"to the responder");
    }
    for (counter, sealed) in b.transport.seal(b"to the initiator").unwrap() {
        assert_eq!(a.transport.open(counter, &sealed).unwrap().unwrap().as_slice(), b"to the initiator");
    }
}

#[test]
fn a_packet_sent_back_to_its_sender_is_refused() {
    let (mut a, _) = transports();
    let (counter, sealed) = a.seal(b"hello").unwrap().remove(0);
    assert_eq!(a.open(counter, &sealed), Err(ChannelError::Tampered { what: "packet" }));
}

#[test]
fn one_seed_makes_one_handshake() {
    let first = || Enclave::new(7).start(*PAIR).1;
    assert_eq!(first(), first());
    let mut enclave = Enclave::new(7);
    assert_ne!(enclave.start(*PAIR).1, enclave.start(*PAIR).1, "a second handshake has another nonce and key");
}

#[test]
fn t16_a_tampered_handshake_message_does_no_harm() {
    let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
    let (mut initiator, message1) = a.start(*PAIR);
    // Message 1 is not authenticated yet: an altered one is answered, but leads nowhere.
    let mut forged = message1.clone();
    *forged.last_mut().unwrap() ^= 1;
    let (_, wrong_answer) = b.respond(*PAIR, &forged);
    assert!(initiator.finish(&wrong_answer, &policy(), &a.identity, &mut a.nsm).is_err());

    let (mut responder, message2) = b.respond(*PAIR, &message1);
    // Every part: ephemeral key, encrypted static key, its tag, payload, last tag.
    for position in [0, 31, 32, 70, 79, 80, 500, message2.len() - 17, message2.len() - 1] {
        let mut forged = message2.clone();
        forged[position] ^= 1;
        let refused = initiator.finish(&forged, &policy(), &a.identity, &mut a.nsm).map(drop);
        assert_eq!(refused, Err(ChannelError::Tampered { what: "handshake message 2" }), "byte {position}");
    }
    let (mut channel_a, message3) = initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm).unwrap();
    for position in [0, 31, 40, 47, 48, 500, message3.len() - 17, message3.len() - 1] {
        let mut forged = message3.clone();
        forged[position] ^= 1;
        let refused = responder.finish(&forged, &policy()).map(drop);
        assert_eq!(refused, Err(ChannelError::Tampered { what: "handshake message 3" }), "byte {position}");
    }
    let mut channel_b = responder.finish(&message3, &policy()).unwrap();
    let (counter, sealed) = channel_a.transport.seal(b"still there").unwrap().remove(0);
    assert!(channel_b.transport.open(counter, &sealed).unwrap().is_some());
}

#[test]
fn t16_a_whole_forged_answer_does_no_harm() {
    // The host can run Noise itself, with keys of its own; it has no document for them.
    let (mut a, mut b, mut host) = (Enclave::new(1), Enclave::new(2), Enclave::new(3));
    let (mut initiator, message1) = a.start(*PAIR);
    let (_, forged) = PeerResponder::respond(
        *PAIR,
        &host.key,
        b.boot,
        &mut host.rng,
        &b.identity,
        &mut Says(vec![0xd2; 900]),
        &message1,
    )
    .unwrap();
    assert!(matches!(initiator.finish(&forged, &policy(), &a.identity, &mut a.nsm), Err(ChannelError::Document(_))));
    let (mut responder, message2) = b.respond(*PAIR, &message1);
    let (_, message3) = initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm).unwrap();
    assert!(responder.finish(&message3, &policy()).is_ok());
}

#[test]
fn t16_a_failing_security_module_leaves_the_handshake_open() {
    let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
    let (mut initiator, message1) = a.start(*PAIR);
    let broken =
        PeerResponder::respond(*PAIR, &b.key, b.boot, &mut b.rng, &b.identity, &mut Broken, &message1).map(drop);
    assert!(matches!(broken, Err(ChannelError::Attestor(_))));
    let (mut responder, message2) = b.respond(*PAIR, &message1);
    assert!(matches!(initiator.finish(&message2, &policy(), &a.identity, &mut Broken), Err(ChannelError::Attestor(_))));
    let (_, message3) = initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm).unwrap();
    assert!(responder.finish(&message3, &policy()).is_ok());
}

#[test]
fn handshake_messages_are_taken_once() {
    let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
    let (mut initiator, message1) = a.start(*PAIR);
    let (mut responder, message2) = b.respond(*PAIR, &message1);
    let (_, message3) = initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm).unwrap();
    responder.finish(&message3, &policy()).unwrap();
    // A second channel from the same messages would seal twice with one key and counter.
    assert!(matches!(initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm), Err(ChannelError::Finished)));
    assert!(matches!(responder.finish(&message3, &policy()), Err(ChannelError::Finished)));
}

#[test]
fn a_replayed_handshake_gives_no_session() {
    let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
    let (mut initiator, message1) = a.start(*PAIR);
    let (mut responder, message2) = b.respond(*PAIR, &message1);
    let (_, message3) = initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm).unwrap();
    responder.finish(&message3, &policy()).unwrap();

    // Message 1 again: a new answer, to which the old message 3 does not fit.
    let (mut again, message2_again) = b.respond(*PAIR, &message1);
    assert_ne!(message2_again, message2);
    assert!(matches!(again.finish(&message3, &policy()), Err(ChannelError::Tampered { .. })));
    // An old message 2 to a new handshake of the same initiator, and to one after its restart.
    let (mut new, _) = a.start(*PAIR);
    assert!(matches!(new.finish(&message2, &policy(), &a.identity, &mut a.nsm), Err(ChannelError::Tampered { .. })));
    let mut restarted = Enclave::new(4);
    let (mut new, _) = restarted.start(*PAIR);
    assert!(matches!(
        new.finish(&message2, &policy(), &restarted.identity, &mut restarted.nsm),
        Err(ChannelError::Tampered { .. })
    ));
}

#[test]
fn a_repeated_first_message_gets_the_same_answer() {
    let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
    let (_, message1) = a.start(*PAIR);
    let (responder, message2) = b.respond(*PAIR, &message1);
    assert_eq!(responder.answer_again(&message1), Some(&message2[..]));
    let (_, other) = a.start(*PAIR);
    assert_eq!(responder.answer_again(&other), None);
}

#[test]
fn parties_that_differ_about_whom_they_talk_to_get_no_session() {
    for other in [
        PeerPair { workspace: WorkspaceId([6; 16]), ..*PAIR },
        PeerPair { initiator: PartyId([11; 32]), ..*PAIR },
        PeerPair { responder: PartyId([21; 32]), ..*PAIR },
        PeerPair { initiator: PAIR.responder, responder: PAIR.initiator, ..*PAIR },
    ] {
        let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
        let (mut initiator, message1) = a.start(*PAIR);
        let (_, message2) = b.respond(other, &message1);
        assert!(matches!(
            initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm),
            Err(ChannelError::Tampered { .. })
        ));
    }
}

/// What the initiator says to an answer whose document was asked for with other values.
fn meddled_answer(meddle: impl FnMut(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<u8>)) -> ChannelError {
    let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
    let (mut initiator, message1) = a.start(*PAIR);
    let mut attestor = Meddling(nsm(IMAGE), meddle);
    let (_, message2) =
        PeerResponder::respond(*PAIR, &b.key, b.boot, &mut b.rng, &b.identity, &mut attestor, &message1).unwrap();
    initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm).map(drop).unwrap_err()
}

/// What the responder says to a proof whose document was asked for with other values.
fn meddled_proof(meddle: impl FnMut(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<u8>)) -> ChannelError {
    let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
    let (mut initiator, message1) = a.start(*PAIR);
    let (mut responder, message2) = b.respond(*PAIR, &message1);
    let (_, message3) = initiator.finish(&message2, &policy(), &a.identity, &mut Meddling(nsm(IMAGE), meddle)).unwrap();
    responder.finish(&message3, &policy()).map(drop).unwrap_err()
}

#[test]
fn t40_a_document_with_another_nonce_is_refused() {
    let stale = |error| matches!(error, ChannelError::Document(AttestationError::NonceMismatch { .. }));
    assert!(stale(meddled_answer(|nonce, _, _| nonce[0] ^= 1)));
    assert!(stale(meddled_proof(|nonce, _, _| nonce[0] ^= 1)));
    let missing = |error| matches!(error, ChannelError::Document(AttestationError::NonceMissing { .. }));
    assert!(missing(meddled_answer(|nonce, _, _| nonce.clear())));
    assert!(missing(meddled_proof(|nonce, _, _| nonce.clear())));
}

#[test]
fn a_document_for_another_channel_key_is_refused() {
    let key = |error| matches!(error, ChannelError::Binding { field: "public_key", .. });
    assert!(key(meddled_answer(|_, _, key| key[0] ^= 1)));
    assert!(key(meddled_proof(|_, _, key| key[0] ^= 1)));
    assert!(key(meddled_proof(|_, _, key| key.clear())));
}

#[test]
fn a_document_for_another_party_boot_or_kind_is_refused() {
    let data = |error| matches!(error, ChannelError::Binding { field: "user_data", .. });
    let boot = BootId([2; 16]);
    for other in [
        IdentityBinding::party(PartyId([21; 32]), boot),
        IdentityBinding::party(PAIR.initiator, boot),
        IdentityBinding::party(PAIR.responder, BootId([3; 16])),
        IdentityBinding::instance(countersign_wire::ids::InstanceId(PAIR.responder.0), boot),
    ] {
        assert!(data(meddled_answer(|_, user_data, _| *user_data = other.hash().to_vec())), "{other:?}");
    }
    assert!(data(meddled_answer(|_, user_data, _| user_data.clear())));
    assert!(data(meddled_proof(|_, user_data, _| user_data[31] ^= 1)));
}

#[test]
fn t54_a_co_signer_with_the_same_software_cannot_pass_for_another() {
    let refused = |error| matches!(error, ChannelError::Identity { .. });
    // A third co-signer gets genuine documents that name the responder, and then the initiator.
    let (mut a, mut b, mut third) = (Enclave::new(1), Enclave::new(2), Enclave::new(3));
    let (mut initiator, message1) = a.start(*PAIR);
    let (_, message2) = third.respond(*PAIR, &message1);
    assert!(refused(initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm).map(drop).unwrap_err()));
    let (mut responder, message2) = b.respond(*PAIR, &message1);
    assert!(
        initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm).is_ok(),
        "the genuine answer is still taken"
    );

    let (mut initiator, message1) = third.start(*PAIR);
    let (mut forged, message2) = b.respond(*PAIR, &message1);
    let (_, message3) = initiator.finish(&message2, &policy(), &third.identity, &mut third.nsm).unwrap();
    assert!(refused(forged.finish(&message3, &policy()).map(drop).unwrap_err()));
    assert!(responder.finish(&message3, &policy()).is_err());
}

#[test]
fn t39_other_software_is_refused() {
    let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
    b.nsm = nsm(Measurements { pcr2: [9; 48], ..IMAGE });
    let (mut initiator, message1) = a.start(*PAIR);
    let (_, message2) = b.respond(*PAIR, &message1);
    let refused = initiator.finish(&message2, &policy(), &a.identity, &mut a.nsm).map(drop);
    assert!(matches!(refused, Err(ChannelError::Document(AttestationError::PcrMismatch { pcr: 2, .. }))));
}

#[test]
fn a_development_document_is_refused_by_a_production_verifier() {
    let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
    let (mut initiator, message1) = a.start(*PAIR);
    let (_, message2) = b.respond(*PAIR, &message1);
    let production = AttestationPolicy { anchor: &TrustAnchor::aws(), ..policy() };
    let refused = initiator.finish(&message2, &production, &a.identity, &mut a.nsm).map(drop);
    assert!(matches!(refused, Err(ChannelError::Document(AttestationError::Chain { .. }))));
}

#[test]
fn an_own_document_that_is_too_long_is_not_sent() {
    let mut a = Enclave::new(1);
    let (_, message1) = a.start(*PAIR);
    let mut says = Says(vec![0; 16 * 1024 + 1]);
    let refused =
        PeerResponder::respond(*PAIR, &a.key, a.boot, &mut a.rng, &a.identity, &mut says, &message1).map(drop);
    assert!(matches!(refused, Err(ChannelError::OwnDocument(_))));
}

#[test]
fn debug_never_shows_a_secret() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let key = StaticKey::generate(&mut rng);
    assert_eq!(format!("{key:?}"), "StaticKey(<redacted>)");
    let (initiator, _) = PeerInitiator::start(*PAIR, &key, BootId([1; 16]), &mut rng).unwrap();
    assert!(!format!("{initiator:?}").contains("ephemeral"));
}

#[test]
fn the_public_key_is_that_of_rfc_7748() {
    /// A source of randomness that gives Alice's private key of section 6.1.
    struct Alice;
    impl RngCore for Alice {
        fn next_u32(&mut self) -> u32 {
            0
        }
        fn next_u64(&mut self) -> u64 {
            0
        }
        fn fill_bytes(&mut self, dest: &mut [u8]) {
            hex::decode_to_slice("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", dest).unwrap();
        }
        fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
            self.fill_bytes(dest);
            Ok(())
        }
    }
    impl CryptoRng for Alice {}
    let public = hex::encode(StaticKey::generate(&mut Alice).public());
    assert_eq!(public, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_never_a_panic_and_never_a_session(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
        let (mut a, mut b) = (Enclave::new(1), Enclave::new(2));
        let (mut initiator, message1) = a.start(*PAIR);
        prop_assert!(initiator.finish(&bytes, &policy(), &a.identity, &mut a.nsm).is_err());
        let (mut responder, _) = b.respond(*PAIR, &message1);
        prop_assert!(responder.finish(&bytes, &policy()).is_err());
        let _ = PeerResponder::respond(*PAIR, &b.key, b.boot, &mut b.rng, &b.identity, &mut Says(vec![1]), &bytes);
    }
}
