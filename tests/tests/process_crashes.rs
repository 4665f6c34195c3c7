//! `kill -9` at random moments of key generation and signing: nothing is lost, nothing is stuck, nothing is done twice. Real
//! processes, real signatures.
//!
//! A round kills all processes at once; every other one kills a single process before that, too. `COUNTERSIGN_ROUNDS` says
//! how many rounds. One is determined by `COUNTERSIGN_SEED` and its number (the moments, as far as the machine lets it):
//! `COUNTERSIGN_FIRST_ROUND` goes on where an earlier run stopped. A stack takes some 120 rounds: its limit is 64 API users a
//! pairing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use alloy_primitives::Address;
use countersign_stack::asking::outcome;
use countersign_stack::process::kill_pid;
use countersign_stack::wait::{Seen, until};
use countersign_stack::workspace::ApiUser;
use countersign_stack::{ApiError, Approval, Ask, Pairing, Setup, System};
use countersign_tests::bench::{Bench, number, rounds};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Until when something that a crash interrupted has to be over. Generous: deadlines of sessions and a busy machine.
const DEADLINE: Duration = Duration::from_secs(300);
/// An API user has a key for each of these: their coin types differ.
const ASSETS: [&str; 2] = ["ETH", "ETH_TEST5"];
/// Beyond the usual time of what is interrupted: so much of it, in percent, may have passed when the crash comes.
const WINDOW_PERCENT: u64 = 120;
/// Signatures asked for at one time.
const AT_ONCE: usize = 4;
/// Keys that sign after each crash, in turns: all of them do at the end.
const CHECKED_AFTER_A_CRASH: usize = 2;
/// Statuses of a transaction after which nothing follows.
const FINAL: [&str; 6] = ["COMPLETED", "REJECTED", "CANCELLED", "FAILED", "BLOCKED", "TIMEOUT"];
/// One in so many crashes, at least, has to meet work that has begun and not ended.
const INTERRUPTED_ONE_IN: u64 = 10;
/// Of so many interrupted transactions some are completed afterwards.
const SEVERAL: u64 = 3;
/// Most transactions that the workspace lists at once.
const PAGE: usize = 500;
const TRANSACTIONS: &str = "/v1/transactions";

/// An asset of a vault account that has a key of its own.
#[derive(Clone)]
struct Key {
    vault: u32,
    asset: &'static str,
    id: String,
    address: Address,
}

impl Key {
    fn ask(&self, text: &str) -> Ask {
        let mut ask = Ask::message(self.vault, text.as_bytes());
        ask.body["assetId"] = self.asset.into();
        ask
    }
}

/// What goes on when the crash comes.
struct Interrupted {
    /// Vault account and asset whose key is being generated.
    keygen: Option<(u32, &'static str)>,
    /// What is being signed, with which key.
    signing: Option<(Ask, Key)>,
}

/// What a crash met.
#[derive(Default)]
struct Met {
    /// The transaction's status, where the workspace knew it.
    transaction: Option<String>,
    /// The new key's status, where the workspace knew it.
    key: Option<String>,
}

impl Met {
    fn transaction_under_way(&self) -> bool {
        self.transaction.as_ref().is_some_and(|status| !FINAL.contains(&status.as_str()))
    }

