//! One connection to one co-signer, and how much it is trusted.
//!
//! A [`Session`] stands for an attested enclave. A [`Trusted`] one was found to be exactly what the operator pinned: it
//! alone can send a change, so that nothing secret goes anywhere else (threats T50 and T51).

use crate::admin_channel::{Connection, unexpected};
use crate::attested::{AnchorKind, Demand};
use crate::commands::App;
use crate::expectation::Difference;
use crate::failure::Failure;
use crate::measurements::Measurements;
use crate::operator_key::OperatorKey;
use crate::pin::{Pin, PinnedPairing};
use crate::text_forms::printable;
use countersign_channel::reported_measurements;
use countersign_wire::admin::{AdminRequest, AdminResponse, Done};
use countersign_wire::command::{Change, Command, OperatorSignature, SignedCommand};
use countersign_wire::ids::{ApiUserId, PairingId};
use countersign_wire::signed::sign_bytes;
use countersign_wire::status::{CallbackStatus, Description, Events, Keys, PairingStatus, Status, Users};
use countersign_wire::{Bytes, List, Message};
use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

/// What to do about a difference between co-signer and pin.
const NOT_THE_PINNED_ONE: &str = "nothing secret was sent. Somebody claimed, changed or exchanged this co-signer, or \
    --cosigner and --socket name two different ones. If an operator of yours made the change, get that operator's pin file";

/// How measurements are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Require {
    /// From the pin or the flag; under a development root without either, whatever they are.
    Measurements,
    /// Whatever they are: to look at them.
    Nothing,
}

/// An attested enclave.
pub struct Session<'a> {
    app: &'a App,
    connection: Connection,
    /// What it says about itself.
    pub description: Description,
    /// What is pinned about it; absent before the claim and on workstations that do not know it.
    pub pin: Option<Pin>,
    /// What is not as pinned.
    pub differences: Vec<Difference>,
    /// Its measurements, as its document proves.
    pub measurements: Measurements,
    /// Whether they were compared with expected ones.
    pub measurements_compared: bool,
    /// Under which root.
    pub anchor: AnchorKind,
    /// Its document.
    pub document: Vec<u8>,
}

/// A co-signer that is exactly what the operator pinned.
pub struct Trusted<'a> {
    session: Session<'a>,
    pin: Pin,
}

impl<'a> Session<'a> {
    /// Connects, verifies the attestation and compares with `pin`, without refusing differences.
    pub async fn open(app: &'a App, mut pin: Option<Pin>, require: Require) -> Result<Self, Failure> {
        let socket = app.socket()?;
        let anchor = app.trust_anchor()?;
        let kind = AnchorKind::of(&anchor);
        check_anchor(kind, pin.as_ref())?;
        let mut expected: Vec<Measurements> = Vec::new();
        if let Some(file) = &app.settings.measurements {
            expected.push(Measurements::read(file)?);
        }
        if require == Require::Measurements {
            expected.extend(pin.iter().map(|p| p.measurements.clone()));
        }
        if expected.is_empty() && require == Require::Measurements && kind == AnchorKind::Aws {
            return Err(Failure::usage(
                "the measurements that the enclave must have are not known",
                "give --measurements FILE, as the release or your own build of the image states them",
            ));
        }
        let demand = Demand::new(&anchor, expected);
        let deadline = app.settings.response_timeout;
        let mut connection = Connection::open(socket, &anchor, &demand, deadline).await?;
        let description = describe(&mut connection).await?;
        let differences = pin.as_ref().map_or_else(Vec::new, |p| p.expectation().differences(&description));
        if let Some(pin) = pin.as_mut().filter(|_| differences.is_empty()) {
            if pin.settle_sealing_key(&description.sealing_key) {
                app.pins()?.store(&app.settings.cosigner, pin)?;
            }
            if let Some(next) = &pin.next_sealing_key {
                app.console.warn(
                    "rotation_unanswered",
                    format!(
                        "a rotation of the sealing key to {} was sent and its answer not seen; it is {} still. Repeat \
                         `cosigner rotate-sealing-key`, with the key that you want",
                        printable(next),
                        printable(&pin.sealing_key)
                    ),
                );
            }
        }
        let measurements = proved_measurements(&connection)?;
        let session = Self {
            app,
            connection,
            description,
            pin,
            differences,
            measurements,
            measurements_compared: demand.compares_measurements(),
            anchor: kind,
            document: demand.document_bytes(),
        };
        session.tell_trust();
        Ok(session)
    }

