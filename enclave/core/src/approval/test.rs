//! An operator's test of a handler: one call with a probe, step by step.

use super::attempt::{Times, attempt};
use crate::callback::{self, Caller, Endpoint, probe};
use crate::input::ExchangeReport;
use crate::limits::MAX_CALLBACK_TESTS;
use crate::serving::{Cx, ExchangeOwner, Serving};
use countersign_wire::Text;
use countersign_wire::admin::{CallbackTest, Done};
use countersign_wire::callback::CallbackSubject;
use countersign_wire::command::{ApprovalSetting, Handler};
use countersign_wire::ids::{ApiUserId, PairingId};
use countersign_wire::refusal::{Code, Refusal};

/// A test under way.
#[derive(Clone)]
pub(crate) struct Test {
    /// The admin connection that waits for the result.
    pub connection: u64,
    caller: Caller,
    handler: Handler,
    request_id: String,
    began_ms: u64,
}

impl Serving {
    /// Calls the handler of `user` with a probe. The result goes to `connection`. It takes no place from a request.
    pub(crate) fn test_callback(
        &mut self,
        cx: &mut Cx<'_>,
        connection: u64,
        pairing: &PairingId,
        user: &ApiUserId,
    ) -> Result<(), Refusal> {
        let tests = cx.running.exchanges.values().filter(|owner| matches!(owner, ExchangeOwner::CallbackTest(_)));
        if tests.count() >= MAX_CALLBACK_TESTS {
            return Err(Refusal::new(
                Code::Busy,
                "other tests of handlers are under way; try again when they are done",
            ));
        }
        let pairing = self.pairing_mut(pairing)?;
        let approval = pairing.record.user(user).map(|known| known.approval.clone()).ok_or_else(|| {
            Refusal::new(Code::NotFound, format!("API user {user} is not paired with this co-signer"))
        })?;
        let ApprovalSetting::Handler(handler) = approval else {
            let detail = format!("API user {user} has no callback handler: set one with `cosigner callback set`");
            return Err(Refusal::new(Code::NoHandler, detail));
        };
        let question = probe(user, cx.random());
        let key = pairing.request_keys.of_user(&pairing.record, user)?;
        let body = callback::body(&handler, &question.payload, &key, cx.now, cx.random());
        let mut spec = callback::exchange(&handler, Endpoint::TxSignRequest, body)?;
        // Every step is to be seen.
        spec.keep_alive = false;
        let test = Test {
            connection,
            caller: (pairing.record.id, user.clone()),
            handler,
            request_id: question.request_id,
            began_ms: cx.now,
        };
        cx.exchange(ExchangeOwner::CallbackTest(Box::new(test)), spec);
        Ok(())
    }

    /// The probe's call ended.
    pub(crate) fn callback_tested(
        &mut self,
        cx: &mut Cx<'_>,
        test: Test,
        report: &ExchangeReport,
    ) -> Result<Done, Refusal> {
        let keys = callback::keys(&test.handler)?;
        let judged = callback::judge(report, &keys, &test.request_id, cx.now);
        let failed = judged.as_ref().err().map(|fault| fault.step);
        let action = judged.as_ref().map(|said| said.action.as_str()).unwrap_or_default();
        let verdict = callback::verdict(judged.clone(), true);
        let times = Times { began_ms: test.began_ms, ended_ms: cx.now, waited_ms: 0 };
        let attempt = attempt(1, times, report, &verdict);
        let (pairing, user) = &test.caller;
        if let Some(pairing) = self.pairings.get_mut(pairing) {
            pairing.certificate_seen(cx, user, report);
            pairing.take_down(cx, user, CallbackSubject::Test, &attempt);
        }
        let server = report.server.as_ref();
        Ok(Done::CallbackTested(Box::new(CallbackTest {
            url: test.handler.url.clone(),
            mode: Text::cut(test.handler.mode().map(|mode| mode.as_str()).unwrap_or_default()),
            attempt,
            failed,
            address: server.map(|server| Text::cut(server.address.to_string())).unwrap_or_default(),
            certificate_expires_at_ms: server.map(|server| server.certificate_expires_at_ms),
            certificate_pin: server.map(|server| server.certificate_pin),
            protocol: server.map(|server| Text::cut(server.protocol.as_str())).unwrap_or_default(),
            action: Text::cut(action),
        })))
    }
}
