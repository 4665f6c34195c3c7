//! `cosigner callback`: how an API user's requests are approved. Every change carries the whole setting and is signed by
//! operators; what the workspace would have is shown and nothing more (threat T57).

mod fields;
mod forms;
mod rotate;
mod set;
mod show;
pub(super) mod steps;
pub(super) mod test;

use super::{App, weakening};
use crate::admin_channel::unexpected;
use crate::choice::choose_user;
use crate::console::Report;
use crate::failure::Failure;
use crate::operator_key::OperatorKey;
use crate::session::Trusted;
use crate::{pem, prompt, public_key};
use countersign_wire::admin::Done;
use countersign_wire::command::{ApprovalSetting, Change, Handler, HandlerTls};
use countersign_wire::group::Role;
use countersign_wire::ids::{ApiUserId, ChangeId, PairingId};
use countersign_wire::status::CallbackStatus;
use fields::{differences, show_differences};
use serde_json::json;

pub(super) use show::tone as attempt_tone;

/// How an API user's requests are approved.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Show how an API user's requests are approved, and what its handler did lately
    Show(Target),
    /// Set how an API user's requests are approved: all of it, whatever it was
    Set(set::SetArgs),
    /// Change what the flags say about a handler, and leave the rest as it is
    Update(set::UpdateArgs),
    /// Call the handler with a probe, whose answer approves nothing, and show each step
    Test(Target),
    /// Change the handler's key: the new one beside the present one, then --finish
    RotateKey(rotate::KeyArgs),
    /// Change the pinned certificate: the new pin beside the present one, then --finish
    RotatePin(rotate::PinArgs),
}

impl Command {
    /// Its name, as the JSON object says.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Show(_) => "callback show",
            Self::Set(_) => "callback set",
            Self::Update(_) => "callback update",
            Self::Test(_) => "callback test",
            Self::RotateKey(_) => "callback rotate-key",
            Self::RotatePin(_) => "callback rotate-pin",
        }
    }
}

/// Whose handler.
#[derive(clap::Args)]
pub struct Target {
    /// The API user's id
    #[arg(value_name = "USER")]
    user: ApiUserId,
    /// Of which pairing; not needed where one only has this API user
    #[arg(long, value_name = "ID")]
    pairing: Option<PairingId>,
}

/// Carries a command out.
pub async fn run(app: &App, command: Command) -> Result<Report, Failure> {
    match command {
        Command::Show(target) => show::run(app, &target).await,
        Command::Set(args) => set::set(app, &args).await,
        Command::Update(args) => set::update(app, &args).await,
        Command::Test(target) => test::run(app, &target).await,
        Command::RotateKey(args) => rotate::key(app, &args).await,
        Command::RotatePin(args) => rotate::pin(app, &args).await,
    }
}

/// How it is, as the pinned co-signer said in a settings epoch.
struct Present {
    callback: CallbackStatus,
    role: Role,
    requires_intent: bool,
    epoch: u64,
}

impl Present {
    async fn read(cosigner: &mut Trusted<'_>, target: &Target) -> Result<Self, Failure> {
        // Named before anything is read: what changes meanwhile makes the command one for an epoch that is over.
        let epoch = cosigner.session().description.settings_epoch;
        let status = cosigner.session().status().await?;
        let users = cosigner.session().users().await?;
        let pairing = choose_user(&users, &target.user, target.pairing)?.pairing;
        let callback = cosigner.session().callback(pairing, &target.user).await?;
        let of = status.pairings.iter().find(|p| p.pairing == pairing);
        let of = of.ok_or_else(|| unexpected("the pairing of this API user"))?;
        Ok(Self { callback, role: of.role, requires_intent: of.require_intent, epoch })
    }

    /// Shows what changes, asks, and has exactly `after` signed.
    async fn put(
        &self,
        app: &App,
        cosigner: &mut Trusted<'_>,
        keys: &[OperatorKey],
        after: ApprovalSetting,
        confirmation: Confirmation<'_>,
    ) -> Result<Report, Failure> {
        let user = &self.callback.user;
        if self.role == Role::Cloud && after != ApprovalSetting::None {
            return Err(Failure::usage(
                "a cloud co-signer has neither handler nor auto-approve",
                "run this at the customer's co-signer: this one takes part under its Authorisation alone",
            ));
        }
        let changes = differences(&self.callback.approval, &after);
        let mut result = json!({
            "user": user.user.as_str(),
            "pairing": user.pairing.to_string(),
            "changed": !changes.is_empty(),
            "before": forms::setting(&self.callback.approval),
            "after": forms::setting(&after),
            "differences": forms::differences(&changes),
            "request_key": public_key::json(&self.callback.request_key),
            "ended": 0,
        });
        if changes.is_empty() {
            return Ok(Report::new(
                format!("it is so already: nothing was changed for API user {}", user.user),
                result,
            ));
        }
        let shown = format!("how requests of API user {} are approved:\n", user.user);
        app.console.note(&format!("{shown}{}", show_differences(&changes, app.console.colour_stderr()).trim_end()));
        weakening::tell(&app.console, &after, self.requires_intent, self.role);
        if ends_what_waits(&self.callback.approval, &after) {
            app.console.note(&format!(
                "this ends the requests of this API user that wait for its handler ({} now) and its RETRY series ({} now): they have \
                 to be sent again",
                user.waiting, user.retrying
            ));
        }
        prompt::confirm(confirmation.given, "have requests approved in this way", confirmation.flags)?;
        if let Some((proposal, hash)) = confirmation.proposal {
            let now = cosigner.session().callback(user.pairing, &user.user).await?;
            set::proposed(&now, proposal, Some(hash))?;
        }
        let change = Change::SetApproval { pairing: user.pairing, user: user.user.clone(), approval: after.clone() };
        let Done::ApprovalSet { request_key, ended } = cosigner.change_as_seen(keys, change, self.epoch).await? else {
            return Err(unexpected("the confirmation of a setting"));
        };
        result["request_key"] = public_key::json(&request_key);
        result["ended"] = json!(ended);
        Ok(Report::new(self.told(&after, &request_key, ended), result))
    }

