//! A host that keeps, changes and exchanges blobs as it likes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use countersign_wire::ids::PairingId;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

type Blobs = BTreeMap<BlobName, Vec<u8>>;

const KEY: [u8; 32] = [9; 32];
const INSTANCE: [u8; 32] = [8; 32];

struct Host {
    sealer: Sealer,
    rng: ChaCha20Rng,
    blobs: Blobs,
}

impl Host {
    fn new() -> Self {
        Self::of(KEY, INSTANCE)
    }

    fn of(key: [u8; 32], instance: [u8; 32]) -> Self {
        // Whoever has another root key has another data key.
        let mut rng = ChaCha20Rng::from_seed(key);
        let sealer = Sealer::create(root_key(key, b"wrapped"), instance, &mut rng).unwrap();
        Self { sealer, rng, blobs: Blobs::new() }
    }

    fn rotate(&mut self, key: [u8; 32]) {
        self.sealer.rotate(root_key(key, b"wrapped again"), &mut self.rng).unwrap();
    }

    fn store(&mut self, changes: Vec<BlobChange>) {
        for write in self.sealer.seal(changes, &mut self.rng).unwrap() {
            match write.value {
                Some(value) => self.blobs.insert(write.name, value.into_vec()),
                None => self.blobs.remove(&write.name),
            };
        }
    }

    fn write(&mut self, id: BlobId, record: &[u8]) {
        self.store(vec![(id, record_of(record))]);
    }

    /// Settings, two pairings with a key each, and a request.
    fn filled() -> Self {
        let mut host = Self::new();
        host.write(SETTINGS, b"settings");
        host.store(vec![(key_of(1), record_of(b"share 1")), (key_of(2), record_of(b"share 2"))]);
        host.store(vec![(request(1), record_of(b"request"))]);
        host
    }
}

fn root_key(key: [u8; 32], wrapped: &[u8]) -> RootKey {
    let wrapping_key = Text::new("arn:aws:kms:test").unwrap();
    RootKey { key: Zeroizing::new(key), wrapping_key, wrapped: wrapped.to_vec() }
}

fn record_of(record: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    Some(Zeroizing::new(record.to_vec()))
}

const SETTINGS: BlobId = BlobId { kind: Kind::Settings, pairing: None, id: [0; 32] };

fn key_of(pairing: u8) -> BlobId {
    BlobId { kind: Kind::Key, pairing: Some(PairingId([pairing; 16])), id: [5; 32] }
}

fn request(id: u8) -> BlobId {
    BlobId { kind: Kind::Request, pairing: Some(PairingId([1; 16])), id: [id; 32] }
}

fn open(blobs: &Blobs) -> Result<(Sealer, BTreeMap<BlobId, Vec<u8>>), StateError> {
    open_with(KEY, blobs)
}

fn open_with(key: [u8; 32], blobs: &Blobs) -> Result<(Sealer, BTreeMap<BlobId, Vec<u8>>), StateError> {
    let root = Root::read(blobs)?.expect("not a fresh instance");
    let (sealer, records) = Sealer::open(&key, root, blobs)?;
    Ok((sealer, records.into_iter().map(|(id, record)| (id, record.to_vec())).collect()))
}

fn refusal(blobs: &Blobs) -> StateError {
    open(blobs).map(|_| ()).unwrap_err()
}

fn name(text: &str) -> BlobName {
    BlobName::new(text).unwrap()
}

#[test]
fn what_was_sealed_opens_and_can_be_continued() {
    let mut host = Host::filled();
    host.write(key_of(1), b"share 1, later");
    host.store(vec![(request(1), None)]);
    let (mut sealer, records) = open(&host.blobs).unwrap();
    let expected =
        [(SETTINGS, b"settings".to_vec()), (key_of(1), b"share 1, later".to_vec()), (key_of(2), b"share 2".to_vec())];
    assert_eq!(records, BTreeMap::from(expected));
    assert_eq!(sealer.epoch, 5);
    assert_eq!(sealer.root, host.sealer.root);
    let mut blobs = host.blobs.clone();
    for write in sealer.seal(vec![(request(2), record_of(b"more"))], &mut host.rng).unwrap() {
        blobs.insert(write.name, write.value.unwrap().into_vec());
    }
    let (sealer, records) = open(&blobs).unwrap();
    assert_eq!((sealer.epoch, records.len()), (6, 4));
}

