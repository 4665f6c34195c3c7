//! The open channel, whatever is done to its packets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod support;

use countersign_channel::{
    ChannelError, FRAGMENT_BYTES, MAX_ASSEMBLIES, MAX_ASSEMBLY_BYTES, MAX_COUNTER, MAX_FRAGMENTS, MAX_MESSAGE_BYTES,
    Transport, WINDOW,
};
use proptest::prelude::*;
use support::*;

type Packet = (u64, Vec<u8>);

fn open(channel: &mut Transport, packet: &Packet) -> Result<Option<Vec<u8>>, ChannelError> {
    channel.open(packet.0, &packet.1).map(|opened| opened.map(|message| message.to_vec()))
}

fn message(byte: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| byte.wrapping_add(u8::try_from(i % 251).unwrap())).collect()
}

#[test]
fn messages_of_every_length_arrive_as_they_were() {
    let (mut a, mut b) = transports();
    for len in [
        0,
        1,
        FRAGMENT_BYTES - 1,
        FRAGMENT_BYTES,
        FRAGMENT_BYTES + 1,
        2 * FRAGMENT_BYTES,
        3 * FRAGMENT_BYTES + 7,
        MAX_MESSAGE_BYTES,
    ] {
        let sent = message(3, len);
        let packets = a.seal(&sent).unwrap();
        assert_eq!(packets.len(), len.div_ceil(FRAGMENT_BYTES).max(1));
        assert!(packets.len() <= MAX_FRAGMENTS && packets.iter().all(|(_, sealed)| sealed.len() <= 65_535));
        let (last, first) = packets.split_last().unwrap();
        for packet in first {
            assert_eq!(open(&mut b, packet), Ok(None));
        }
        assert_eq!(open(&mut b, last), Ok(Some(sent)), "{len} bytes");
    }
    assert_eq!(b.incomplete(), 0);
}

#[test]
fn t45_a_message_over_the_limit_is_not_sealed() {
    let (mut a, mut b) = transports();
    let got = MAX_MESSAGE_BYTES + 1;
    assert_eq!(a.seal(&vec![0; got]), Err(ChannelError::TooLarge { what: "message", max: MAX_MESSAGE_BYTES, got }));
    let packets = a.seal(b"next").unwrap();
    assert_eq!(packets[0].0, 0, "no counter was used up");
    assert!(matches!(b.open(0, &vec![0; 65_021]), Err(ChannelError::TooLarge { what: "packet", .. })));
}

#[test]
fn t16_a_tampered_packet_is_a_channel_error_and_does_no_harm() {
    let (mut a, mut b) = transports();
    let packets = a.seal(&message(1, 70_000)).unwrap();
    assert_eq!(open(&mut b, &packets[0]), Ok(None));
    let (counter, sealed) = &packets[1];
    for position in [0, 1, 3, 4, 100, sealed.len() - 1] {
        let mut forged = sealed.clone();
        forged[position] ^= 4;
        assert_eq!(open(&mut b, &(*counter, forged)), Err(ChannelError::Tampered { what: "packet" }));
    }
    for (other, what) in [(counter + 1, "a later counter"), (0x00ff_0000_0000, "a far one")] {
        assert_eq!(open(&mut b, &(other, sealed.clone())), Err(ChannelError::Tampered { what: "packet" }), "{what}");
    }
    for short in [&[][..], &sealed[..15], &sealed[..sealed.len() - 1]] {
        assert_eq!(b.open(*counter, short).map(drop), Err(ChannelError::Tampered { what: "packet" }));
    }
    assert_eq!(open(&mut b, &packets[1]), Ok(Some(message(1, 70_000))));
}

#[test]
fn t19_a_repeated_packet_is_refused() {
    let (mut a, mut b) = transports();
    let packets = a.seal(&message(1, 70_000)).unwrap();
    assert_eq!(open(&mut b, &packets[0]), Ok(None));
    assert_eq!(open(&mut b, &packets[0]), Err(ChannelError::Replayed { counter: 0, oldest: 0 }));
    assert_eq!(open(&mut b, &packets[1]), Ok(Some(message(1, 70_000))));
    for packet in &packets {
        assert!(matches!(open(&mut b, packet), Err(ChannelError::Replayed { .. })));
    }
}

