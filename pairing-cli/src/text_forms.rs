//! Text forms of what flags carry, and text that is safe to show.

use countersign_wire::command::Network;
use countersign_wire::group::Role;
use std::net::IpAddr;
use std::time::Duration;

/// What could move the cursor, hide text or reorder it.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// JSON in which such characters are escaped: scripts read the same, and a terminal shows it unharmed.
pub fn printable_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        // Line ends are the form's own: within strings they are escaped already.
        if c != '\n' && hides(c) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

/// Replaces what could move the cursor, hide text or reorder it. For everything that came from elsewhere.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if hides(c) { '\u{fffd}' } else { c }).collect()
}

/// `500ms`, `30s`, `2m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a duration such as 500ms, 30s, 2m or 1h, got {text:?}");
    let (digits, unit_ms) = if let Some(digits) = text.strip_suffix("ms") {
        (digits, 1)
    } else if let Some(digits) = text.strip_suffix('s') {
        (digits, 1000)
    } else if let Some(digits) = text.strip_suffix('m') {
        (digits, 60_000)
    } else if let Some(digits) = text.strip_suffix('h') {
        (digits, 3_600_000)
    } else {
        return Err(expected());
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(expected());
    }
    let count: u64 = digits.parse().map_err(|_| expected())?;
    count.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(expected)
}

/// `10.1.0.0/16`, `fd00::/8`, or one address.
pub fn parse_network(text: &str) -> Result<Network, String> {
    let expected = || format!("expected a network such as 10.1.0.0/16 or fd00::/8, got {text:?}");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| expected())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse::<u8>().ok().filter(|p| *p <= bits).ok_or_else(expected)?,
        None => bits,
    };
    let value = match address {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    let host_bits = u32::from(bits.saturating_sub(prefix));
    let host_mask = 1u128.checked_shl(host_bits).map_or(u128::MAX, |bit| bit.wrapping_sub(1));
    if value & host_mask != 0 {
        return Err(format!("expected a network, but {text:?} has bits set after its prefix of {prefix}"));
    }
    Ok(Network { address: address.into(), prefix })
}

/// As [`parse_network`] reads it.
pub fn network_text(network: &Network) -> String {
    format!("{}/{}", IpAddr::from(network.address), network.prefix)
}

/// `customer` or `cloud`.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Cloud => "cloud",
    }
}

/// The first 16 characters of a long id, for tables; `--json` has it whole.
pub fn short(id: &impl ToString) -> String {
    let text = id.to_string();
    match text.get(..16) {
        Some(start) if text.len() > 36 => format!("{start}…"),
        _ => text,
    }
}

/// Serde through `Display` and `FromStr`, for ids.
pub mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::fmt::Display;
    use std::str::FromStr;

    /// Writes what `Display` prints.
    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads what `Display` prints.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        for bad in ["30", "s", "h", "1d", "-1s", "1.5s", "+3s", "99999999999999999999s", "307445734561825861m"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_have_no_bits_after_their_prefix() {
        let network = parse_network("10.1.0.0/16").unwrap();
        assert_eq!((IpAddr::from(network.address).to_string(), network.prefix), ("10.1.0.0".to_owned(), 16));
        assert_eq!(parse_network("127.0.0.1").unwrap().prefix, 32);
        assert_eq!(parse_network("::1").unwrap().prefix, 128);
        assert_eq!(parse_network("0.0.0.0/0").unwrap().prefix, 0);
        assert_eq!(parse_network("::/0").unwrap().prefix, 0);
        for bad in ["10.1.0.1/16", "10.0.0.0/33", "::1/0", "fd00::1/8", "localhost", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(parse_network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_network_is_read_as_it_is_shown() {
        for text in ["10.1.0.0/16", "fd00::/8", "127.0.0.1/32"] {
            assert_eq!(network_text(&parse_network(text).unwrap()), text);
        }
    }

    #[test]
    fn json_is_the_same_and_cannot_fool_a_terminal() {
        let value = serde_json::json!({ "a": "x\u{9b}2J\u{7f}\u{202e}\u{1b}\né", "b": 1 });
        let shown = printable_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(shown.chars().all(|c| c == '\n' || !hides(c)) && shown.contains('é'), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn what_could_fool_a_terminal_is_replaced() {
        assert_eq!(
            printable("a\u{1b}[31mb\r\nc\u{200b}d\u{2066}é"),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}c\u{fffd}d\u{fffd}é"
        );
    }
}
