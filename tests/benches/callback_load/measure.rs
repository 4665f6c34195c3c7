//! How long questions take until they are answered.

use super::scene::Scene;
use countersign_wire::ids::TransactionId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is still waited for when the time is over, at most so long.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// Times in milliseconds, by transaction.
#[derive(Default)]
pub struct Times(BTreeMap<TransactionId, f64>);

impl Times {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that so many percent kept.
    pub fn percentile(&self, percent: f64) -> f64 {
        let mut all: Vec<f64> = self.0.values().copied().collect();
        all.sort_by(f64::total_cmp);
        let place = (percent / 100.0 * all.len() as f64).ceil() as usize;
        all[place.clamp(1, all.len()) - 1]
    }

    /// How many times as long as the others' that percentile is.
    pub fn ratio_to(&self, others: &Self, percent: f64) -> f64 {
        self.percentile(percent) / others.percentile(percent)
    }

    /// Each less what is given for it.
    pub fn less(&self, parts: &BTreeMap<TransactionId, f64>) -> Self {
        Self(self.0.iter().filter_map(|(id, time)| Some((*id, time - parts.get(id)?))).collect())
    }

    fn add(&mut self, id: TransactionId, asked: Instant) {
        self.0.insert(id, asked.elapsed().as_secs_f64() * 1_000.0);
    }
}

/// Always `at_once` questions under way, for `time`.
pub async fn closed(scene: &mut Scene, at_once: usize, time: Duration) -> Times {
    let (mut times, mut asked) = (Times::default(), BTreeMap::new());
    let begun = Instant::now();
    while begun.elapsed() < time || !asked.is_empty() {
        while begun.elapsed() < time && asked.len() < at_once {
            let id = scene.ask().await;
            asked.insert(id, Instant::now());
        }
        let id = scene.answered(LAST_ANSWERS).await.expect("an answer");
        if let Some(at) = asked.remove(&id) {
            times.add(id, at);
        }
    }
    times
}

/// So many questions a second, whether or not the earlier ones are answered, for `time`.
pub async fn open(scene: &mut Scene, per_second: f64, time: Duration) -> Times {
    let (mut times, mut asked) = (Times::default(), BTreeMap::new());
    let pause = Duration::from_secs_f64(1.0 / per_second);
    let begun = Instant::now();
    let mut next = begun;
    loop {
        let now = Instant::now();
        if now.duration_since(begun) < time && now >= next {
            // From when it was due: a question that had to wait for the bench is not a fast one.
            let id = scene.ask().await;
            asked.insert(id, next);
            next += pause;
            continue;
        }
        let over = now.duration_since(begun) >= time;
        if over && asked.is_empty() {
            return times;
        }
        let wait = if over { LAST_ANSWERS } else { next.saturating_duration_since(now) };
        if let Some(id) = scene.answered(wait).await {
            if let Some(at) = asked.remove(&id) {
                times.add(id, at);
            }
        } else {
            assert!(!over, "{} questions without an answer", asked.len());
        }
    }
}