    fn told(&self, after: &ApprovalSetting, request_key: &[u8], ended: u32) -> String {
        let mut text = format!("set for API user {}", self.callback.user.user);
        if ended > 0 {
            text.push_str(&format!("\nended: {ended} requests that waited, RETRY series among them; send them again"));
        }
        let ApprovalSetting::Handler(handler) = after else { return text };
        if !handler.keys.is_empty() && request_key != &*self.callback.request_key {
            text.push_str(&format!(
                "\nrequests are signed with another key from now on: give the handler this one\n{}",
                pem::public_key(request_key).trim_end()
            ));
        }
        text.push_str(&format!("\nnext: `cosigner callback test {}`", self.callback.user.user));
        text
    }
}

/// Whether requests that wait for the handler, and RETRY series, end with a change. They go on where keys or pins are added
/// and nothing else is changed: what answered before may still answer.
fn ends_what_waits(before: &ApprovalSetting, after: &ApprovalSetting) -> bool {
    let ApprovalSetting::Handler(before) = before else { return false };
    let ApprovalSetting::Handler(after) = after else { return true };
    let keeps_keys = before.keys.iter().all(|key| after.keys.contains(key));
    let keeps_tls = match (&before.tls, &after.tls) {
        (HandlerTls::Pinned(before), HandlerTls::Pinned(after)) => before.iter().all(|pin| after.contains(pin)),
        (before, after) => before == after,
    };
    let same_rest = Handler { keys: before.keys.clone(), tls: before.tls.clone(), ..after.clone() } == *before;
    !(keeps_keys && keeps_tls && same_rest && before.keys.is_empty() == after.keys.is_empty())
}

/// How an operator confirms a change.
struct Confirmation<'a> {
    /// Whether a flag did.
    given: bool,
    /// The flags that do.
    flags: &'a str,
    /// The proposal that is accepted, and its hash: it must still be that once it is confirmed.
    proposal: Option<(ChangeId, [u8; 32])>,
}

impl Confirmation<'_> {
    /// By `--yes` or at the terminal.
    fn yes(given: bool) -> Self {
        Self { given, flags: "--yes", proposal: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::command::RetrySchedule;
    use countersign_wire::{Bytes, List, Text};

    fn handler(keys: &[u8], pins: &[u8]) -> Handler {
        let keys = keys.iter().map(|key| Bytes::new([*key; 4]).unwrap()).collect();
        Handler {
            url: Text::new("https://h.example").unwrap(),
            keys: List::new(keys).unwrap(),
            tls: HandlerTls::Pinned(List::new(pins.iter().map(|pin| [*pin; 32]).collect()).unwrap()),
            networks: List::default(),
            deadline_ms: 30_000,
            retry: RetrySchedule::default(),
            dated_requests: false,
            own_request_key: false,
        }
    }

    #[test]
    fn only_a_key_or_pin_that_is_added_lets_what_waits_go_on() {
        let ends = |before: &Handler, after: Handler| {
            ends_what_waits(&ApprovalSetting::Handler(before.clone()), &ApprovalSetting::Handler(after))
        };
        let before = handler(&[1], &[1]);
        for goes_on in [before.clone(), handler(&[1, 2], &[1]), handler(&[1], &[1, 2]), handler(&[1, 2], &[1, 2])] {
            assert!(!ends(&before, goes_on.clone()), "{goes_on:?}");
        }
        let two = handler(&[1, 2], &[1, 2]);
        for over in [handler(&[2], &[1, 2]), handler(&[1, 2], &[2]), handler(&[], &[1, 2])] {
            assert!(ends(&two, over.clone()), "{over:?}");
        }
        assert!(ends(&handler(&[], &[1]), before.clone()), "plain JSON before");
        assert!(ends(&before, Handler { tls: HandlerTls::PublicRoots, ..before.clone() }));
        assert!(ends(&before, Handler { deadline_ms: 20_000, ..before.clone() }));
        assert!(ends_what_waits(&ApprovalSetting::Handler(before.clone()), &ApprovalSetting::None));
        assert!(!ends_what_waits(&ApprovalSetting::Auto, &ApprovalSetting::Handler(before)), "nothing waits there");
    }
}