    fn key_under_way(&self) -> bool {
        self.key.as_deref() == Some("PENDING")
    }
}

struct Crashes {
    system: System,
    bench: Bench,
    keys: Vec<Key>,
    /// The vault account that has no key for the second asset yet.
    half_used: Option<u32>,
    /// The key whose turn it is to sign after a crash.
    next_checked: usize,
    /// Every transaction that has ended, as it was when it ended.
    ended: BTreeMap<String, Value>,
    statuses: BTreeMap<String, u64>,
    /// How often the crashes met what.
    met: BTreeMap<String, u64>,
    /// Crashes that met something under way.
    interrupting: u64,
    /// How the transactions ended that a crash met under way.
    interrupted: BTreeMap<String, u64>,
    usual_keygen: Duration,
    usual_signing: Duration,
}

fn below(rng: &mut ChaCha20Rng, limit: u64) -> u64 {
    rng.next_u64() % limit.max(1)
}

impl Crashes {
    async fn start() -> Self {
        let bench = Bench::new("process-crashes");
        let system = System::start(&bench.stack(), &Setup::default()).await.unwrap();
        bench.say("ready");
        let mut this = Self {
            system,
            bench,
            keys: Vec::new(),
            half_used: None,
            next_checked: 0,
            ended: BTreeMap::new(),
            statuses: BTreeMap::new(),
            met: BTreeMap::new(),
            interrupting: 0,
            interrupted: BTreeMap::new(),
            usual_keygen: Duration::ZERO,
            usual_signing: Duration::ZERO,
        };
        let started = Instant::now();
        let (vault, asset) = this.keyless().await;
        this.key_ready(vault, asset).await;
        this.usual_keygen = started.elapsed();
        let started = Instant::now();
        this.all_sign("undisturbed").await;
        this.usual_signing = started.elapsed();
        this.bench.say(&format!(
            "undisturbed: {} ms for a key, {} ms for a signature",
            this.usual_keygen.as_millis(),
            this.usual_signing.as_millis()
        ));
        this
    }

    /// A vault account and an asset without a key.
    async fn keyless(&mut self) -> (u32, &'static str) {
        if let Some(vault) = self.half_used.take() {
            return (vault, ASSETS[1]);
        }
        let (stack, handler) = (&self.system.stack, &self.system.handler);
        let workspace = stack.workspace().unwrap();
        let signer: ApiUser = workspace.create_user("signer", "SIGNER", false).await.unwrap();
        let pairing = Pairing { approval: Approval::Handler(handler), allow_raw: true, require_intent: true };
        stack.pair(workspace, &signer, stack.customer().unwrap(), &[], pairing).await.unwrap();
        let body = json!({"name": "vault", "signerId": signer.id});
        let made = workspace.admin.post("/v1/vault/accounts", &body).await.unwrap();
        let vault = made["id"].as_str().unwrap().parse().unwrap();
        self.half_used = Some(vault);
        (vault, ASSETS[0])
    }

    /// Asks for the address, again and again where that is the advice, until its key is READY.
    async fn key_ready(&mut self, vault: u32, asset: &'static str) {
        let admin = &self.system.stack.workspace().unwrap().admin;
        let path = format!("/v1/vault/accounts/{vault}/{asset}");
        let made = until(format!("the key of {path}"), DEADLINE, || async {
            match admin.post(&path, &json!({})).await {
                Ok(made) => Ok(Seen::Done(made)),
                Err(e @ ApiError::Transport { .. }) => Ok(Seen::NotYet(e.to_string())),
                Err(e) if e.status() == Some(503) => Ok(Seen::NotYet(e.to_string())),
                Err(e) => Err(e.into()),
            }
        });
        let made = made.await.unwrap();
        let text = |member: &str| made[member].as_str().unwrap().to_owned();
        let key = Key { vault, asset, id: text("keyId"), address: text("address").parse().unwrap() };
        assert!(self.keys.iter().all(|k| k.id != key.id && k.address != key.address), "two vaults share {}", key.id);
        self.keys.push(key);
    }

