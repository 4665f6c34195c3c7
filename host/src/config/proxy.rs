//! The key `proxy`, of links and of streams dialled for the enclave.

use serde::Deserialize;
use std::fmt;

/// Which proxy outbound connections go through.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum ProxySetting {
    /// What HTTPS_PROXY and NO_PROXY say.
    Environment,
    /// None, whatever the environment says.
    None,
    /// This one, for every connection.
    Url(String),
}

impl From<String> for ProxySetting {
    fn from(text: String) -> Self {
        match text.as_str() {
            "environment" => Self::Environment,
            "none" => Self::None,
            _ => Self::Url(text),
        }
    }
}

impl fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment",
            Self::None => "none",
            Self::Url(_) => "<a proxy>",
        })
    }
}