#[test]
fn many_random_changes_leave_what_a_map_would_hold() {
    let mut host = Host::new();
    let mut expected = BTreeMap::new();
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    for _ in 0..200 {
        let mut changes: BTreeMap<BlobId, Option<Vec<u8>>> = BTreeMap::new();
        for _ in 0..rng.next_u32() % 5 {
            let id = request(u8::try_from(rng.next_u32() % 20).unwrap());
            changes.insert(id, (rng.next_u32() % 3 > 0).then(|| rng.next_u64().to_le_bytes().to_vec()));
        }
        for (id, record) in &changes {
            match record {
                Some(record) => expected.insert(*id, record.clone()),
                None => expected.remove(id),
            };
        }
        host.store(changes.into_iter().map(|(id, record)| (id, record.map(Zeroizing::new))).collect());
        if rng.next_u32() % 10 == 0 {
            let (sealer, records) = open(&host.blobs).unwrap();
            assert_eq!(records, expected);
            host.sealer = sealer;
        }
    }
    assert_eq!(open(&host.blobs).unwrap().1, expected);
}

#[test]
fn the_first_batch_brings_the_root_and_every_batch_the_head() {
    let mut host = Host::new();
    let names = |writes: Vec<BlobWrite>| writes.into_iter().map(|w| w.name.to_string()).collect::<Vec<_>>();
    let first = names(host.sealer.seal(vec![(SETTINGS, record_of(b"a"))], &mut host.rng).unwrap());
    assert_eq!(first, ["root", &*SETTINGS.name(), "head"]);
    assert_eq!(names(host.sealer.seal(vec![], &mut host.rng).unwrap()), ["head"]);
}

#[test]
fn no_blob_at_all_is_a_fresh_instance() {
    assert_eq!(Root::read(&Blobs::new()), Ok(None));
}

#[test]
fn sealed_blobs_show_nothing_of_their_content() {
    let mut host = Host::new();
    host.write(SETTINGS, b"canary-0123456789");
    for (name, sealed) in &host.blobs {
        assert!(!sealed.windows(8).any(|w| w == b"canary-0"), "{name}");
    }
    let once = host.blobs.clone();
    host.write(SETTINGS, b"canary-0123456789");
    assert_ne!(host.blobs.get(&SETTINGS.name()), once.get(&SETTINGS.name()), "the same record never looks the same");
    assert!(!format!("{:?}", host.sealer).contains("9, 9"));
}

#[test]
fn t03_a_blob_in_the_place_of_another_is_refused() {
    let host = Host::filled();
    for (place, other) in
        [(key_of(1), key_of(2)), (key_of(1), request(1)), (SETTINGS, key_of(1)), (request(1), SETTINGS)]
    {
        let mut blobs = host.blobs.clone();
        let moved = blobs.get(&other.name()).unwrap().clone();
        blobs.insert(place.name(), moved);
        assert_eq!(refusal(&blobs), StateError::Swapped { name: place.name(), found: other.name() });
    }
    let mut blobs = host.blobs.clone();
    let (a, b) = (blobs.remove(&key_of(1).name()).unwrap(), blobs.remove(&key_of(2).name()).unwrap());
    blobs.insert(key_of(1).name(), b);
    blobs.insert(key_of(2).name(), a);
    assert!(matches!(refusal(&blobs), StateError::Swapped { .. }), "exchanged");
    let mut blobs = host.blobs.clone();
    let head = blobs.get(&name("head")).unwrap().clone();
    blobs.insert(SETTINGS.name(), head.clone());
    assert_eq!(refusal(&blobs), StateError::Swapped { name: SETTINGS.name(), found: name("head") });
    let mut blobs = host.blobs.clone();
    let settings = blobs.get(&SETTINGS.name()).unwrap().clone();
    blobs.insert(name("head"), settings);
    assert_eq!(refusal(&blobs), StateError::Swapped { name: name("head"), found: SETTINGS.name() });
}

