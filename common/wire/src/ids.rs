//! Identifiers. Random 16-byte ids are shown as UUIDs, keys and hashes as lower-case hex.

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;
use std::str::FromStr;

/// Text that is not an id of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {got:?}")]
pub struct IdError {
    /// The form that was expected.
    pub expected: &'static str,
    /// What came, cut to 80 characters.
    pub got: String,
}

fn id_error(expected: &'static str, got: &str) -> IdError {
    IdError { expected, got: got.chars().take(80).collect() }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let h = hex::encode(self.0);
                write!(f, "{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            /// Accepts exactly what `Display` prints.
            fn from_str(text: &str) -> Result<Self, IdError> {
                const EXPECTED: &str = "a lower-case UUID such as 6f2c1f0e-0d0b-4c58-9a7b-0c8b4a1f2e3d";
                let bytes = hex::decode(text.replace('-', "")).map_err(|_| id_error(EXPECTED, text))?;
                let id = Self(bytes.try_into().map_err(|_| id_error(EXPECTED, text))?);
                if id.to_string() == text { Ok(id) } else { Err(id_error(EXPECTED, text)) }
            }
        }
    };
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            /// Accepts exactly what `Display` prints.
            fn from_str(text: &str) -> Result<Self, IdError> {
                const EXPECTED: &str = "64 lower-case hexadecimal digits";
                let bytes = hex::decode(text).map_err(|_| id_error(EXPECTED, text))?;
                let id = Self(bytes.try_into().map_err(|_| id_error(EXPECTED, text))?);
                if id.to_string() == text { Ok(id) } else { Err(id_error(EXPECTED, text)) }
            }
        }
    };
}

uuid_id!(
    /// A workspace (the `tenantId` of its pairing tokens).
    WorkspaceId
);
uuid_id!(
    /// A pairing, as one co-signer names it; its host knows it by this id.
    PairingId
);
uuid_id!(
    /// A signing group.
    GroupId
);
uuid_id!(
    /// A key. It names at most one key for ever.
    KeyId
);
uuid_id!(
    /// A transaction of the workspace.
    TransactionId
);
uuid_id!(
    /// A configuration change of the workspace.
    ChangeId
);
uuid_id!(
    /// One attempt at a ceremony.
    SessionId
);
uuid_id!(
    /// One boot of an enclave.
    BootId
);
hex_id!(
    /// A co-signer instance: the Ed25519 public key that its enclave made at the first start.
    InstanceId
);
hex_id!(
    /// A co-signer within one pairing: the Ed25519 public key of that pairing's identity.
    PartyId
);
hex_id!(
    /// An operator: an Ed25519 public key.
    OperatorId
);
hex_id!(
    /// SHA-256 over the id and the two public keys of a workspace, see [`crate::pairing_http::workspace_fingerprint`].
    WorkspaceFingerprint
);

/// An API user of a workspace: 1 to 64 characters of `A-Z a-z 0-9 - _`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct ApiUserId(String);

impl ApiUserId {
    /// Longest id in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ApiUserId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if text.is_empty() || text.len() > Self::MAX_BYTES || !plain {
            return Err(id_error("1 to 64 characters of A-Z a-z 0-9 - _", text));
        }
        Ok(Self(text.to_owned()))
    }
}

impl BorshDeserialize for ApiUserId {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let text = crate::Text::<{ Self::MAX_BYTES }>::deserialize_reader(reader)?;
        text.parse().map_err(|e: IdError| borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, e.to_string()))
    }
}

impl fmt::Display for ApiUserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ApiUserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_parse_only_what_they_print() {
        let id = KeyId([0xab; 16]);
        assert_eq!(id.to_string().parse::<KeyId>(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<KeyId>().is_err());
        assert!("abab".parse::<KeyId>().is_err());
        let party = PartyId([7; 32]);
        assert_eq!(party.to_string().parse::<PartyId>(), Ok(party));
    }

    #[test]
    fn an_api_user_id_is_one_plain_token() {
        assert!("6f2c1f0e-0d0b-4c58-9a7b-0c8b4a1f2e3d".parse::<ApiUserId>().is_ok());
        for bad in ["", "a.b", "a b", "../x", "é", &"a".repeat(65)] {
            assert!(bad.parse::<ApiUserId>().is_err(), "{bad:?}");
        }
        let smuggled = borsh::to_vec(&crate::Text::<64>::new("a.b").unwrap()).unwrap();
        assert!(borsh::from_slice::<ApiUserId>(&smuggled).is_err());
    }
}
