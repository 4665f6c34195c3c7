//! Measurements as files and `--json` carry them: `{"pcr0": "…", "pcr1": "…", "pcr2": "…"}`, 96 hexadecimal digits each,
//! and `pcr8` where images are signed.

use crate::failure::Failure;
use crate::input_files;
use countersign_wire::command::Measurements as Wire;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Measurements of one image. Names of registers are accepted in capitals, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurements {
    /// The whole image.
    #[serde(with = "hex::serde", alias = "PCR0")]
    pub pcr0: [u8; 48],
    /// Kernel and boot ramdisk.
    #[serde(with = "hex::serde", alias = "PCR1")]
    pub pcr1: [u8; 48],
    /// Application.
    #[serde(with = "hex::serde", alias = "PCR2")]
    pub pcr2: [u8; 48],
    /// Signing certificate; not compared where absent.
    #[serde(with = "optional_hex", alias = "PCR8", default, skip_serializing_if = "Option::is_none")]
    pub pcr8: Option<[u8; 48]>,
}

impl Measurements {
    /// From a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        serde_json::from_slice(&input_files::read(path)?).map_err(|e| {
            Failure::usage(
                format!("{}: {e}", path.display()),
                r#"expected {"pcr0": "…", "pcr1": "…", "pcr2": "…"} with 96 hexadecimal digits each, as an image's build prints it"#,
            )
        })
    }

    /// As commands carry them.
    pub fn to_wire(&self) -> Wire {
        Wire { pcr0: self.pcr0, pcr1: self.pcr1, pcr2: self.pcr2, pcr8: self.pcr8 }
    }

    /// The registers that are compared.
    pub fn registers(&self) -> impl Iterator<Item = (u8, &[u8; 48])> {
        [(0, &self.pcr0), (1, &self.pcr1), (2, &self.pcr2)].into_iter().chain(self.pcr8.iter().map(|value| (8, value)))
    }
}

impl From<&Wire> for Measurements {
    fn from(wire: &Wire) -> Self {
        Self { pcr0: wire.pcr0, pcr1: wire.pcr1, pcr2: wire.pcr2, pcr8: wire.pcr8 }
    }
}

mod optional_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Option<[u8; 48]>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_str(&hex::encode(value)),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 48]>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let mut value = [0u8; 48];
        hex::decode_to_slice(text, &mut value).map_err(D::Error::custom)?;
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_three_registers_and_nothing_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.json");
        let a = "ab".repeat(48);
        for (text, good) in [
            (format!(r#"{{"pcr0":"{a}","pcr1":"{a}","pcr2":"{a}"}}"#), true),
            (format!(r#"{{"PCR0":"{a}","PCR1":"{a}","PCR2":"{a}","PCR8":"{a}"}}"#), true),
            (format!(r#"{{"pcr0":"{a}","pcr1":"{a}"}}"#), false),
            (format!(r#"{{"pcr0":"{a}","pcr1":"{a}","pcr2":"abcd"}}"#), false),
            (format!(r#"{{"pcr0":"{a}","pcr1":"{a}","pcr2":"{a}","pcr3":"{a}"}}"#), false),
        ] {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(Measurements::read(&path).is_ok(), good, "{text}");
        }
    }
}