    /// For looking at a co-signer: where it is pinned it must be the pinned one, where it is not, a warning says so.
    pub async fn open_to_read(app: &'a App) -> Result<Self, Failure> {
        let session = Self::open(app, app.claimed_pin()?, Require::Measurements).await?;
        session.refuse_differences()?;
        if session.pin.is_none() {
            app.console.warn("not_pinned", session.not_pinned());
        }
        Ok(session)
    }

    /// Why there is nothing to compare with.
    pub fn not_pinned(&self) -> String {
        let name = &self.app.settings.cosigner;
        format!("no co-signer is pinned here under the name {name:?}: this may be any enclave of this image")
    }

    /// The failure for the first use of a co-signer that is not the pinned one.
    pub fn refuse_differences(&self) -> Result<(), Failure> {
        if self.differences.is_empty() {
            return Ok(());
        }
        let all: Vec<String> = self.differences.iter().map(ToString::to_string).collect();
        Err(Failure::untrusted(
            format!("this is not the co-signer that was pinned: {}", all.join("; ")),
            NOT_THE_PINNED_ONE,
        ))
    }

    /// The whole status. What it says about pairings of the pinned co-signer is pinned, too.
    pub async fn status(&mut self) -> Result<Status, Failure> {
        let AdminResponse::Status(status) = self.connection.ask(&AdminRequest::Status).await? else {
            return Err(unexpected("a status"));
        };
        self.learn_pairings(&status)?;
        Ok(*status)
    }

    /// The API users.
    pub async fn users(&mut self) -> Result<Users, Failure> {
        match self.connection.ask(&AdminRequest::Users).await? {
            AdminResponse::Users(users) => Ok(users),
            _ => Err(unexpected("API users")),
        }
    }

    /// The keys.
    pub async fn keys(&mut self) -> Result<Keys, Failure> {
        match self.connection.ask(&AdminRequest::Keys).await? {
            AdminResponse::Keys(keys) => Ok(keys),
            _ => Err(unexpected("keys")),
        }
    }

    /// Everything about how an API user's requests are approved.
    pub async fn callback(&mut self, pairing: PairingId, user: &ApiUserId) -> Result<CallbackStatus, Failure> {
        match self.connection.ask(&AdminRequest::Callback { pairing, user: user.clone() }).await? {
            AdminResponse::Callback(callback) if callback.user.user == *user && callback.user.pairing == pairing => {
                Ok(*callback)
            }
            _ => Err(unexpected("how this API user's requests are approved")),
        }
    }

    /// The co-signer's own log after the line `after`; 0 for all that it keeps.
    pub async fn events(&mut self, after: u64) -> Result<Events, Failure> {
        match self.connection.ask(&AdminRequest::Events { after }).await? {
            AdminResponse::Events(events) => Ok(events),
            _ => Err(unexpected("the log")),
        }
    }

    /// Anything else that is asked.
    pub async fn ask(&mut self, request: &AdminRequest) -> Result<AdminResponse, Failure> {
        self.connection.ask(request).await
    }

    /// Claims a fresh enclave. The claim holds nothing secret.
    pub async fn claim(&mut self, keys: &[OperatorKey], change: Change) -> Result<Done, Failure> {
        self.send(keys, change).await
    }

    /// Asks for the description again and compares it with `pin`.
    pub async fn compare_with(&mut self, pin: &Pin) -> Result<(), Failure> {
        self.description = describe(&mut self.connection).await?;
        self.differences = pin.expectation().differences(&self.description);
        self.refuse_differences()
    }