    /// A client that got no answer looks for its transaction, and asks again if there is none.
    async fn transaction_ended(&mut self, ask: &Ask, key: &Key) -> Value {
        let client = &self.system.client;
        let external = ask.body["externalTxId"].as_str().unwrap();
        let path = format!("{TRANSACTIONS}/external_tx_id/{external}");
        let found = until(format!("the transaction {external}"), DEADLINE, || async {
            match client.get(&path).await {
                Ok(found) => Ok(Seen::Done(found["id"].as_str().unwrap().to_owned())),
                Err(e) if e.status() == Some(404) => {
                    client.post(TRANSACTIONS, &ask.body).await?;
                    Ok(Seen::NotYet("asked again".into()))
                }
                Err(e) => Err(e.into()),
            }
        });
        let id = found.await.unwrap();
        let ended = self.system.stack.workspace().unwrap().ended(client, &id, DEADLINE).await.unwrap();
        if ended["status"] == "COMPLETED" {
            assert_eq!(ask.verify(&ended, key.address).unwrap().len(), 1);
        } else {
            assert_eq!(ended["signedMessages"], json!([]), "{ended}");
        }
        *self.statuses.entry(ended["status"].as_str().unwrap().to_owned()).or_default() += 1;
        assert!(self.ended.insert(id, ended.clone()).is_none());
        ended
    }

    /// The keys sign, undisturbed.
    async fn sign(&mut self, keys: &[Key], text: &str) {
        let asks: Vec<Ask> = keys.iter().map(|key| key.ask(text)).collect();
        for ask in &asks {
            self.system.client.post(TRANSACTIONS, &ask.body).await.unwrap();
        }
        for (ask, key) in asks.iter().zip(keys) {
            let ended = self.transaction_ended(ask, key).await;
            assert_eq!(ended["status"], "COMPLETED", "key {}: {}", key.id, outcome(&ended));
        }
    }

    /// Every key signs. Not all at one time: a session has a deadline, and this machine does the work of all parties.
    async fn all_sign(&mut self, text: &str) {
        for keys in self.keys.clone().chunks(AT_ONCE) {
            self.sign(keys, text).await;
        }
    }

    /// The keys whose turn it is sign.
    async fn some_sign(&mut self, text: &str) {
        let first = self.next_checked % self.keys.len();
        let keys: Vec<Key> = self.keys.iter().cycle().skip(first).take(CHECKED_AFTER_A_CRASH).cloned().collect();
        self.next_checked = first + keys.len();
        self.sign(&keys, text).await;
    }

    /// Kills them with no time between them.
    async fn kill(&mut self, victims: &[String]) {
        let stack = &mut self.system.stack;
        stack.running().iter().filter(|p| victims.contains(&p.name)).for_each(|p| kill_pid(p.pid));
        for name in victims {
            stack.processes.kill(name).await.unwrap();
        }
    }

    /// Starts whatever does not run, as a supervisor would.
    async fn restart(&mut self) {
        let stack = &mut self.system.stack;
        for name in stack.processes.names() {
            // An enclave may end by itself when its host is gone.
            stack.processes.get(&name).unwrap().ended().unwrap();
        }
        stack.start_all().await.unwrap();
    }

    async fn round(&mut self, seed: u64, round: u64) {
        let started = Instant::now();
        let mut rng = ChaCha20Rng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(round));
        let kind = below(&mut rng, 3);
        let chosen = below(&mut rng, self.keys.len() as u64) as usize;
        let interrupted = Interrupted {
            keygen: if kind == 1 { None } else { Some(self.keyless().await) },
            signing: (kind != 0).then(|| {
                let key = self.keys[chosen].clone();
                (key.ask(&format!("round {round}")), key)
            }),
        };
        let all = self.system.stack.processes.names();
        let single = all[below(&mut rng, all.len() as u64) as usize].clone();
        // Where both go on, either may be the one to meet: a key takes a fraction of a signature's time.
        let usual = match (kind, below(&mut rng, 2)) {
            (0, _) | (2, 0) => self.usual_keygen,
            _ => self.usual_signing,
        };
        let window_ms = u64::try_from(usual.as_millis()).unwrap() * WINDOW_PERCENT / 100;
        let moment = Duration::from_millis(below(&mut rng, window_ms));

