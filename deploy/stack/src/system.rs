//! A stack that is ready to sign: claimed, paired, with a group and a handler. What end-to-end tests start from.

use crate::asking::Ask;
use crate::client::Client;
use crate::error::StackError;
use crate::handler::Handler;
use crate::keys::Algorithm;
use crate::member::{Member, Role};
use crate::stack::{Approval, Options, Pairing, Stack};
use crate::workspace::{ApiUser, VaultAccount};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// How long a group may take with test primes, and with real ones.
const GROUP_TIMEOUT: Duration = Duration::from_secs(900);
/// How long a transaction may take on a busy machine.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(180);
/// The same with emulated co-signers.
const EMULATED_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(400);

/// How a system is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The processes.
    pub options: Options,
    /// How many sign; `None`: all.
    pub threshold: Option<u16>,
    /// The handler's key for answers.
    pub answers: Algorithm,
    /// Further flags of the handler.
    pub handler_flags: Vec<String>,
    /// Whether RAW is allowed.
    pub allow_raw: bool,
    /// Whether a client's own request is demanded.
    pub require_intent: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            options: Options::default(),
            threshold: None,
            answers: Algorithm::Es256,
            handler_flags: Vec::new(),
            allow_raw: true,
            require_intent: true,
        }
    }
}

/// A system that is ready to sign.
pub struct System {
    /// Its processes and members.
    pub stack: Stack,
    /// Approves for `user`.
    pub handler: Handler,
    /// Initiator and signer: paired with the customer's co-signer.
    pub user: ApiUser,
    /// Speaks as `user`.
    pub client: Client,
    /// The signing group.
    pub group: String,
    /// Ids of the co-signers in the first workspace, the customer's first.
    pub cosigners: Vec<String>,
}

impl System {
    /// Sets one up in a new folder: the first workspace, all co-signers, one group.
    pub async fn start(folder: &Path, setup: &Setup) -> Result<Self, StackError> {
        let mut stack = Stack::start(folder, &setup.options).await?;
        let handler = stack.start_handler("handler", setup.answers, &setup.handler_flags).await?;
        stack.claim_all().await?;
        let workspace = stack.workspace()?;
        let user = workspace.create_user("treasury", "SIGNER", true).await?;
        let client = workspace.client(&user)?;
        let mut cosigners = Vec::new();
        for member in &stack.members {
            cosigners.push(pair(&stack, member, &user, &handler, setup).await?);
        }
        let members: Vec<&Member> = stack.members.iter().collect();
        let all = u16::try_from(members.len()).unwrap_or(u16::MAX);
        let threshold = setup.threshold.unwrap_or(all);
        let group = stack.form_group(workspace, &cosigners, &members, threshold).await?;
        stack.group_ready(workspace, &group, &members, GROUP_TIMEOUT, |_| {}).await?;
        Ok(Self { stack, handler, user, client, group, cosigners })
    }

    /// A vault account of `user` with asset ETH.
    pub async fn vault_account(&self, name: &str) -> Result<VaultAccount, StackError> {
        self.stack.workspace()?.vault_account(name, &self.user).await
    }

    /// Asks as `user` and waits until the transaction has ended.
    pub async fn transact(&self, ask: &Ask) -> Result<Value, StackError> {
        let is_emulated = self.stack.members.iter().any(|member| member.image().is_some());
        let timeout = if is_emulated { EMULATED_TRANSACTION_TIMEOUT } else { TRANSACTION_TIMEOUT };
        self.stack.workspace()?.transact(&self.client, ask, timeout).await
    }
}

async fn pair(
    stack: &Stack,
    member: &Member,
    user: &ApiUser,
    handler: &Handler,
    setup: &Setup,
) -> Result<String, StackError> {
    let workspace = stack.workspace()?;
    let require_intent = setup.require_intent;
    let (cloud, pairing);
    let paired = match member.role {
        Role::Customer => {
            pairing = Pairing { approval: Approval::Handler(handler), allow_raw: setup.allow_raw, require_intent };
            user
        }
        Role::Cloud => {
            pairing = Pairing { approval: Approval::Nobody, allow_raw: false, require_intent };
            cloud = workspace.create_user(&member.name, "CLOUD_COSIGNER", false).await?;
            &cloud
        }
    };
    let (id, _) = stack.pair(workspace, paired, member, &[user], pairing).await?;
    Ok(id)
}
