//! What the quickstart does, in order.

use crate::screen::{Screen, Step};
use alloy_primitives::{Address, address};
use anyhow::{Context, Result, ensure};
use countersign_stack::ethereum;
use countersign_stack::group::{PRIMES, Progress};
use countersign_stack::handler::Handler;
use countersign_stack::keys::Algorithm;
use countersign_stack::member::{Member, Role};
use countersign_stack::workspace::{ApiUser, VaultAccount};
use countersign_stack::{Approval, Ask, Client, Pairing, Stack};
use std::fs;
use std::time::{Duration, Instant};

/// How long the group may take until it is ready: safe primes are found by chance.
const GROUP_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// How long a transaction may take.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(120);
/// The note that the handler rejects.
const REJECTED_NOTE: &str = "reject-me";
/// Whom the transaction pays.
const RECEIVER: Address = address!("0x000000000000000000000000000000000000dEaD");

/// What is shown at the end.
pub struct Shown {
    /// The Ethereum address.
    pub address: String,
    /// The signed transaction as it would be sent.
    pub raw_transaction: String,
    /// The API user that asked.
    pub user: ApiUser,
}

/// The API users of the quickstart.
struct Users {
    /// Asks for signatures; its co-signer asks the handler.
    treasury: ApiUser,
    /// Paired with the same co-signer, without a handler.
    unattended: ApiUser,
}

/// Everything after the start.
pub async fn run(screen: &mut Screen, stack: &mut Stack, starting: Step) -> Result<Shown> {
    let handler = stack.start_handler("handler", Algorithm::Es256, &[]).await?;
    screen.done(starting, &format!("{} processes; each co-signer is an enclave and its host", stack.running().len()));
    claim(screen, stack).await?;
    let (users, cosigners) = pair(screen, stack, &handler).await?;
    let group = propose(screen, stack, &cosigners).await?;
    prepare(screen, stack, &group).await?;
    let client = stack.workspace()?.client(&users.treasury)?;
    let vault = make_address(screen, stack, &users).await?;
    sign_message(screen, stack, &client, vault).await?;
    let raw = sign_transaction(screen, stack, &client, vault).await?;
    reject(screen, stack, &client, vault).await?;
    refuse(screen, stack, &client, &users).await?;
    let raw_transaction = format!("0x{}", hex::encode(raw));
    Ok(Shown { address: vault.address.to_string(), raw_transaction, user: users.treasury })
}

async fn claim(screen: &mut Screen, stack: &Stack) -> Result<()> {
    let step = screen.begin("Claiming the co-signers: each belongs to its operator from now on");
    stack.claim_all().await?;
    screen.done(step, "attestation verified, instances pinned");
    Ok(())
}

async fn pair(screen: &mut Screen, stack: &Stack, handler: &Handler) -> Result<(Users, Vec<String>)> {
    screen.warn("  RAW is allowed for the API user `treasury`: it can have any hash signed, nobody sees what it does.");
    let mut step = screen.begin("Pairing them with the workspace");
    let workspace = stack.workspace()?;
    let treasury = workspace.create_user("treasury", "SIGNER", true).await?;
    let unattended = workspace.create_user("unattended", "SIGNER", false).await?;
    let customer = stack.customer()?;
    let approved = Pairing { approval: Approval::Handler(handler), allow_raw: true, require_intent: true };
    let unapproved = Pairing { approval: Approval::Nobody, allow_raw: false, require_intent: true };
    step.say("customer: API user treasury, approved by the callback handler");
    let (id, _) = stack.pair(workspace, &treasury, customer, &[&treasury], approved).await?;
    let mut cosigners = vec![id];
    step.say("customer: API user unattended, without a handler");
    stack.pair(workspace, &unattended, customer, &[], unapproved).await?;
    for member in stack.members.iter().filter(|m| m.role == Role::Cloud) {
        step.say(&format!("{}: takes part under the customer's Authorisation alone", member.name));
        let user = workspace.create_user(&member.name, "CLOUD_COSIGNER", false).await?;
        let (id, _) = stack.pair(workspace, &user, member, &[&treasury], unapproved).await?;
        cosigners.push(id);
    }
    screen.done(step, "operators' fingerprints compared, pairings approved by the owner");
    Ok((Users { treasury, unattended }, cosigners))
}

async fn propose(screen: &mut Screen, stack: &Stack, cosigners: &[String]) -> Result<String> {
    let threshold = u16::try_from(cosigners.len()).context("too many co-signers")?;
    let step = screen.begin(&format!("Forming a signing group, {threshold} of {threshold}"));
    let members: Vec<&Member> = stack.members.iter().collect();
    let group = stack.form_group(stack.workspace()?, cosigners, &members, threshold).await?;
    screen.done(step, "each operator accepted exactly this group");
    Ok(group)
}

async fn prepare(screen: &mut Screen, stack: &Stack, group: &str) -> Result<()> {
    let mut step = screen.begin("Preparing the group: safe primes of each co-signer, auxiliary information among them");
    let members: Vec<&Member> = stack.members.iter().collect();
    for member in &members {
        screen.add_part(&mut step, &member.name, PRIMES);
    }
    let started = Instant::now();
    let mut primes_after: Option<Duration> = None;
    let tell = |all: &[Progress]| {
        for one in all {
            match in_words(one) {
                Doing::Measured(text) => step.part(&one.member, one.primes, &text),
                Doing::Unmeasured(text) => step.part_waits(&one.member, text),
            }
        }
        if all.iter().all(|one| one.primes == PRIMES) {
            primes_after.get_or_insert_with(|| started.elapsed());
        }
    };
    stack.group_ready(stack.workspace()?, group, &members, GROUP_TIMEOUT, tell).await?;
    let whole = started.elapsed();
    let primes = primes_after.unwrap_or(whole);
    let aux = whole.saturating_sub(primes);
    let result = format!(
        "primes {:.1} s, auxiliary information {:.1} s; they serve every key of this group",
        primes.as_secs_f64(),
        aux.as_secs_f64()
    );
    screen.done(step, &result);
    Ok(())
}