#[test]
fn t03_a_blob_whose_header_was_rewritten_for_its_new_place_is_corrupt() {
    let host = Host::filled();
    let mut blobs = host.blobs.clone();
    let mut moved = blobs.get(&key_of(2).name()).unwrap().clone();
    let place = blobs.get(&key_of(1).name()).unwrap().clone();
    // Version, kind, pairing and id of the place, with epoch, salt and ciphertext of the other.
    moved.splice(..51, place[..51].iter().copied());
    blobs.insert(key_of(1).name(), moved);
    assert_eq!(refusal(&blobs), StateError::Corrupt { name: key_of(1).name() });
}

#[test]
fn t03_a_blob_of_another_instance_or_data_key_is_corrupt() {
    let host = Host::filled();
    for (key, instance) in [(KEY, [1; 32]), ([1; 32], INSTANCE)] {
        let mut other = Host::of(key, instance);
        other.write(SETTINGS, b"settings");
        let mut blobs = host.blobs.clone();
        blobs.insert(SETTINGS.name(), other.blobs.get(&SETTINGS.name()).unwrap().clone());
        assert_eq!(refusal(&blobs), StateError::Corrupt { name: SETTINGS.name() });
    }
    assert_eq!(open_with([1; 32], &host.blobs).map(|_| ()), Err(StateError::Corrupt { name: name("root") }));
}