#[test]
fn t19_reordered_packets_are_accepted_within_the_window_and_no_further() {
    let (mut a, mut b) = transports();
    let packets: Vec<Packet> = (0..WINDOW + 1).map(|i| a.seal(&i.to_be_bytes()).unwrap().remove(0)).collect();
    let last = usize::try_from(WINDOW).unwrap();
    assert!(open(&mut b, &packets[last]).unwrap().is_some());
    assert_eq!(open(&mut b, &packets[0]), Err(ChannelError::Replayed { counter: 0, oldest: 1 }));
    for index in (1..last).rev() {
        assert_eq!(open(&mut b, &packets[index]), Ok(Some((index as u64).to_be_bytes().to_vec())));
    }
}

#[test]
fn t19_dropped_packets_cost_their_own_message_only() {
    let (mut a, mut b) = transports();
    let lost = a.seal(&message(1, 200_000)).unwrap();
    let whole = a.seal(&message(2, 200_000)).unwrap();
    for packet in [&lost[0], &lost[2], &lost[3], &whole[0], &whole[1], &whole[2]] {
        assert_eq!(open(&mut b, packet), Ok(None));
    }
    assert_eq!(open(&mut b, &whole[3]), Ok(Some(message(2, 200_000))));
    assert_eq!(b.incomplete(), 1);
}

#[test]
fn fragments_arrive_out_of_order_and_interleaved() {
    let (mut a, mut b) = transports();
    let one = a.seal(&message(1, 150_000)).unwrap();
    let two = a.seal(&message(2, 190_000)).unwrap();
    let three = a.seal(b"three").unwrap();
    assert_eq!(open(&mut b, &two[2]), Ok(None));
    assert_eq!(open(&mut b, &one[1]), Ok(None));
    assert_eq!(open(&mut b, &three[0]), Ok(Some(b"three".to_vec())));
    assert_eq!(open(&mut b, &one[2]), Ok(None));
    assert_eq!(open(&mut b, &two[0]), Ok(None));
    assert_eq!(b.incomplete(), 2);
    assert_eq!(open(&mut b, &one[0]), Ok(Some(message(1, 150_000))));
    assert_eq!(open(&mut b, &two[1]), Ok(Some(message(2, 190_000))));
    assert_eq!(b.incomplete(), 0);
}

#[test]
fn t45_incomplete_messages_are_limited_in_number_and_the_oldest_gives_way() {
    let (mut a, mut b) = transports();
    let mut first = Vec::new();
    for _ in 0..MAX_ASSEMBLIES {
        let packets = a.seal(&message(1, FRAGMENT_BYTES + 1)).unwrap();
        assert_eq!(open(&mut b, &packets[0]), Ok(None));
        first.push(packets);
    }
    let more = a.seal(&message(9, FRAGMENT_BYTES + 1)).unwrap();
    assert_eq!(open(&mut b, &more[0]), Ok(None));
    assert_eq!(b.incomplete(), MAX_ASSEMBLIES);
    assert_eq!(open(&mut b, &more[1]), Ok(Some(message(9, FRAGMENT_BYTES + 1))));
    // The oldest one is lost, and its rest takes no room; the others are whole.
    assert_eq!(open(&mut b, &first[0][1]), Ok(None));
    assert_eq!(b.incomplete(), MAX_ASSEMBLIES - 1);
    for packets in &first[1..] {
        assert_eq!(open(&mut b, &packets[1]), Ok(Some(message(1, FRAGMENT_BYTES + 1))));
    }
    assert_eq!(b.incomplete(), 0);
}

#[test]
fn t45_incomplete_messages_are_limited_in_bytes_and_the_oldest_give_way() {
    let (mut a, mut b) = transports();
    for _ in 0..3 * MAX_ASSEMBLY_BYTES / MAX_MESSAGE_BYTES {
        let packets = a.seal(&message(1, MAX_MESSAGE_BYTES)).unwrap();
        for packet in &packets[1..] {
            assert_eq!(open(&mut b, packet), Ok(None));
        }
        assert!(b.incomplete() <= MAX_ASSEMBLY_BYTES / (MAX_MESSAGE_BYTES - FRAGMENT_BYTES));
    }
}

