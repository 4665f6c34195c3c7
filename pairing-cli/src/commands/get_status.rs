//! `cosigner get-status`. It also shows a co-signer that is not the pinned one any more, and then fails.

use super::doctor::size;
use super::{App, list_users, views};
use crate::attested::AnchorKind;
use crate::certificate::{Expiry, until};
use crate::console::{Report, Tone, paint};
use crate::failure::Failure;
use crate::session::{Require, Session};
use crate::table::{Field, Table, field, plain};
use crate::text_forms::{printable, role_name, short};
use crate::timestamps::{millis, now_ms, span, utc};
use countersign_wire::ceremony::GroupState;
use countersign_wire::status::{ApprovalKind, PairingStatus, Status, UserStatus};
use serde_json::json;

/// Clocks that are this far apart are worth a warning, in milliseconds.
const CLOCK_WARNING_MS: u64 = 30_000;

/// Shows.
pub async fn run(app: &App) -> Result<Report, Failure> {
    let mut session = Session::open(app, app.claimed_pin()?, Require::Measurements).await?;
    for difference in &session.differences {
        app.console.warn("not_as_pinned", difference.to_string());
    }
    if session.description.operators.is_empty() {
        return Ok(unclaimed(app, &session));
    }
    if session.pin.is_none() {
        app.console.warn("not_pinned", session.not_pinned());
    }
    let status = session.status().await?;
    let users = session.users().await?;
    let users: Vec<&UserStatus> = users.iter().collect();
    warn(app, &status, &users);
    let known = views::known_parties(app)?;
    let result = json!({
        "claimed": true,
        "description": views::description(&session.description),
        "now_ms": status.now_ms,
        "booted_at_ms": status.booted_at_ms,
        "signatures": status.signatures,
        "sessions": status.sessions,
        "unstored": status.unstored,
        "host": views::host(status.host.as_ref()),
        "pairings": status.pairings.iter().map(|p| views::pairing(p, &known)).collect::<Vec<_>>(),
        "users": users.iter().map(|u| views::user(u, &status)).collect::<Vec<_>>(),
    });
    let failure = session.refuse_differences().err();
    Ok(Report { text: text(app, &session, &status, &users), json: result, failure })
}

/// An enclave that nobody claimed has no more to say.
fn unclaimed(app: &App, session: &Session<'_>) -> Report {
    let result = json!({
        "claimed": false,
        "description": views::description(&session.description),
        "now_ms": null,
        "booted_at_ms": null,
        "signatures": null,
        "sessions": null,
        "unstored": null,
        "host": null,
        "pairings": [],
        "users": [],
    });
    Report { text: identity(app, session), json: result, failure: session.refuse_differences().err() }
}

fn warn(app: &App, status: &Status, users: &[&UserStatus]) {
    let apart = status.now_ms.abs_diff(now_ms());
    if apart > CLOCK_WARNING_MS {
        app.console.warn("clock", format!("the co-signer's clock and this machine's are {} apart", span(apart)));
    }
    for user in users {
        if let Some(expires) = user.certificate_expires_at_ms
            && Expiry::of(expires, status.now_ms) > Expiry::Far
        {
            let until = until(expires, status.now_ms);
            app.console.warn("certificate", format!("the certificate of {}'s handler is good {until}", user.user));
        }
        if user.approval == ApprovalKind::Auto && list_users::requires_intent(status, user) != Some(true) {
            let text =
                format!("the workspace alone decides what is signed for {} (auto-approve, no intent)", user.user);
            app.console.warn("workspace_decides_alone", text);
        }
    }
}

fn text(app: &App, session: &Session<'_>, status: &Status, users: &[&UserStatus]) -> String {
    let colour = app.console.colour;
    let sections = [
        overview(app, session, status),
        pairings(status).render(colour, "not paired yet: `cosigner add-user`"),
        groups(status).render(colour, "no signing groups yet: the workspace proposes them"),
        list_users::table(users, status).render(colour, "no API users yet"),
    ];
    sections.join("\n\n")
}

fn overview(app: &App, session: &Session<'_>, status: &Status) -> String {
    let up = span(status.now_ms.saturating_sub(status.booted_at_ms));
    format!(
        "{}\n\
         state       up {up}, {} signatures, {} sessions running, {}\n\
         time        {}\n\
         host        {}",
        identity(app, session),
        status.signatures,
        status.sessions,
        unstored(status.unstored, app.console.colour),
        utc(status.now_ms),
        host(status),
    )
}

