//! The nonces of request tokens: each is taken once, also across a restart, until its token has expired.
//!
//! Every request takes one, so they are committed in groups: one commit makes those durable that came during the last.

use super::{Store, StoreError, stored};
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for a commit.
const MAX_WAITING: usize = 1024;
/// Nonces of one commit.
const MAX_GROUP: usize = 256;

/// The store could not say whether a nonce is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database did not store the request's nonce; try again")]
pub struct NotStored;

struct Request {
    user: String,
    nonce: String,
    expires_at_ms: u64,
    answer: oneshot::Sender<Result<bool, NotStored>>,
}

/// Takes nonces.
#[derive(Clone)]
pub struct Nonces(mpsc::Sender<Request>);

impl Nonces {
    /// Starts the task that commits them. It ends with the last clone of the result.
    pub fn start(store: Store) -> Self {
        let (sender, mut requests) = mpsc::channel::<Request>(MAX_WAITING);
        tokio::spawn(async move {
            let mut group = Vec::new();
            while requests.recv_many(&mut group, MAX_GROUP).await > 0 {
                let verdicts = commit(&store, &group).await;
                if let Err(error) = &verdicts {
                    tracing::error!(%error, "nonces could not be stored");
                }
                for (index, request) in group.drain(..).enumerate() {
                    let verdict = verdicts.as_ref().ok().and_then(|v| v.get(index)).copied().ok_or(NotStored);
                    let _ = request.answer.send(verdict);
                }
            }
        });
        Self(sender)
    }

    /// Takes a nonce; `false` where it was taken before. Durable when this returns.
    ///
    /// # Errors
    /// It could not be stored; the request must not be served.
    pub async fn take(&self, user: &str, nonce: &str, expires_at_ms: u64) -> Result<bool, NotStored> {
        let (answer, verdict) = oneshot::channel();
        let request = Request { user: user.to_owned(), nonce: nonce.to_owned(), expires_at_ms, answer };
        self.0.send(request).await.map_err(|_| NotStored)?;
        verdict.await.map_err(|_| NotStored)?
    }
}

async fn commit(store: &Store, group: &[Request]) -> Result<Vec<bool>, StoreError> {
    let mut write = store.write().await?;
    let mut verdicts = Vec::with_capacity(group.len());
    for request in group {
        let insert = "INSERT INTO nonces (user, nonce, expires_at_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        let done = sqlx::query(insert)
            .bind(&request.user)
            .bind(&request.nonce)
            .bind(stored(request.expires_at_ms))
            .execute(&mut *write)
            .await?;
        verdicts.push(done.rows_affected() == 1);
    }
    write.commit().await?;
    Ok(verdicts)
}

/// Forgets the nonces of expired tokens.
pub async fn prune(db: &mut SqliteConnection, now_ms: u64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM nonces WHERE expires_at_ms < ?").bind(stored(now_ms)).execute(db).await?;
    Ok(())
}
