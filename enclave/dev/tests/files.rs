//! Roots and wrapping keys in files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cosigner_dev::{CERTIFICATE_FILE, DevError, DevelopmentRoot, FileKeyProvider, KEY_FILE, WRAPPED_KEY_BYTES};
use countersign_attest::TrustAnchor;
use proptest::prelude::*;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const INSTANCE: [u8; 32] = [7; 32];

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_root_is_made_once_and_then_loaded() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(DevelopmentRoot::load(folder.path()), Err(DevError::File { .. })));
    let made = DevelopmentRoot::load_or_create(folder.path()).unwrap();
    let loaded = DevelopmentRoot::load_or_create(folder.path()).unwrap();
    assert_eq!(made.certificate_der(), loaded.certificate_der());
    assert_eq!(mode(&folder.path().join(KEY_FILE)), 0o600);
    assert_eq!(mode(&folder.path().join(CERTIFICATE_FILE)), 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
    let pem = std::fs::read(folder.path().join(CERTIFICATE_FILE)).unwrap();
    let anchor = TrustAnchor::development_pem(&pem).unwrap();
    assert!(anchor.is_development());
    assert_eq!(anchor, made.trust_anchor().unwrap());
    assert!(!String::from_utf8(pem).unwrap().contains("PRIVATE"));
}

#[test]
fn processes_that_start_at_once_get_one_root_and_one_wrapping_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let root = DevelopmentRoot::load_or_create(&path).unwrap();
                let keys = FileKeyProvider::load_or_create(&path.join("wrapping.key")).unwrap();
                (root.certificate_der().to_vec(), keys.key_id().to_owned())
            })
        })
        .collect();
    let got: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert!(got.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_root_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    DevelopmentRoot::load_or_create(folder.path()).unwrap();
    std::fs::set_permissions(folder.path().join(KEY_FILE), Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(DevelopmentRoot::load(folder.path()), Err(DevError::Permissions { mode: 0o640, .. })));
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    DevelopmentRoot::load_or_create(one.path()).unwrap();
    DevelopmentRoot::load_or_create(two.path()).unwrap();
    let path = one.path().join(KEY_FILE);
    let read = |folder: &Path| std::fs::read_to_string(folder.join(KEY_FILE)).unwrap();
    let certificate = std::fs::read_to_string(one.path().join(CERTIFICATE_FILE)).unwrap();
    let key = read(two.path()).split_once("-----END CERTIFICATE-----\n").unwrap().1.to_owned();
    std::fs::write(&path, format!("{certificate}{key}")).unwrap();
    assert!(matches!(DevelopmentRoot::load(one.path()), Err(DevError::Content { .. })));
    std::fs::write(&path, "hello").unwrap();
    assert!(matches!(DevelopmentRoot::load(one.path()), Err(DevError::Content { .. })));
}

#[test]
fn a_data_key_is_unwrapped_for_its_instance_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrapping.key");
    let keys = FileKeyProvider::load_or_create(&path).unwrap();
    let (plain, wrapped, key_id) = keys.generate(&INSTANCE).unwrap();
    assert_eq!(wrapped.len(), WRAPPED_KEY_BYTES);
    assert_eq!(key_id, keys.key_id());
    assert!(key_id.strip_prefix("file:").is_some_and(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    assert!(!wrapped.windows(32).any(|w| w == plain.as_slice()));
    let again = FileKeyProvider::load_or_create(&path).unwrap();
    assert_eq!(again.unwrap(&INSTANCE, &wrapped).unwrap(), plain);
    assert!(matches!(again.unwrap(&[8; 32], &wrapped), Err(DevError::WrappedKey { .. })));
    let other = FileKeyProvider::load_or_create(&folder.path().join("other.key")).unwrap();
    assert!(matches!(other.unwrap(&INSTANCE, &wrapped), Err(DevError::WrappedKey { .. })));
    assert_ne!(keys.generate(&INSTANCE).unwrap().0, plain);
}

#[test]
fn an_altered_data_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keys = FileKeyProvider::load_or_create(&folder.path().join("wrapping.key")).unwrap();
    let wrapped = keys.generate(&INSTANCE).unwrap().1;
    for position in 0..wrapped.len() {
        let mut altered = wrapped.clone();
        altered[position] ^= 1;
        assert!(keys.unwrap(&INSTANCE, &altered).is_err(), "byte {position}");
    }
    for len in 0..wrapped.len() {
        assert!(keys.unwrap(&INSTANCE, &wrapped[..len]).is_err(), "{len} bytes");
    }
    assert!(keys.unwrap(&INSTANCE, &[&wrapped[..], &[0]].concat()).is_err());
}

#[test]
fn a_wrapping_key_that_others_can_read_or_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrapping.key");
    FileKeyProvider::load_or_create(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    std::fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
    assert!(matches!(FileKeyProvider::load_or_create(&path), Err(DevError::Permissions { .. })));
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    for bad in ["", "0011", &"g".repeat(64), &"0".repeat(66)] {
        std::fs::write(&path, bad).unwrap();
        assert!(matches!(FileKeyProvider::load_or_create(&path), Err(DevError::Content { .. })), "{bad:?}");
    }
}

#[test]
fn debug_never_shows_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrapping.key");
    let keys = FileKeyProvider::load_or_create(&path).unwrap();
    let secret = std::fs::read_to_string(&path).unwrap();
    assert!(!format!("{keys:?}").contains(secret.trim()));
    let root = DevelopmentRoot::generate().unwrap();
    assert_eq!(format!("{root:?}"), "DevelopmentRoot(key <redacted>)");
}

#[test]
fn arbitrary_wrapped_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keys = FileKeyProvider::load_or_create(&folder.path().join("wrapping.key")).unwrap();
    proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..100))| {
        prop_assert!(keys.unwrap(&INSTANCE, &bytes).is_err());
    });
}
