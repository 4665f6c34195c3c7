//! The JSON forms of settings, and of what differs between two. Scripts rely on these members: add, never rename.

use super::fields::Difference;
use crate::commands::views;
use crate::public_key;
use crate::text_forms::network_text;
use countersign_wire::callback::CallbackSubject;
use countersign_wire::command::{ApprovalSetting, Handler, HandlerTls};
use countersign_wire::status::CallbackStatus;
use serde_json::{Value, json};

/// How requests are approved.
pub fn setting(setting: &ApprovalSetting) -> Value {
    let handler = match setting {
        ApprovalSetting::Handler(handler) => handler_object(handler),
        ApprovalSetting::None | ApprovalSetting::Auto => Value::Null,
    };
    json!({
        "approval": views::approval(views::kind_of(setting)),
        "hash": hex::encode(setting.digest()),
        "handler": handler,
    })
}

fn handler_object(handler: &Handler) -> Value {
    let (tls, root, pins) = match &handler.tls {
        HandlerTls::PublicRoots => ("public_roots", None, Vec::new()),
        HandlerTls::Root(root) => ("root", Some(public_key::fingerprint(root)), Vec::new()),
        HandlerTls::Pinned(pins) => ("pinned", None, pins.iter().map(hex::encode).collect()),
    };
    json!({
        "url": &*handler.url,
        "mode": handler.mode().map(|m| m.as_str()),
        "keys": handler.keys.iter().map(|k| public_key::json(k)).collect::<Vec<_>>(),
        "tls": tls,
        "root_sha256": root,
        "pins": pins,
        "networks": handler.networks.iter().map(network_text).collect::<Vec<_>>(),
        "deadline_ms": handler.deadline_ms,
        "retry": { "every_s": handler.retry.every_s, "times": handler.retry.times },
        "dated_requests": handler.dated_requests,
        "own_request_key": handler.own_request_key,
    })
}

/// What differs.
pub fn differences(differences: &[Difference]) -> Value {
    let all = differences.iter().map(|d| json!({ "field": d.name, "before": d.before, "after": d.after }));
    all.collect()
}

/// What a handler was asked about: its kind, and its id where it has one.
pub fn subject(subject: &CallbackSubject) -> (&'static str, Option<String>) {
    match subject {
        CallbackSubject::Transaction(id) => ("transaction", Some(id.to_string())),
        CallbackSubject::Change(id) => ("change", Some(id.to_string())),
        CallbackSubject::Test => ("test", None),
    }
}

/// The last calls.
pub fn attempts(status: &CallbackStatus) -> Value {
    let all = status.attempts.iter().map(|(about, attempt)| {
        let mut object = views::attempt(attempt);
        let (kind, id) = subject(about);
        object["subject"] = json!({ "kind": kind, "id": id });
        object
    });
    all.collect()
}
