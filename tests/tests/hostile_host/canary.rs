//! Secrets that are known to the test are nowhere in what cores give to their hosts in the clear.

use super::{ALL, CUSTOMER, submit};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cosigner_core::Effect;
use cosigner_workspace::ceremony::Input as Notice;
use countersign_mpc::Plan;
use countersign_tests::simulator::{Base, Faults, GROUP, World, add_user, eip191, purpose, unwrapped};
use countersign_wire::admin::{AdminResponse, Done};
use countersign_wire::command::Change;
use countersign_wire::ids::KeyId;
use countersign_wire::key::Operation;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Bytes of a secret that are looked for.
const WINDOW: usize = 16;

/// What the host of any co-signer sees: everything but what goes through TLS that ends inside, and jobs.
fn host_bound(effect: &Effect) -> Vec<Vec<u8>> {
    match effect {
        Effect::LinkSend { frame, .. } => vec![frame.clone()],
        Effect::LinkOpen { url, .. } => vec![url.as_bytes().to_vec()],
        Effect::Admin { packet, .. } => vec![packet.clone()],
        Effect::Report { counters, .. } => vec![format!("{counters:?}").into_bytes()],
        Effect::Persist { writes, .. } => writes
            .iter()
            .flat_map(|w| [w.name.as_bytes().to_vec(), w.value.as_ref().map(|v| v.to_vec()).unwrap_or_default()])
            .collect(),
        Effect::UnwrapSealingKey { wrapped, .. } => vec![wrapped.clone()],
        _ => Vec::new(),
    }
}

#[derive(Default)]
struct Seen {
    host: Vec<Vec<u8>>,
    /// Shares and auxiliary information as jobs got them, and root keys.
    secrets: Vec<(String, Vec<u8>)>,
}

fn watch(world: &mut World) -> Rc<RefCell<Seen>> {
    let seen: Rc<RefCell<Seen>> = Rc::default();
    let inner = Rc::clone(&seen);
    world.on_effect = Some(Box::new(move |i, effect| {
        let mut seen = inner.borrow_mut();
        seen.host.extend(host_bound(effect));
        match effect {
            Effect::UnwrapSealingKey { instance, wrapped, .. } => {
                seen.secrets.push((format!("root key {i}"), unwrapped(instance, wrapped.clone()).key.to_vec()))
            }
            Effect::StartJob { spec: cosigner_core::JobSpec::Mpc(plan), .. } => {
                if let Plan::Sign { share, aux, .. } = &**plan {
                    // The encodings as a whole: any longer part of them in the clear is one too many.
                    let end = |bytes: &[u8]| bytes[bytes.len() - WINDOW..].to_vec();
                    seen.secrets.push((format!("end of share {i}"), end(share.expose())));
                    seen.secrets.push((format!("end of auxiliary information {i}"), end(aux.expose())));
                }
            }
            _ => {}
        }
    }));
    seen
}

fn found(host: &[Vec<u8>], secrets: &[(String, Vec<u8>)]) -> BTreeSet<String> {
    let mut forms: Vec<(&str, Vec<u8>)> = Vec::new();
    for (name, secret) in secrets {
        assert!(secret.len() >= WINDOW, "{name} is too short to be looked for");
        for form in [
            secret.clone(),
            hex::encode(secret).into_bytes(),
            STANDARD.encode(secret).into_bytes(),
            URL_SAFE_NO_PAD.encode(secret).into_bytes(),
            format!("{secret:?}").into_bytes(),
        ] {
            forms.push((name, form[..WINDOW].to_vec()));
            forms.push((name, form[form.len() - WINDOW - form.len() % 2..][..WINDOW].to_vec()));
        }
    }
    let wanted: BTreeSet<&[u8]> = forms.iter().map(|(_, form)| form.as_slice()).collect();
    let mut hits: BTreeSet<Vec<u8>> = BTreeSet::new();
    for bytes in host {
        hits.extend(bytes.windows(WINDOW).filter(|w| wanted.contains(w)).map(<[u8]>::to_vec));
    }
    forms.iter().filter(|(_, form)| hits.contains(form)).map(|(name, _)| (*name).to_owned()).collect()
}

#[test]
fn t48_no_secret_reaches_a_host_in_the_clear() {
    let mut world = Base::world(1, Faults::none());
    let seen = watch(&mut world);
    assert!(world.run(60_000, |w| w.cosigners.iter().all(|c| c.link_open)));
    assert!(submit(&mut world, 1, "hello", 60_000));
    world.submit(world.request(2, "no", "reject-me"), eip191("no"), Operation::TypedMessage);
    let user = world.base.signer_user.clone();
    let key = KeyId([10; 16]);
    world.notify(Notice::GenerateKey { key, group: GROUP, purpose: purpose(&user) });
    assert!(world.run(120_000, |w| w.key_is_ready(&key)));
    let add = add_user(&world, CUSTOMER, "signer-2", "canary-of-a-pairing-token");
    let token = add.token.as_bytes().to_vec();
    let answer = world.operator(CUSTOMER, Change::AddUser(Box::new(add.clone())));
    assert!(matches!(answer, AdminResponse::Done(Done::UserAdded { .. })));
    // Refusals say why, and do not repeat what was refused.
    let other = countersign_wire::command::AddUser { allow_raw: !add.allow_raw, ..add };
    assert!(matches!(world.operator(CUSTOMER, Change::AddUser(Box::new(other))), AdminResponse::Refused(_)));
    for i in ALL {
        world.crash_keeping(i, usize::MAX);
    }
    assert!(world.run(60_000, |w| w.cosigners.iter().all(|c| c.link_open)));
    assert!(submit(&mut world, 3, "hello again", 60_000));

    let seen = seen.borrow();
    let mut secrets = seen.secrets.clone();
    assert!(secrets.iter().filter(|(name, _)| name.starts_with("root key")).count() >= 6);
    assert!(secrets.iter().filter(|(name, _)| name.starts_with("end of share")).count() >= 6);
    for (n, share) in world.scheme.memory.lock().unwrap().shares.iter().enumerate() {
        secrets.push((format!("share {n}"), share.clone()));
    }
    let key = &world.base.callback_key;
    // PKCS#8 of a P-256 key: the private scalar stands at a fixed place (RFC 5208, RFC 5915).
    secrets.push(("callback key".into(), key[36..68].to_vec()));
    secrets.push(("pairing token".into(), token));
    secrets.push(("the token's jti".into(), b"canary-of-a-pairing-token".to_vec()));
    for i in ALL {
        secrets.push((format!("refresh token {i}"), format!("refresh-{}", world.party(i)).into_bytes()));
        let primes = cosigner_dev::test_primes(i).unwrap();
        secrets.push((format!("primes {i}"), primes.expose()[100..132].to_vec()));
    }
    assert!(secrets.len() > 25, "{}", secrets.len());
    assert_eq!(found(&seen.host, &secrets), BTreeSet::new());
    // It would be found: what is meant for everybody is.
    let shown = [
        ("party".to_owned(), world.group().parties[0].id.0.to_vec()),
        ("public key".to_owned(), world.vault_key()[..32].to_vec()),
    ];
    assert_eq!(found(&seen.host, &shown).len(), 2);
}
