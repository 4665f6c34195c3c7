//! Where the credentials come from.

use crate::config;
use aws_credential_types::Credentials;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// Longest answer of the metadata service, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// Time for one of its answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Seconds that a session with it lives.
const SESSION_SECONDS: &str = "60";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// There are none.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The configuration says so.
    #[error("this host has no AWS credentials: [kms] credentials is \"none\" in its configuration")]
    None,
    /// The environment has none.
    #[error("{0} is not in the host's environment")]
    Environment(&'static str),
    /// The metadata service did not give any.
    #[error("the instance's metadata service at {address}: {detail}")]
    Metadata {
        /// Where it was asked.
        address: SocketAddr,
        /// Why.
        detail: String,
    },
}

/// Where the credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialsSource {
    /// Nowhere.
    None,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and `AWS_SESSION_TOKEN` where there is one.
    Environment,
    /// The role of this machine, from its metadata service (version 2: with a session).
    InstanceRole(SocketAddr),
}

impl From<&config::Kms> for CredentialsSource {
    fn from(config: &config::Kms) -> Self {
        match config.credentials {
            config::KmsCredentials::None => Self::None,
            config::KmsCredentials::Environment => Self::Environment,
            config::KmsCredentials::InstanceRole => Self::InstanceRole(config.metadata_service),
        }
    }
}

/// As the metadata service gives them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleCredentials {
    access_key_id: String,
    secret_access_key: String,
    token: String,
}

impl fmt::Debug for RoleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoleCredentials(<redacted>)")
    }
}

impl CredentialsSource {
    /// The credentials of now.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub async fn read(self) -> Result<Credentials, CredentialsError> {
        match self {
            Self::None => Err(CredentialsError::None),
            Self::Environment => from_environment(|name| std::env::var(name).ok()),
            Self::InstanceRole(address) => from_role(address).await,
        }
    }
}

fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Credentials, CredentialsError> {
    let needed = |name: &'static str| variable(name).ok_or(CredentialsError::Environment(name));
    let (id, secret) = (needed("AWS_ACCESS_KEY_ID")?, needed("AWS_SECRET_ACCESS_KEY")?);
    Ok(Credentials::new(id, secret, variable("AWS_SESSION_TOKEN"), None, "environment"))
}

async fn from_role(address: SocketAddr) -> Result<Credentials, CredentialsError> {
    let failed = |detail: String| CredentialsError::Metadata { address, detail };
    let seconds = ("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS);
    let session = ask(address, Method::PUT, "/latest/api/token", seconds).await.map_err(failed)?;
    let with_session = ("x-aws-ec2-metadata-token", session.as_str());
    let roles = ask(address, Method::GET, ROLES, with_session).await.map_err(failed)?;
    let role = roles.lines().next().filter(|role| !role.is_empty()).ok_or("this machine has no role".to_owned());
    let path = format!("{ROLES}{}", role.map_err(failed)?);
    let json = ask(address, Method::GET, &path, with_session).await.map_err(failed)?;
    let found: RoleCredentials = serde_json::from_str(&json)
        .map_err(|error| failed(format!("the role's credentials: {:?}", error.classify())))?;
    Ok(Credentials::new(found.access_key_id, found.secret_access_key, Some(found.token), None, "instance role"))
}

async fn ask(
    address: SocketAddr,
    method: Method,
    path: &str,
    (name, value): (&str, &str),
) -> Result<Zeroizing<String>, String> {
    let asked = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let request = Request::builder().method(method).uri(path).header("host", address.to_string());
        let request = request.header(name, value).body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|error| error.to_string());
        let read = match answer {
            Ok(answer) if answer.status() == StatusCode::OK => {
                let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
                let body = body.map_err(|error| error.to_string())?.to_bytes().to_vec();
                String::from_utf8(body).map(Zeroizing::new).map_err(|_| "expected text".to_owned())
            }
            Ok(answer) => Err(format!("{path}: {}", answer.status())),
            Err(error) => Err(error),
        };
        connection.abort();
        read
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asked)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_both_halves_or_none() {
        let with = |names: &'static [&'static str]| {
            from_environment(move |name| names.contains(&name).then(|| format!("value of {name}")))
        };
        let all = with(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]).unwrap();
        assert_eq!(all.session_token(), Some("value of AWS_SESSION_TOKEN"));
        assert_eq!(with(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]).unwrap().session_token(), None);
        let error = with(&["AWS_ACCESS_KEY_ID"]).unwrap_err();
        assert!(matches!(error, CredentialsError::Environment("AWS_SECRET_ACCESS_KEY")), "{error}");
    }
}