    async fn send(&mut self, keys: &[OperatorKey], change: Change) -> Result<Done, Failure> {
        let command = Command {
            instance: self.description.instance,
            settings_epoch: self.description.settings_epoch,
            nonce: self.description.nonce,
            change,
        };
        let body = Zeroizing::new(command.encode());
        drop(command);
        if body.len() > Command::MAX_BYTES {
            return Err(Failure::usage(
                format!("the command has {} bytes, at most {} fit", body.len(), Command::MAX_BYTES),
                "give fewer initiators at once, and add the others with `cosigner initiator add`",
            ));
        }
        let sign = |key: &OperatorKey| OperatorSignature {
            operator: key.id(),
            signature: sign_bytes(Command::NAME, &body, key.identity()),
        };
        let signatures = List::new(keys.iter().map(sign).collect());
        let signatures = signatures.map_err(|e| Failure::usage(format!("operator keys: {e}"), "sign with fewer"))?;
        let bytes =
            Bytes::new(body.as_slice()).map_err(|e| Failure::usage(format!("command: {e}"), "give less at once"))?;
        let request = AdminRequest::Command(SignedCommand { command: bytes, signatures });
        let answer = self.connection.ask(&request).await;
        if let AdminRequest::Command(signed) = request {
            signed.command.into_vec().zeroize();
        }
        match answer? {
            AdminResponse::Done(done) => Ok(done),
            _ => Err(unexpected("a confirmation")),
        }
    }

    /// A response to `add-user` may be lost; the pinned co-signer's own status brings the pairing back.
    fn learn_pairings(&mut self, status: &Status) -> Result<(), Failure> {
        let Some(pin) = self.pin.as_mut().filter(|_| self.differences.is_empty()) else {
            return Ok(());
        };
        let before = pin.clone();
        for pairing in &status.pairings {
            pin.add_pairing(pinned(pairing)).map_err(|difference| {
                Failure::untrusted(format!("this is not what was pinned: {difference}"), NOT_THE_PINNED_ONE)
            })?;
        }
        pin.settings_epoch = pin.settings_epoch.max(self.description.settings_epoch);
        if *pin != before {
            self.app.pins()?.store(&self.app.settings.cosigner, pin)?;
        }
        Ok(())
    }

    fn tell_trust(&self) {
        self.app.console.set_trust(json!({
            "anchor": self.anchor,
            "instance": self.description.instance.to_string(),
            "boot": self.description.boot.to_string(),
            "measurements_compared": self.measurements_compared,
            "pinned": self.pin.is_some(),
            "differences": self.differences.iter().map(|d| json!({
                "what": d.what, "expected": d.expected, "got": d.got,
            })).collect::<Vec<_>>(),
        }));
    }
}

impl<'a> Trusted<'a> {
    /// Connects to the co-signer that is pinned under `--cosigner` and to no other.
    pub async fn open(app: &'a App) -> Result<Self, Failure> {
        let Some(pin) = app.claimed_pin()? else {
            return Err(Failure::untrusted(
                format!("no co-signer is pinned here under the name {:?}", app.settings.cosigner),
                "claim it with `cosigner init`, name another with --cosigner, get the pin file of the operator who claimed \
                 it, or pin it anew with `cosigner adopt`",
            ));
        };
        let session = Session::open(app, Some(pin.clone()), Require::Measurements).await?;
        session.refuse_differences()?;
        let pin = session.pin.clone().unwrap_or(pin);
        Ok(Self { session, pin })
    }

