//! Where the enclave connects.

use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// `unix:PATH` or `vsock:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum EnclaveAddress {
    /// A Unix socket, made with mode 0600: an enclave that runs as a process, or an emulated one.
    Unix(PathBuf),
    /// A vsock port.
    Vsock(u32),
}

impl FromStr for EnclaveAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("expected unix:PATH or vsock:PORT, got {text:?}");
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("vsock", port)) => port.parse().map(Self::Vsock).map_err(|_| error()),
            _ => Err(error()),
        }
    }
}

impl TryFrom<String> for EnclaveAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for EnclaveAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock(port) => write!(f, "vsock:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_parses_as_it_prints() {
        for text in ["unix:/run/x.sock", "vsock:5000"] {
            assert_eq!(text.parse::<EnclaveAddress>().unwrap().to_string(), text);
        }
        for bad in ["", "unix:", "vsock:", "vsock:x", "vsock:-1", "tcp:127.0.0.1:1", "/run/x.sock"] {
            assert!(bad.parse::<EnclaveAddress>().is_err(), "{bad:?}");
        }
    }
}
