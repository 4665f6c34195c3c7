//! A machine whose clock is set while the workspace runs.

use super::client::ok;
use super::running::{Running, ended};
use super::signing::{Stack, stack_in, typed, with_address};
use crate::clock::{Clock, Source, now_ms};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const HOUR_MS: u64 = 3_600_000;

/// A wall clock that is set, beside the machine's monotonic one.
struct Wall {
    started: Instant,
    ahead_ms: AtomicU64,
}

impl Source for Arc<Wall> {
    fn wall_ms(&self) -> u64 {
        now_ms() - HOUR_MS + self.ahead_ms.load(Ordering::Relaxed)
    }
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }
}

fn wall(ahead_ms: u64) -> Arc<Wall> {
    Arc::new(Wall { started: Instant::now(), ahead_ms: AtomicU64::new(ahead_ms) })
}

async fn stack_at(wall: &Arc<Wall>, more: &str) -> Stack {
    let more = format!("approve_pairings = 'at_once'\n{more}");
    let stack = stack_in(Running::start_at(&more, Clock::new(Box::new(Arc::clone(wall)))).await, true).await;
    with_address(&stack).await;
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_pass_though_the_wall_clock_is_set_back() {
    let wall = wall(HOUR_MS);
    let mut stack = stack_at(&wall, "[deadlines]\nauthorisation = 1\n").await;
    stack.cosigners.clear();
    wall.ahead_ms.store(0, Ordering::Relaxed);
    let id = ok(stack.client.post("/v1/transactions", &typed("late", None)).await)["id"].as_str().unwrap().to_owned();
    assert_eq!(ended(&stack.client, &id).await["status"], "TIMEOUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_has_its_whole_time_after_a_start_with_a_clock_that_was_ahead() {
    let wall = wall(2 * HOUR_MS);
    let mut stack = stack_at(&wall, "").await;
    stack.cosigners.clear();
    wall.ahead_ms.store(HOUR_MS, Ordering::Relaxed);
    let id = ok(stack.client.post("/v1/transactions", &typed("new", None)).await)["id"].as_str().unwrap().to_owned();
    // Had it ended at once, there would be nothing to cancel.
    let cancelled = ok(stack.client.post_empty(&format!("/v1/transactions/{id}/cancel")).await);
    assert_eq!(cancelled, json!({"success": true}));
}