        let mut asking = Vec::new();
        if let Some((vault, asset)) = interrupted.keygen {
            let admin = self.system.stack.workspace().unwrap().admin.clone();
            let path = format!("/v1/vault/accounts/{vault}/{asset}");
            asking.push(tokio::spawn(async move { admin.post(&path, &json!({})).await }));
        }
        if let Some((ask, _)) = &interrupted.signing {
            let (client, body) = (self.system.client.clone(), ask.body.clone());
            asking.push(tokio::spawn(async move { client.post(TRANSACTIONS, &body).await }));
        }
        let half = below(&mut rng, moment.as_millis() as u64 + 1);
        if round % 2 == 1 {
            tokio::time::sleep(Duration::from_millis(half)).await;
            self.kill(std::slice::from_ref(&single)).await;
            self.restart().await;
        }
        tokio::time::sleep(moment).await;
        let met = self.where_it_stands(&interrupted).await;
        self.kill(&all).await;
        let before = self.tally(&interrupted, &met);
        asking.iter().for_each(tokio::task::JoinHandle::abort);
        self.restart().await;

        let mut after = Vec::new();
        if let Some((ask, key)) = &interrupted.signing {
            let ended = self.transaction_ended(ask, key).await;
            after.push(format!("transaction {} {}", ended["id"], ended["status"]));
            if met.transaction_under_way() {
                *self.interrupted.entry(ended["status"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        if let Some((vault, asset)) = interrupted.keygen {
            self.key_ready(vault, asset).await;
            let key = self.keys.last().unwrap().clone();
            let started = Instant::now();
            self.sign(std::slice::from_ref(&key), "after the crash").await;
            // The machine may be busier, or less busy, than at the start.
            self.usual_signing = started.elapsed();
            after.push(format!("key {} signs", key.id));
        }
        self.some_sign("a key after a crash").await;
        self.nothing_changed().await;
        let who = if round % 2 == 1 { format!("{single}, then all") } else { "all".into() };
        let (moment, took) = (moment.as_millis(), started.elapsed().as_secs_f64());
        self.bench.say(&format!(
            "round {round}: {who} killed after {moment} ms ({before}); {}; {took:.1} s",
            after.join("; ")
        ));
    }

    /// What the crash meets, the moment before it.
    async fn where_it_stands(&self, interrupted: &Interrupted) -> Met {
        let workspace = self.system.stack.workspace().unwrap();
        let mut met = Met::default();
        let status = |found: &Value| found["status"].as_str().map(str::to_owned);
        if let Some((ask, _)) = &interrupted.signing {
            let path = format!("{TRANSACTIONS}/external_tx_id/{}", ask.body["externalTxId"].as_str().unwrap());
            met.transaction = self.system.client.get(&path).await.ok().as_ref().and_then(status);
        }
        if interrupted.keygen.is_some() {
            let keys = workspace.admin.get("/v1/keys").await.unwrap_or_default();
            let keys = keys["keys"].as_array().cloned().unwrap_or_default();
            let known: BTreeSet<&str> = self.keys.iter().map(|k| k.id.as_str()).collect();
            met.key = keys.iter().find(|k| !known.contains(k["keyId"].as_str().unwrap_or_default())).and_then(status);
        }
        met
    }

    /// Counts what a crash met, and says it.
    fn tally(&mut self, interrupted: &Interrupted, met: &Met) -> String {
        let mut said = Vec::new();
        let name = |status: &Option<String>| status.clone().unwrap_or("unknown".into());
        said.extend(interrupted.signing.is_some().then(|| format!("transaction {}", name(&met.transaction))));
        said.extend(interrupted.keygen.is_some().then(|| format!("key {}", name(&met.key))));
        for what in &said {
            *self.met.entry(what.clone()).or_default() += 1;
        }
        self.interrupting += u64::from(met.transaction_under_way() || met.key_under_way());
        said.join(", ")
    }

    /// Otherwise the crashes came too early or too late, and nothing was shown.
    fn something_was_interrupted(&self, rounds: u64) {
        let least = (rounds / INTERRUPTED_ONE_IN).max(1);
        assert!(self.interrupting >= least, "{} of {rounds} met something: {:?}", self.interrupting, self.met);
        let transactions: u64 = self.interrupted.values().sum();
        let completed = self.interrupted.contains_key("COMPLETED");
        assert!(
            transactions < SEVERAL || completed,
            "no interrupted transaction was completed: {:?}",
            self.interrupted
        );
    }

    /// Every transaction that the workspace lists, newest first, page by page.
    async fn listed(&self) -> BTreeMap<String, Value> {
        let mut seen = BTreeMap::new();
        let mut before = i64::MAX;
        loop {
            let path = format!("{TRANSACTIONS}?limit={PAGE}&before={before}");
            let page = self.system.client.get(&path).await.unwrap();
            let page = page.as_array().unwrap();
            let known = seen.len();
            for transaction in page {
                seen.insert(transaction["id"].as_str().unwrap().to_owned(), transaction.clone());
            }
            if page.len() < PAGE || seen.len() == known {
                return seen;
            }
            // One later: another transaction may have begun in the same millisecond.
            before = page.last().unwrap()["createdAt"].as_i64().unwrap() + 1;
        }
    }

    /// Every transaction that ended is what it was, and there is no other one.
    async fn nothing_changed(&self) {
        let seen = self.listed().await;
        assert_eq!(seen.keys().collect::<Vec<_>>(), self.ended.keys().collect::<Vec<_>>());
        for (id, ended) in &self.ended {
            let (now, then) = (&seen[id], ended);
            for member in ["status", "signedMessages", "rejection", "externalTxId", "keyId"] {
                assert_eq!(now[member], then[member], "{member} of transaction {id}");
            }
        }
    }

    /// Every key that was ever asked for is READY at the workspace and at each co-signer, and is the same key everywhere.
    async fn no_key_is_stuck(&self) {
        let wanted: BTreeSet<&str> = self.keys.iter().map(|k| k.id.as_str()).collect();
        let admin = &self.system.stack.workspace().unwrap().admin;
        let form = |keys: &Value, id: &str, public: &str| -> BTreeMap<String, (String, String)> {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            keys.as_array().unwrap().iter().map(|k| (text(&k[id]), (text(&k["status"]), text(&k[public])))).collect()
        };
        let here = form(&admin.get("/v1/keys").await.unwrap()["keys"], "keyId", "publicKey");
        assert_eq!(here.keys().map(String::as_str).collect::<BTreeSet<_>>(), wanted);
        assert!(here.values().all(|(status, public)| status == "READY" && public.len() == 66), "{here:?}");
        for member in &self.system.stack.members {
            let keys = member.operator.run(["list-keys"]).await.unwrap();
            assert_eq!(form(&keys["keys"], "key", "public_key"), here, "{}", member.name);
        }
    }
}

mod e2e {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn process_crashes_lose_no_key_and_leave_each_transaction_one_outcome() {
        let seed = number("COUNTERSIGN_SEED").unwrap_or(1);
        let first = number("COUNTERSIGN_FIRST_ROUND").unwrap_or(0);
        let count = rounds(10, 100);
        let mut crashes = Crashes::start().await;
        crashes.bench.say(&format!("seed {seed}, rounds {first} to {}", first + count - 1));
        for round in first..first + count {
            crashes.round(seed, round).await;
        }
        crashes.all_sign("at the end").await;
        crashes.nothing_changed().await;
        crashes.no_key_is_stuck().await;
        let Crashes { bench, keys, ended, statuses, met, interrupted, .. } = &crashes;
        bench.say(&format!("{count} crashes; {} keys READY; {} transactions: {statuses:?}", keys.len(), ended.len()));
        bench.say(&format!("met: {met:?}; transactions that were interrupted: {interrupted:?}"));
        crashes.something_was_interrupted(count);
        crashes.system.stack.stop().await.unwrap();
    }
}
