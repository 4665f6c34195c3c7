//! Waiting for something to become true. Nothing here sleeps for a time that was guessed: it asks again, soon.

use crate::error::StackError;
use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

/// First pause between two questions; each is a little longer, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause between two questions.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What a question found.
pub enum Seen<T> {
    /// It is so.
    Done(T),
    /// Not yet; this is how it stands.
    NotYet(String),
}

/// Asks until the answer is [`Seen::Done`]. Errors of the question end the waiting.
pub async fn until<T, F>(what: impl Display, deadline: Duration, mut ask: impl FnMut() -> F) -> Result<T, StackError>
where
    F: Future<Output = Result<Seen<T>, StackError>>,
{
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match ask().await? {
            Seen::Done(value) => return Ok(value),
            Seen::NotYet(seen) if started.elapsed() >= deadline => {
                return Err(StackError::Waited { what: what.to_string(), seconds: deadline.as_secs(), seen });
            }
            Seen::NotYet(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(3).checked_div(2).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn it_asks_until_it_is_so_or_the_time_is_up() {
        let asked = Cell::new(0);
        let third = until("three", Duration::from_secs(5), || async {
            asked.set(asked.get() + 1);
            Ok(if asked.get() == 3 { Seen::Done(7) } else { Seen::NotYet("early".into()) })
        });
        assert_eq!(third.await.unwrap(), 7);
        let never = until("never", Duration::ZERO, || async { Ok(Seen::<()>::NotYet("still waiting".into())) });
        let error = never.await.unwrap_err();
        assert!(matches!(&error, StackError::Waited { what, seen, .. } if what == "never" && seen == "still waiting"));
    }
}