#[test]
fn t16_a_carrier_that_withholds_fragments_keeps_no_later_message_out() {
    let (mut a, mut b) = transports();
    for n in 0..200 {
        let withheld = a.seal(&message(1, 3 * FRAGMENT_BYTES)).unwrap();
        for packet in &withheld[..2] {
            assert_eq!(open(&mut b, packet), Ok(None));
        }
        let whole = a.seal(&message(2, 2 * FRAGMENT_BYTES)).unwrap();
        assert_eq!(open(&mut b, &whole[1]), Ok(None));
        assert_eq!(open(&mut b, &whole[0]), Ok(Some(message(2, 2 * FRAGMENT_BYTES))), "{n}");
    }
}

#[test]
fn messages_that_can_never_be_completed_are_forgotten() {
    let (mut a, mut b) = transports();
    for _ in 0..MAX_ASSEMBLIES {
        let packets = a.seal(&message(1, FRAGMENT_BYTES + 1)).unwrap();
        assert_eq!(open(&mut b, &packets[0]), Ok(None));
    }
    // The second fragments are lost. When the window has passed them, they could not be accepted any more.
    for _ in 0..WINDOW {
        let packets = a.seal(b"traffic").unwrap();
        open(&mut b, &packets[0]).unwrap();
    }
    assert_eq!(b.incomplete(), 0);
}

#[test]
fn counters_are_never_used_twice_and_never_wrap() {
    let (mut a, mut b) = transports();
    let counters: Vec<u64> =
        (0..4).flat_map(|_| a.seal(&message(1, 130_001)).unwrap()).map(|(counter, _)| counter).collect();
    assert_eq!(counters, (0..12).collect::<Vec<u64>>());
    for counter in [MAX_COUNTER, u64::MAX] {
        assert_eq!(b.open(counter, &[0; 40]).map(drop), Err(ChannelError::CountersExhausted { max: MAX_COUNTER }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_packets_are_refused(counter: u64, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (_, mut b) = transports();
        prop_assert!(b.open(counter, &bytes).is_err());
    }

    /// Whatever a carrier does, each message arrives at most once and as it was sent; if it drops nothing, exactly once.
    #[test]
    fn t19_a_hostile_carrier_loses_messages_at_worst(
        lengths in prop::collection::vec(0usize..200_000, 1..6),
        moves in prop::collection::vec((any::<prop::sample::Index>(), 0u8..6), 0..60),
    ) {
        let (mut a, mut b) = transports();
        let sent: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(i, len)| {
            [&[u8::try_from(i).unwrap()][..], &message(7, *len)].concat()
        }).collect();
        let mut packets: Vec<Packet> = sent.iter().flat_map(|m| a.seal(m).unwrap()).collect();
        let mut dropped = false;
        for (index, kind) in moves {
            if packets.is_empty() {
                break;
            }
            let position = index.index(packets.len());
            match kind {
                0 => { let again = packets[position].clone(); packets.push(again) }
                1 => { let first = packets.remove(position); packets.insert(0, first) }
                2 => { let last = packets.remove(position); packets.push(last) }
                3 => { let (counter, sealed) = packets[position].clone(); packets.insert(0, (counter ^ 1, sealed)) }
                4 => { let mut forged = packets[position].clone(); forged.1[0] ^= 1; packets.insert(0, forged) }
                _ => { packets.remove(position); dropped = true }
            }
        }
        let mut arrived: Vec<Vec<u8>> = packets.iter().filter_map(|p| open(&mut b, p).ok().flatten()).collect();
        arrived.sort();
        for pair in arrived.windows(2) {
            prop_assert_ne!(pair[0][0], pair[1][0], "twice");
        }
        prop_assert!(arrived.iter().all(|m| sent.contains(m)));
        prop_assert!(dropped || arrived.len() == sent.len());
    }
}