fn unstored(batches: u32, colour: bool) -> String {
    match batches {
        0 => "all stored".to_owned(),
        n => paint(Tone::Yellow, &format!("{n} batches not stored yet"), colour),
    }
}

/// How the host says it is.
fn host(status: &Status) -> String {
    let Some((health, at_ms)) = &status.host else { return "has not said how it is".to_owned() };
    format!(
        "version {}, {} of {} free, {} blobs ({}), slowest commit {}{}, said at {}",
        printable(&health.version),
        size(health.disk_free_bytes),
        size(health.disk_total_bytes),
        health.blobs,
        size(health.stored_bytes),
        millis(u32::try_from(health.commit_us).unwrap_or(u32::MAX)),
        if health.proxied { ", through a proxy" } else { "" },
        utc(*at_ms),
    )
}

fn identity(app: &App, session: &Session<'_>) -> String {
    let colour = app.console.colour;
    let description = &session.description;
    let who = description.operators.iter().map(|(id, name)| format!("{} {}", printable(name), short(id)));
    let who: Vec<String> = who.collect();
    let claimed = match who.is_empty() {
        true => paint(Tone::Yellow, "not claimed: `cosigner init`", colour),
        false => format!("{} of {} must sign: {}", description.required, who.len(), who.join(", ")),
    };
    let root = match session.anchor {
        AnchorKind::Aws => session.anchor.as_str().to_owned(),
        AnchorKind::Development => paint(Tone::Red, session.anchor.as_str(), colour),
    };
    let sealing_key = match description.sealing_key.as_str() {
        "" => "none yet".to_owned(),
        key => printable(key),
    };
    format!(
        "co-signer   {} ({}){}, version {}\n\
         instance    {}\n\
         attested    {root}, measurements {}\n\
         operators   {claimed}\n\
         settings    epoch {}, {} pending changes, sealing key {sealing_key}",
        app.settings.cosigner,
        if session.pin.is_some() { "pinned" } else { "not pinned here" },
        named(&description.name),
        printable(&description.version),
        description.instance,
        if session.measurements_compared { "compared" } else { "not compared" },
        description.settings_epoch,
        description.pending_changes,
    )
}

fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(", named {:?}", printable(name)) }
}

fn link(pairing: &PairingStatus) -> Field {
    match (pairing.link_up, pairing.link_trouble.as_str()) {
        (true, _) => field("up", Tone::Green),
        (false, "") => field("down", Tone::Yellow),
        (false, trouble) => field(format!("down\n{}", printable(trouble)), Tone::Yellow),
    }
}

fn pairings(status: &Status) -> Table {
    let mut table =
        Table::new(&["pairing", "workspace", "role", "link", "intent", "users", "initiators", "keys", "identity"]);
    for pairing in &status.pairings {
        let keys = match pairing.keys_suspended {
            0 => plain(format!("{} ready", pairing.keys_ready)),
            n => field(format!("{} ready\n{n} suspended", pairing.keys_ready), Tone::Red),
        };
        table.row(vec![
            plain(pairing.pairing),
            plain(format!("{}\n{}", pairing.workspace, &*pairing.url)),
            plain(role_name(pairing.role)),
            link(pairing),
            if pairing.require_intent { plain("required") } else { field("NOT REQUIRED", Tone::Red) },
            plain(pairing.users),
            plain(pairing.initiators),
            keys,
            plain(short(&pairing.party)),
        ]);
    }
    table
}

fn groups(status: &Status) -> Table {
    let mut table = Table::new(&["group", "workspace", "signers", "state"]);
    for (pairing, group) in status.pairings.iter().flat_map(|p| p.groups.iter().map(move |g| (p, g))) {
        table.row(vec![
            plain(group.group.id),
            plain(pairing.workspace),
            plain(format!("{} of {}", group.group.threshold, group.group.size())),
            state(group.state, group.primes_found),
        ]);
    }
    table
}

/// A group's state in words.
pub fn state(state: GroupState, primes_found: u8) -> Field {
    match state {
        GroupState::Proposed => field("proposed: `cosigner group accept`", Tone::Yellow),
        GroupState::FindingPrimes => field(format!("finding safe primes, {primes_found} of 4"), Tone::Yellow),
        GroupState::AwaitingAux => field("waits for auxiliary information", Tone::Yellow),
        GroupState::AuxPending => field("waits for the others' acknowledgements", Tone::Yellow),
        GroupState::Ready => field("ready", Tone::Green),
    }
}