#[test]
fn t04_every_cut_and_every_flipped_bit_is_noticed_and_none_is_a_fresh_start() {
    let host = Host::filled();
    for (blob, sealed) in &host.blobs {
        for len in 0..sealed.len() {
            let mut blobs = host.blobs.clone();
            blobs.insert(blob.clone(), sealed[..len].to_vec());
            assert_eq!(refusal(&blobs), StateError::Corrupt { name: blob.clone() }, "cut to {len}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut blobs = host.blobs.clone();
            blobs.insert(blob.clone(), flipped);
            // A change of a header makes it another blob.
            let refused = refusal(&blobs);
            let typed = match &refused {
                StateError::Corrupt { name: named } => named == blob,
                StateError::Version { name, .. } => bit < 8 && name == blob,
                StateError::Swapped { name, .. } => (8..51 * 8).contains(&bit) && name == blob,
                StateError::Missing { .. } | StateError::Stale => false,
            };
            assert!(typed, "{blob} bit {bit}: {refused}");
        }
        let mut longer = sealed.clone();
        longer.push(0);
        let mut blobs = host.blobs.clone();
        blobs.insert(blob.clone(), longer);
        assert_eq!(refusal(&blobs), StateError::Corrupt { name: blob.clone() }, "longer");
    }
}

#[test]
fn t05_a_missing_blob_is_missing_and_no_fresh_start() {
    let host = Host::filled();
    for blob in host.blobs.keys() {
        let mut blobs = host.blobs.clone();
        blobs.remove(blob);
        assert!(matches!(refusal(&blobs), StateError::Missing { .. }), "{blob}");
    }
    let only =
        |keep: &str| host.blobs.iter().filter(|(n, _)| ***n == *keep).map(|(n, b)| (n.clone(), b.clone())).collect();
    assert_eq!(refusal(&only("root")), StateError::Missing { what: "the head".into() });
    assert_eq!(Root::read(&only("head")), Err(StateError::Missing { what: "the root".into() }));
}

#[test]
fn an_old_version_of_one_blob_is_stale() {
    let mut host = Host::filled();
    let old = host.blobs.clone();
    host.write(key_of(1), b"share 1, later");
    let mut blobs = host.blobs.clone();
    blobs.insert(key_of(1).name(), old.get(&key_of(1).name()).unwrap().clone());
    assert_eq!(refusal(&blobs), StateError::Stale);
}

#[test]
fn an_old_head_beside_new_blobs_is_stale() {
    let mut host = Host::filled();
    let old = host.blobs.clone();
    host.write(key_of(1), b"share 1, later");
    let mut blobs = host.blobs.clone();
    blobs.insert(name("head"), old.get(&name("head")).unwrap().clone());
    assert_eq!(refusal(&blobs), StateError::Stale);
}

#[test]
fn a_deleted_blob_that_comes_back_is_stale() {
    let mut host = Host::filled();
    let old = host.blobs.get(&request(1).name()).unwrap().clone();
    host.store(vec![(request(1), None)]);
    assert!(open(&host.blobs).is_ok());
    let mut blobs = host.blobs.clone();
    blobs.insert(request(1).name(), old.clone());
    assert_eq!(refusal(&blobs), StateError::Stale, "beside all others");
    blobs.remove(&key_of(2).name());
    assert_eq!(refusal(&blobs), StateError::Stale, "in the place of another in the count");
}

#[test]
fn a_blob_nobody_sealed_is_refused() {
    let mut host = Host::filled();
    host.blobs.insert(name("stray"), b"bytes".to_vec());
    assert!(matches!(refusal(&host.blobs), StateError::Version { .. } | StateError::Corrupt { .. }));
}

#[test]
fn t46_a_version_from_the_future_is_named() {
    let host = Host::filled();
    for blob in [name("root"), name("head"), SETTINGS.name()] {
        let mut blobs = host.blobs.clone();
        blobs.get_mut(&blob).unwrap()[0] += 1;
        let expected = if *blob == *"root" { 2 } else { 1 };
        assert_eq!(refusal(&blobs), StateError::Version { name: blob, expected, got: expected + 1 });
    }
}

#[test]
fn t42_a_root_that_names_another_wrapping_key_is_refused() {
    let host = Host::filled();
    let mut root = Root::read(&host.blobs).unwrap().unwrap();
    root.wrapping_key = Text::new("arn:aws:kms:foreign").unwrap();
    let mut blobs = host.blobs.clone();
    blobs.insert(name("root"), root.encode().into_vec());
    assert_eq!(refusal(&blobs), StateError::Corrupt { name: name("root") });
}

#[test]
fn limits_are_errors_and_change_nothing() {
    let mut host = Host::filled();
    let before = host.sealer.epoch;
    let many = |count: u8| (0..count).map(|i| (request(i), record_of(b"r"))).collect::<Vec<_>>();
    let limit = u8::try_from(MAX_BATCH_WRITES).unwrap();
    assert_eq!(
        host.sealer.seal(many(limit), &mut host.rng),
        Err(SealError::TooManyWrites { max: MAX_BATCH_WRITES, got: MAX_BATCH_WRITES + 1 })
    );
    let large = vec![(request(1), None), (SETTINGS, record_of(&vec![0; MAX_PLAINTEXT_BYTES + 1]))];
    let (max, got) = (MAX_PLAINTEXT_BYTES, MAX_PLAINTEXT_BYTES + 1);
    assert_eq!(host.sealer.seal(large, &mut host.rng), Err(SealError::TooLarge { name: SETTINGS.name(), max, got }));
    let twice = vec![(SETTINGS, record_of(b"a")), (SETTINGS, None)];
    assert_eq!(host.sealer.seal(twice, &mut host.rng), Err(SealError::Twice { name: SETTINGS.name() }));
    assert_eq!(host.sealer.epoch, before);
    host.store(many(limit - 1));
    assert!(open(&host.blobs).is_ok(), "a refused batch left no trace");
    let long = || root_key(KEY, &vec![0; MAX_WRAPPED_KEY_BYTES + 1]);
    assert!(matches!(Sealer::create(long(), INSTANCE, &mut host.rng), Err(SealError::Wrapped { .. })));
    assert!(matches!(host.sealer.rotate(long(), &mut host.rng), Err(SealError::Wrapped { .. })));
    host.store(vec![(request(1), None)]);
    assert!(open(&host.blobs).is_ok(), "a refused rotation left no trace");
}

#[test]
fn deleting_what_is_not_stored_is_nothing() {
    let mut host = Host::filled();
    let writes = host.sealer.seal(vec![(request(77), None)], &mut host.rng).unwrap();
    assert_eq!(writes.iter().map(|w| &*w.name).collect::<Vec<_>>(), ["head"]);
}

#[test]
fn one_seed_seals_the_same_bytes() {
    assert_eq!(Host::filled().blobs, Host::filled().blobs);
}

const NEXT: [u8; 32] = [7; 32];

#[test]
fn a_rotated_state_opens_with_the_new_root_key_alone_and_goes_on() {
    let mut host = Host::filled();
    let before = host.blobs.clone();
    host.rotate(NEXT);
    host.write(SETTINGS, b"settings, later");
    assert_eq!(
        open(&host.blobs).map(|_| ()),
        Err(StateError::Corrupt { name: name("root") }),
        "with the former root key"
    );
    assert_eq!(host.blobs.get(&key_of(1).name()), before.get(&key_of(1).name()), "nothing is sealed anew for it");
    let (sealer, records) = open_with(NEXT, &host.blobs).unwrap();
    assert_eq!(records.len(), 4);
    assert_eq!(records.get(&SETTINGS).unwrap(), b"settings, later");
    assert_eq!(records.get(&key_of(1)).unwrap(), b"share 1");
    host.sealer = sealer;
    host.write(key_of(1), b"share 1, later");
    host.rotate(KEY);
    host.write(SETTINGS, b"settings, at last");
    let (_, records) = open(&host.blobs).unwrap();
    assert_eq!(records.get(&key_of(1)).unwrap(), b"share 1, later");
    assert_eq!(records.get(&key_of(2)).unwrap(), b"share 2");
}

#[test]
fn a_rotation_is_one_batch_and_until_it_is_durable_the_former_root_opens() {
    let mut host = Host::filled();
    let before = host.blobs.clone();
    host.rotate(NEXT);
    let writes = host.sealer.seal(vec![(SETTINGS, record_of(b"settings, later"))], &mut host.rng).unwrap();
    assert_eq!(writes.iter().map(|w| w.name.to_string()).collect::<Vec<_>>(), ["root", &*SETTINGS.name(), "head"]);
    assert!(open(&before).is_ok());
    let next = host.sealer.seal(vec![], &mut host.rng).unwrap();
    assert_eq!(next.iter().map(|w| &*w.name).collect::<Vec<_>>(), ["head"]);
}

#[test]
fn t03_the_former_root_beside_later_blobs_and_the_other_way_round_is_refused() {
    let mut host = Host::filled();
    let before = host.blobs.clone();
    host.rotate(NEXT);
    host.write(SETTINGS, b"settings, later");
    for blob in ["root", "head", &*SETTINGS.name()] {
        let mut blobs = host.blobs.clone();
        blobs.insert(name(blob), before.get(&name(blob)).unwrap().clone());
        for key in [KEY, NEXT] {
            assert!(open_with(key, &blobs).is_err(), "{blob}");
        }
    }
    let mut blobs = before.clone();
    blobs.insert(name("root"), host.blobs.get(&name("root")).unwrap().clone());
    assert!(open_with(NEXT, &blobs).is_err());
}

/// Somebody has the use of the former key of the key service, hence the former data key, and owns the host.
#[test]
fn t42_who_has_the_former_data_key_reads_and_makes_nothing_of_the_time_after_the_rotation() {
    let mut host = Host::filled();
    let (former, _) = open(&host.blobs).unwrap();
    host.rotate(NEXT);
    host.write(SETTINGS, b"settings, later");
    for blob in ["head", &*SETTINGS.name()] {
        let sealed = host.blobs.get(&name(blob)).unwrap();
        assert!(former.open_one(&name(blob), sealed).is_err(), "{blob} is sealed under the former data key");
    }
    let forged = |place: Place, record: &[u8]| {
        let header = Header::new(&place, 2, [6; 32]);
        blob::seal(former.keys.newest(), &INSTANCE, &header, record).unwrap()
    };
    // A blob of the time before: it opens, but the head's sum is under a key of the time after.
    let mut blobs = host.blobs.clone();
    blobs.insert(key_of(1).name(), forged(Place::Blob(key_of(1)), b"forged"));
    assert_eq!(open_with(NEXT, &blobs).map(|_| ()), Err(StateError::Stale));
    // A head of the time before, over the new root and nothing else, whether it says so or not.
    let root = Root::read(&host.blobs).unwrap().unwrap();
    for (said, refusal) in [(2, StateError::Stale), (999, StateError::Corrupt { name: name("head") })] {
        let head = Head::new(said, 0, SetHash::EMPTY, &root).encode();
        let blobs = Blobs::from([
            (name("root"), host.blobs.get(&name("root")).unwrap().clone()),
            (name("head"), forged(Place::Head, &head)),
        ]);
        assert_eq!(open_with(NEXT, &blobs).map(|_| ()), Err(refusal));
    }
}