/// What goes on at a co-signer.
enum Doing {
    /// So many of so many.
    Measured(String),
    /// It takes what it takes.
    Unmeasured(&'static str),
}

fn in_words(progress: &Progress) -> Doing {
    match progress.state.as_str() {
        "finding_primes" => Doing::Measured(format!("{} of {PRIMES} safe primes of 1536 bits", progress.primes)),
        "awaiting_aux" => {
            Doing::Unmeasured("auxiliary information: making its proofs, checking those of the others, round by round")
        }
        "aux_pending" => Doing::Unmeasured("auxiliary information is held: waiting until all others hold it, too"),
        other => Doing::Measured(other.to_owned()),
    }
}

/// Vault account 0 with asset ETH; the certificate is verified by the operator's command.
async fn make_address(screen: &mut Screen, stack: &Stack, users: &Users) -> Result<VaultAccount> {
    let mut step = screen.begin("Making vault account 0 with asset ETH: key generation among the three");
    let workspace = stack.workspace()?;
    let vault = workspace.vault_account("quickstart", &users.treasury).await?;
    ensure!(vault.id == 0, "expected vault account 0, got {}", vault.id);
    step.say("verifying the key certificate");
    let certificate = workspace.admin.get("/v1/vault/accounts/0/ETH/key_certificate").await?;
    let file = workspace.folder.join("key-certificate.json");
    fs::write(&file, certificate.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    let file = file.display().to_string();
    let text = vault.address.to_string();
    let arguments = ["key", "verify", "--certificate", &file, "--address", &text, "--vault", "0", "--asset", "ETH"];
    let arguments = arguments.into_iter().chain(["--signer", &users.treasury.id]);
    let verified = stack.customer()?.operator.run(arguments).await?;
    ensure!(verified["address"] == text.as_str(), "the certificate is for {verified}");
    screen.done(step, "the customer's co-signer certified the address, and that treasury's handler approves for it");
    screen.value("address", &text);
    Ok(vault)
}

async fn sign_message(screen: &mut Screen, stack: &Stack, client: &Client, vault: VaultAccount) -> Result<()> {
    const MESSAGE: &[u8] = b"Countersign: three co-signers, one signature";
    let step = screen.begin("Signing an EIP-191 message: a client asks, the handler approves, three sign");
    let ask = Ask::message(vault.id, MESSAGE).note("hello");
    let ended = stack.workspace()?.transact(client, &ask, TRANSACTION_TIMEOUT).await?;
    let signatures = ask.verify(&ended, vault.address)?;
    let signature = signatures.first().context("no signature")?;
    screen.done(step, "verified by libsecp256k1 and alloy");
    screen.value("message", &String::from_utf8_lossy(MESSAGE));
    screen.value("signature", &format!("0x{}{:02x}", hex::encode(signature.rs), u16::from(signature.v) + 27));
    Ok(())
}

async fn sign_transaction(screen: &mut Screen, stack: &Stack, client: &Client, vault: VaultAccount) -> Result<Vec<u8>> {
    let unsigned = ethereum::transfer(RECEIVER, 1_000_000_000_000_000, 0);
    let digest = ethereum::signing_hash(&unsigned);
    let step = screen.begin("Signing the hash of an Ethereum transaction (EIP-1559, Sepolia) as RAW");
    let ask = Ask::raw(vault.id, &[digest]).note("pay");
    let ended = stack.workspace()?.transact(client, &ask, TRANSACTION_TIMEOUT).await?;
    let signatures = ask.verify(&ended, vault.address)?;
    let raw = ethereum::sign(unsigned, signatures.first().context("no signature")?, vault.address)?;
    screen.done(step, "verified by libsecp256k1 and alloy, which recovers the sender");
    screen.warn("    RAW: the co-signers saw a hash, not a transaction. Use it only where nothing else fits.");
    screen.value("hash", &format!("0x{}", hex::encode(digest)));
    screen.value("raw", &format!("0x{}", hex::encode(&raw)));
    Ok(raw)
}

async fn reject(screen: &mut Screen, stack: &Stack, client: &Client, vault: VaultAccount) -> Result<()> {
    let step = screen.begin(&format!("Asking with the note `{REJECTED_NOTE}`: the handler rejects it"));
    let ask = Ask::message(vault.id, b"please").note(REJECTED_NOTE);
    let ended = stack.workspace()?.transact(client, &ask, TRANSACTION_TIMEOUT).await?;
    let reason = ask.verify_refused(&ended, "rejected")?;
    ensure!(reason.contains(REJECTED_NOTE), "expected the handler's own reason, got {reason}");
    screen.done(step, "rejected");
    screen.value("reason", &reason);
    Ok(())
}

async fn refuse(screen: &mut Screen, stack: &Stack, client: &Client, users: &Users) -> Result<()> {
    let mut step = screen.begin("Asking for an API user that was paired without a handler: its co-signer refuses");
    let workspace = stack.workspace()?;
    let vault = workspace.vault_account("unattended", &users.unattended).await?;
    step.say("asking");
    let ask = Ask::message(vault.id, b"anybody there?");
    let ended = workspace.transact(client, &ask, TRANSACTION_TIMEOUT).await?;
    let reason = ask.verify_refused(&ended, "no_handler")?;
    screen.done(step, "refused");
    screen.value("reason", &reason);
    Ok(())
}
