//! A pairing whose last answer is lost: the workspace took the token, the co-signer does not know. It resumes under the
//! same identity, with the same token or with a new one, whatever stood in the answer's place.

use super::CUSTOMER;
use cosigner_core::{ExchangeFailure, ExchangeOutcome, ExchangeSpec, HttpAnswer, Purpose};
use countersign_tests::simulator::{Base, Faults, Keys, SECOND_WORKSPACE, World, add_user};
use countersign_token::unverified_payload;
use countersign_wire::Text;
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::command::{AddUser, ApprovalSetting, Change, Measurements, Network};
use countersign_wire::dial::Address;
use countersign_wire::ids::PartyId;
use countersign_wire::pairing_http::{CHALLENGE_PATH, PAIR_PATH, PairRequest};
use countersign_wire::refusal::Code;
use countersign_wire::{Bytes, List};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What stands in the place of an answer.
#[derive(Debug, Clone)]
enum Instead {
    Failure(ExchangeFailure),
    Answer(u16, &'static str),
}

impl Instead {
    fn outcome(&self) -> ExchangeOutcome {
        match self {
            Self::Failure(failure) => Err(failure.clone()),
            Self::Answer(status, body) => Ok(HttpAnswer { status: *status, body: body.as_bytes().to_vec() }),
        }
    }
}

/// Whatever may come when a workspace is killed, or something between cuts or answers by itself.
fn cuts() -> Vec<Instead> {
    vec![
        Instead::Failure(ExchangeFailure::Http("the stream ended before the answer".into())),
        Instead::Failure(ExchangeFailure::Connect("reset".into())),
        Instead::Failure(ExchangeFailure::Tls("no close notify".into())),
        Instead::Failure(ExchangeFailure::Timeout(15_000)),
        Instead::Failure(ExchangeFailure::TooLarge(1)),
        Instead::Answer(502, "<html>bad gateway</html>"),
        Instead::Answer(502, r#"{"message": "a proxy's", "code": 502, "reason": "conflict"}"#),
        Instead::Answer(409, "<html>conflict</html>"),
        Instead::Answer(403, r#"{"message": "the challenge is used", "code": 403, "reason": "attestation_refused"}"#),
        Instead::Answer(200, "{"),
        Instead::Answer(200, r#"{"deviceId": "d", "refreshToken": "", "status": "COMPLETED"}"#),
    ]
}

/// What a workspace holds durably about tokens and users, as the real one does.
#[derive(Default)]
struct Books {
    users: BTreeMap<String, String>,
    tokens: BTreeMap<String, String>,
    /// Stands in the place of the next answers to a pairing call, after it took effect.
    cut: Option<Instead>,
    /// Stands in the place of the next answers to a challenge call.
    no_challenge: Option<Instead>,
}

fn error(status: u16, code: Code) -> ExchangeOutcome {
    let body = format!(r#"{{"message": "no", "code": {status}, "reason": "{}"}}"#, code.as_str());
    Ok(HttpAnswer { status, body: body.into_bytes() })
}

impl Books {
    fn answer(&mut self, keys: &Keys, spec: &ExchangeSpec) -> Option<ExchangeOutcome> {
        if spec.purpose != Purpose::Pairing {
            return None;
        }
        match spec.path.as_str() {
            CHALLENGE_PATH => self.no_challenge.as_ref().map(Instead::outcome),
            PAIR_PATH => {
                let body = spec.body.clone().bytes().unwrap();
                let request: PairRequest = serde_json::from_slice(&body).unwrap();
                let claims: serde_json::Value =
                    serde_json::from_slice(&unverified_payload(&request.token).unwrap()).unwrap();
                let text = |name: &str| claims[name].as_str().unwrap().to_owned();
                if self.users.get(&text("sub")).is_some_and(|party| *party != request.party) {
                    return Some(error(409, Code::Conflict));
                }
                if self.tokens.get(&text("jti")).is_some_and(|party| *party != request.party) {
                    return Some(error(409, Code::TokenUsed));
                }
                self.users.insert(text("sub"), request.party.clone());
                self.tokens.insert(text("jti"), request.party);
                let answer = keys.endpoint(PAIR_PATH, &body);
                Some(self.cut.as_ref().map_or(Ok(answer), Instead::outcome))
            }
            _ => None,
        }
    }
}

/// A co-signer and a second workspace that keeps books.
struct Scene {
    world: World,
    keys: Arc<Keys>,
    books: Arc<Mutex<Books>>,
}

impl Scene {
    fn new() -> Self {
        let mut world = Base::connected(1, Faults::none()).hostile();
        let keys = Arc::new(Keys::new(SECOND_WORKSPACE));
        let books = Arc::new(Mutex::new(Books::default()));
        world.workspace.keys = Arc::clone(&keys);
        let (its_keys, its_books) = (Arc::clone(&keys), Arc::clone(&books));
        world.on_exchange = Some(Box::new(move |_, spec| its_books.lock().unwrap().answer(&its_keys, spec)));
        Self { world, keys, books }
    }

    fn command(&self, user: &str, jti: &str) -> AddUser {
        let mut add = add_user(&self.world, CUSTOMER, user, jti);
        add.token = Text::new(self.keys.pairing_token(user, jti, self.world.now)).unwrap();
        add.workspace = self.keys.fingerprint();
        add
    }

    fn add(&mut self, add: &AddUser) -> AdminResponse {
        self.world.operator(CUSTOMER, Change::AddUser(Box::new(add.clone())))
    }

    fn cut(&self, cut: Option<Instead>) {
        self.books.lock().unwrap().cut = cut;
    }

    /// Whom the workspace knows as the co-signer of this user.
    fn party_of(&self, user: &str) -> String {
        self.books.lock().unwrap().users[user].clone()
    }
}

fn added(answer: &AdminResponse) -> PartyId {
    match answer {
        AdminResponse::Done(Done::UserAdded { party, .. }) => *party,
        other => panic!("not added: {other:?}"),
    }
}

fn refused(answer: &AdminResponse) -> (Code, String) {
    match answer {
        AdminResponse::Refused(refusal) => (refusal.code, refusal.detail.to_string()),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_pairing_whose_answer_was_lost_resumes_under_the_same_identity() {
    for cut in cuts() {
        for new_token in [false, true] {
            let mut scene = Scene::new();
            let first = scene.command("signer-9", "jti-1");
            scene.cut(Some(cut.clone()));
            let (_, detail) = refused(&scene.add(&first));
            assert!(detail.contains("repeat this with the same token, or with a new one"), "{cut:?}: {detail}");
            // More attempts fail, also before the token is given again, and the enclave boots in between.
            assert!(matches!(scene.add(&first), AdminResponse::Refused(_)), "{cut:?}");
            scene.cut(None);
            scene.books.lock().unwrap().no_challenge = Some(Instead::Answer(404, "{}"));
            assert_eq!(refused(&scene.add(&first)).0, Code::HttpStatus, "{cut:?}");
            scene.books.lock().unwrap().no_challenge = None;
            scene.world.crash(CUSTOMER);
            assert!(scene.world.run(60_000, |w| w.cosigners[CUSTOMER].link_open));

            let again = if new_token { scene.command("signer-9", "jti-2") } else { first };
            let party = added(&scene.add(&again));
            assert_eq!(party.to_string(), scene.party_of("signer-9"), "{cut:?}");
        }
    }
}

#[test]
fn a_lost_answer_does_not_burn_the_next_api_user_either() {
    let mut scene = Scene::new();
    scene.cut(Some(cuts()[0].clone()));
    refused(&scene.add(&scene.command("signer-8", "jti-1")));
    scene.cut(None);
    let second = added(&scene.add(&scene.command("signer-9", "jti-2")));
    let first = added(&scene.add(&scene.command("signer-8", "jti-1")));
    assert_eq!(first, second, "one pairing");
    assert_eq!(first.to_string(), scene.party_of("signer-8"));
}

#[test]
fn what_the_workspace_itself_refused_leaves_nothing_behind() {
    let mut scene = Scene::new();
    let stranger = PartyId([0x33; 32]).to_string();
    scene.books.lock().unwrap().users.insert("signer-9".into(), stranger.clone());
    let command = scene.command("signer-9", "jti-1");
    let stored = scene.world.cosigners[CUSTOMER].disk.blobs.len();
    let (code, detail) = refused(&scene.add(&command));
    assert_eq!(code, Code::Conflict);
    assert!(!detail.contains("repeat this"), "{detail}");
    scene.world.run(1_000, |_| false);
    assert_eq!(scene.world.cosigners[CUSTOMER].disk.blobs.len(), stored, "the pairing is gone");
}

#[test]
fn a_repeated_command_for_a_user_that_is_added_says_so() {
    let mut scene = Scene::new();
    let command = scene.command("signer-9", "jti-1");
    let first = scene.add(&command);
    let party = added(&first);
    // Only the answer to the operator was lost, and nothing of the command is to be done any more: not even later.
    scene.world.run(2 * 3_600_000, |_| false);
    let epoch = |scene: &mut Scene| match scene.world.ask_admin(CUSTOMER, &AdminRequest::Status) {
        AdminResponse::Status(status) => status.description.settings_epoch,
        other => panic!("{other:?}"),
    };
    let before = epoch(&mut scene);
    assert_eq!(scene.add(&command), first);
    assert_eq!(epoch(&mut scene), before + 1, "a command that was taken counts, or the operator's pin runs ahead");
    assert_eq!(party.to_string(), scene.party_of("signer-9"));
    // Other settings, or a token that was not the one: nothing is done, and that is said.
    let other = AddUser { approval: ApprovalSetting::Auto, ..command };
    for command in [other, scene.command("signer-9", "jti-2")] {
        let (code, detail) = refused(&scene.add(&command));
        assert_eq!(code, Code::Conflict);
        assert!(detail.contains("added to this co-signer already") && detail.contains("get-status"), "{detail}");
    }
}

#[test]
fn a_second_api_user_cannot_silently_ask_for_other_settings_of_the_pairing() {
    let mut scene = Scene::new();
    added(&scene.add(&scene.command("signer-8", "jti-1")));
    let command = scene.command("signer-9", "jti-2");
    let measurements = Measurements { pcr0: [1; 48], pcr1: [2; 48], pcr2: [9; 48], pcr8: None };
    let network = Network { address: Address::V4([10, 0, 0, 0]), prefix: 8 };
    let others = [
        (AddUser { peer_measurements: List::new(vec![measurements]).unwrap(), ..command.clone() }, "peer measurements"),
        (AddUser { workspace_root: Some(Bytes::new(vec![1]).unwrap()), ..command.clone() }, "root certificate"),
        (AddUser { workspace_networks: List::new(vec![network]).unwrap(), ..command.clone() }, "networks"),
        (AddUser { require_intent: false, ..command.clone() }, "require-intent"),
    ];
    for (other, what) in others {
        let (code, detail) = refused(&scene.add(&other));
        assert_eq!(code, Code::Conflict, "{what}");
        assert!(detail.contains(what) && detail.contains("give the same"), "{what}: {detail}");
    }
    added(&scene.add(&command));
}

#[test]
fn two_workspaces_under_one_id_are_two_pairings_and_neither_blocks_the_other() {
    let mut scene = Scene::new();
    let impostor = Arc::new(Keys {
        message: countersign_wire::SigningIdentity::from_secret(&[99; 32]),
        ..Keys::new(SECOND_WORKSPACE)
    });
    let genuine = Arc::clone(&scene.keys);
    assert_eq!(impostor.id, genuine.id);
    assert_ne!(impostor.fingerprint(), genuine.fingerprint());
    let mut parties = Vec::new();
    for (keys, jti) in [(impostor, "jti-1"), (genuine, "jti-2")] {
        scene.world.workspace.keys = Arc::clone(&keys);
        scene.keys = Arc::clone(&keys);
        // Each keeps its own books.
        let books = Arc::new(Mutex::new(Books::default()));
        scene.world.on_exchange = Some(Box::new(move |_, spec| books.lock().unwrap().answer(&keys, spec)));
        parties.push(added(&scene.add(&scene.command("signer-9", jti))));
        scene.world.run(3_600_000, |_| false);
    }
    assert_ne!(parties[0], parties[1]);
}

#[test]
fn a_fingerprint_covers_the_workspace_id() {
    let keys = Keys::new(SECOND_WORKSPACE);
    let named = keys.fingerprint();
    let other = Keys { id: countersign_wire::ids::WorkspaceId([9; 16]), ..keys };
    assert_ne!(other.fingerprint(), named);
}