    /// For reading.
    pub fn session(&mut self) -> &mut Session<'a> {
        &mut self.session
    }

    /// Sends a change, signed by `keys`, after comparing once more with the pin.
    pub async fn change(&mut self, keys: &[OperatorKey], change: Change) -> Result<Done, Failure> {
        self.sign_and_send(keys, change, None).await
    }

    /// As [`Self::change`], for what an operator decided on seeing the settings of epoch `seen`. Where somebody changed them
    /// since, the co-signer refuses: nobody's change is undone unseen.
    pub async fn change_as_seen(&mut self, keys: &[OperatorKey], change: Change, seen: u64) -> Result<Done, Failure> {
        self.sign_and_send(keys, change, Some(seen)).await
    }

    async fn sign_and_send(
        &mut self,
        keys: &[OperatorKey],
        change: Change,
        seen: Option<u64>,
    ) -> Result<Done, Failure> {
        self.check_signers(keys)?;
        if let Some(learnt) = &self.session.pin {
            self.pin = learnt.clone();
        }
        let pin = self.pin.clone();
        self.session.compare_with(&pin).await?;
        if let Some(seen) = seen {
            self.session.description.settings_epoch = seen;
        }
        let next_epoch = self.session.description.settings_epoch.saturating_add(1);
        let done = self.session.send(keys, change).await?;
        self.pin.settings_epoch = next_epoch;
        self.store()?;
        Ok(done)
    }

    /// Pins the sealing key that the co-signer may have after the next command, beside the present one. Returns what was
    /// pinned so before: the answer to an earlier command may have been lost.
    pub fn expect_sealing_key(&mut self, next: &str) -> Result<Option<String>, Failure> {
        let earlier = self.pin.next_sealing_key.take();
        self.pin.next_sealing_key = (next != self.pin.sealing_key).then(|| next.to_owned());
        self.store().map(|()| earlier)
    }

    /// Takes that back: the co-signer refused.
    pub fn unexpect_sealing_key(&mut self, earlier: Option<String>) -> Result<(), Failure> {
        self.pin.next_sealing_key = earlier;
        self.store()
    }

    /// Pins the sealing key that the co-signer has, and no other.
    pub fn settle_sealing_key(&mut self, key: &str) -> Result<(), Failure> {
        self.pin.settle_sealing_key(key);
        self.store()
    }

    /// Pins a pairing that the co-signer confirmed.
    pub fn remember(&mut self, pairing: PinnedPairing) -> Result<(), Failure> {
        self.pin.add_pairing(pairing).map_err(|difference| {
            Failure::untrusted(format!("this is not what was pinned: {difference}"), NOT_THE_PINNED_ONE)
        })?;
        self.store()
    }

    /// Forgets a pairing that the co-signer removed on this operator's own command.
    pub fn forget(&mut self, pairing: PairingId) -> Result<(), Failure> {
        self.pin.pairings.retain(|p| p.pairing != pairing);
        self.store()
    }

    fn store(&mut self) -> Result<(), Failure> {
        self.session.pin = Some(self.pin.clone());
        self.session.app.pins()?.store(&self.session.app.settings.cosigner, &self.pin)
    }

    fn check_signers(&self, keys: &[OperatorKey]) -> Result<(), Failure> {
        for key in keys {
            if !self.pin.operators.iter().any(|o| o.key == key.id()) {
                let known: Vec<String> = self.pin.operators.iter().map(|o| format!("{:?} {}", o.name, o.key)).collect();
                return Err(Failure::operator_key(
                    format!("{} is no operator of this co-signer; they are {}", key.id(), known.join(", ")),
                    "name the right key file with --operator-key",
                ));
            }
        }
        if keys.len() < usize::from(self.pin.required) {
            return Err(Failure::usage(
                format!("{} operators must sign, {} key was given", self.pin.required, keys.len()),
                "give --operator-key once for each operator who signs",
            ));
        }
        Ok(())
    }
}

/// What is pinned about a pairing.
pub fn pinned(status: &PairingStatus) -> PinnedPairing {
    PinnedPairing {
        pairing: status.pairing,
        workspace: status.workspace,
        workspace_key: status.fingerprint,
        party: status.party,
        role: status.role.into(),
    }
}

fn check_anchor(kind: AnchorKind, pin: Option<&Pin>) -> Result<(), Failure> {
    match (pin.map(|p| p.anchor), kind) {
        (Some(AnchorKind::Aws), AnchorKind::Development) => Err(Failure::untrusted(
            "this co-signer was claimed under the AWS root, and --development-root would believe any other enclave",
            "leave --development-root (and COUNTERSIGN_DEVELOPMENT_ROOT) away",
        )),
        (Some(AnchorKind::Development), AnchorKind::Aws) => {
            Err(Failure::usage("this co-signer was claimed under a development root", "give --development-root FILE"))
        }
        _ => Ok(()),
    }
}

fn proved_measurements(connection: &Connection) -> Result<Measurements, Failure> {
    let reported = reported_measurements(&connection.proved().document);
    let reported =
        reported.map_err(|e| Failure::untrusted(format!("attestation refused: {e}"), "do not use this enclave"))?;
    Ok(Measurements::from(&reported))
}

/// The description, after comparing it with what the document proves.
async fn describe(connection: &mut Connection) -> Result<Description, Failure> {
    let AdminResponse::Described(description) = connection.ask(&AdminRequest::Describe).await? else {
        return Err(unexpected("a description"));
    };
    let proved = connection.proved();
    let said = &description.measurements;
    let own = proved_measurements(connection)?;
    let fits = description.instance == proved.instance
        && description.boot == proved.boot
        && (said.pcr0, said.pcr1, said.pcr2) == (own.pcr0, own.pcr1, own.pcr2);
    if !fits {
        return Err(Failure::untrusted(
            "the enclave says other things about itself than its attestation document proves",
            "do not use this enclave",
        ));
    }
    Ok(description)
}
