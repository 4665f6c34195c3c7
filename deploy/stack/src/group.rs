//! Signing groups of a stack: proposed by a workspace, accepted by operators, prepared by the co-signers.

use crate::error::StackError;
use crate::member::Member;
use crate::stack::Stack;
use crate::wait::{Seen, until};
use crate::workspace::Workspace;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Safe primes that each co-signer makes for a group.
pub const PRIMES: u64 = 4;
/// How long a proposal may take to reach a co-signer.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the state of a group that is being prepared is asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far a group is at one co-signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The co-signer's name.
    pub member: String,
    /// Safe primes found, of [`PRIMES`].
    pub primes: u64,
    /// `proposed`, `finding_primes`, `awaiting_aux`, `aux_pending` or `ready`.
    pub state: String,
}

/// What a co-signer's status says of a group.
fn find(status: &Value, group: &str) -> Option<Value> {
    let groups = status["pairings"].as_array()?.iter().filter_map(|p| p["groups"].as_array()).flatten();
    groups.into_iter().find(|g| g["group"] == group).cloned()
}

async fn progress(member: &Member, group: &str) -> Result<Progress, StackError> {
    let status = member.status().await?;
    let seen = find(&status, group).ok_or_else(|| StackError::Unexpected {
        expected: format!("group {group}"),
        got: format!("the status of {}: {status}", member.name),
    })?;
    let state = seen["state"].as_str().unwrap_or_default().to_owned();
    let primes = match state.as_str() {
        "proposed" => 0,
        "finding_primes" => seen["primes_found"].as_u64().unwrap_or_default(),
        _ => PRIMES,
    };
    Ok(Progress { member: member.name.clone(), primes, state })
}

impl Stack {
    /// Proposes a group of co-signers, by their ids in the workspace (the customer's first), and has `members` accept
    /// exactly that group. Returns its id.
    pub async fn form_group(
        &self,
        workspace: &Workspace,
        cosigners: &[String],
        members: &[&Member],
        threshold: u16,
    ) -> Result<String, StackError> {
        let (customer, clouds) = cosigners.split_first().ok_or_else(|| StackError::Unexpected {
            expected: "the customer's co-signer".into(),
            got: "none".into(),
        })?;
        let (group, hash) = workspace.propose_group(customer, clouds, threshold).await?;
        for member in members {
            let what = format!("the proposal of group {group} to reach {}", member.name);
            let proposed = until(what, PROPOSAL_TIMEOUT, || async {
                let status = member.status().await?;
                Ok(find(&status, &group).map_or_else(|| Seen::NotYet("not there".into()), Seen::Done))
            });
            let proposed = proposed.await?;
            let pairing = proposed["pairing"].as_str().unwrap_or_default();
            let arguments = ["group", "accept", "--group", &group, "--hash", &hash, "--pairing", pairing];
            member.operator.run(arguments).await?;
        }
        Ok(group)
    }

    /// Waits until keys can be made in a group, and tells how far each co-signer is.
    pub async fn group_ready(
        &self,
        workspace: &Workspace,
        group: &str,
        members: &[&Member],
        deadline: Duration,
        mut tell: impl FnMut(&[Progress]),
    ) -> Result<(), StackError> {
        let path = format!("/v1/signing_groups/{group}");
        let started = Instant::now();
        loop {
            let mut all = Vec::new();
            for member in members {
                all.push(progress(member, group).await?);
            }
            tell(&all);
            let shown = workspace.admin.get(&path).await?;
            if shown["status"] == "READY" {
                return Ok(());
            }
            if started.elapsed() >= deadline {
                let what = format!("group {group}");
                return Err(StackError::Waited { what, seconds: deadline.as_secs(), seen: shown.to_string() });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_group_is_found_in_any_pairing() {
        let status =
            json!({"pairings": [{"groups": []}, {"groups": [{"group": "a"}, {"group": "b", "state": "ready"}]}]});
        assert_eq!(find(&status, "b").unwrap()["state"], "ready");
        assert!(find(&status, "c").is_none());
    }
}
