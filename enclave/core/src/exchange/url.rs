//! Base URLs that operators give: `https://host[:port][/path]`, and nothing else that URLs can be.

use countersign_wire::limits::MAX_URL_BYTES;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An `https` base URL, parsed strictly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsUrl {
    /// Host name in lower case, or a literal address without brackets.
    pub host: String,
    /// The address, where the host is a literal one.
    pub literal: Option<IpAddr>,
    /// TCP port; 443 unless given.
    pub port: u16,
    /// Path without a trailing slash; empty for the root.
    pub path: String,
}

/// Why a text is not such a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Longer than allowed.
    #[error("expected a URL of at most {MAX_URL_BYTES} bytes")]
    TooLong,
    /// Another scheme.
    #[error("expected a URL that begins with https://")]
    Scheme,
    /// A user name or password.
    #[error("a URL with user information is not allowed")]
    UserInfo,
    /// A query or a fragment.
    #[error("a URL with a query or a fragment is not allowed")]
    QueryOrFragment,
    /// A host that is neither a DNS name nor a literal address in its usual form.
    #[error("expected a host name, an IPv4 address such as 192.0.2.1, or an IPv6 address in brackets")]
    Host,
    /// A port that is not 1 to 65535.
    #[error("expected a port from 1 to 65535")]
    Port,
    /// A path with other characters than RFC 3986 allows, or with dot segments.
    #[error("expected a path of the characters that RFC 3986 allows, without dot segments")]
    Path,
}

impl HttpsUrl {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        let (scheme, rest) = text.split_at_checked("https://".len()).ok_or(UrlError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("https://") {
            return Err(UrlError::Scheme);
        }
        let (authority, path) = match rest.find(['/', '?', '#', '\\']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        if path.contains(['?', '#']) {
            return Err(UrlError::QueryOrFragment);
        }
        if !is_path(path) {
            return Err(UrlError::Path);
        }
        let (host, literal, port) = split_authority(authority)?;
        Ok(Self { host, literal, port, path: path.trim_end_matches('/').to_owned() })
    }

    /// The base's path with `path`, which begins with a slash, behind it.
    pub fn path_to(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }
}

fn split_authority(authority: &str) -> Result<(String, Option<IpAddr>, u16), UrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(UrlError::Host)?;
        let address: Ipv6Addr = inside.parse().map_err(|_| UrlError::Host)?;
        let port = match after {
            "" => 443,
            after => port(after.strip_prefix(':').ok_or(UrlError::Host)?)?,
        };
        return Ok((address.to_string(), Some(address.into()), port));
    }
    let (name, port) = match authority.split_once(':') {
        Some((name, digits)) => (name, port(digits)?),
        None => (authority, 443),
    };
    let (host, literal) = named_host(name)?;
    Ok((host, literal, port))
}

fn port(digits: &str) -> Result<u16, UrlError> {
    let port = digits.parse::<u16>().ok().filter(|p| *p != 0 && p.to_string() == digits);
    port.ok_or(UrlError::Port)
}

/// A DNS name, or an IPv4 address in dotted decimal. Other spellings of addresses, which resolvers know, are refused.
fn named_host(name: &str) -> Result<(String, Option<IpAddr>), UrlError> {
    let name = name.to_ascii_lowercase();
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok((address.to_string(), Some(address.into())));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    if name.len() > 253 || numeric || !name.split('.').all(is_label) {
        return Err(UrlError::Host);
    }
    Ok((name, None))
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// RFC 3986, section 3.3, without dot segments, which servers resolve differently.
fn is_path(path: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
    let dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    let escapes = path
        .split('%')
        .skip(1)
        .all(|after| after.get(..2).is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())));
    (path.is_empty() || path.starts_with('/')) && path.bytes().all(allowed) && !path.split('/').any(dots) && escapes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_taken_apart() {
        for (text, host, port, path) in [
            ("https://handler.example", "handler.example", 443, ""),
            ("https://handler.example/", "handler.example", 443, ""),
            ("HTTPS://Handler.Example:8443/a/b/", "handler.example", 8443, "/a/b"),
            ("https://localhost:9000", "localhost", 9000, ""),
            ("https://192.0.2.1/x", "192.0.2.1", 443, "/x"),
            ("https://[2001:DB8::1]:444/%7Ea", "2001:db8::1", 444, "/%7Ea"),
        ] {
            let url = HttpsUrl::parse(text).unwrap();
            assert_eq!((url.host.as_str(), url.port, url.path.as_str()), (host, port, path), "{text}");
            assert_eq!(url.literal, host.parse().ok(), "{text}");
        }
        let url = HttpsUrl::parse("https://h.example/base/").unwrap();
        assert_eq!(url.path_to("/v2/tx_sign_request"), "/base/v2/tx_sign_request");
    }

    #[test]
    fn t28_user_information_and_other_schemes_are_refused() {
        for text in
            ["https://user@h.example", "https://u:p@h.example/", "https://public.example@127.0.0.1/", "https://@h"]
        {
            assert_eq!(HttpsUrl::parse(text), Err(UrlError::UserInfo), "{text}");
        }
        for text in [
            "http://h.example",
            "ftp://h.example",
            "h.example",
            "",
            "https:/h.example",
            "//h.example",
            " https://h",
            "https:\\\\h",
        ] {
            assert_eq!(HttpsUrl::parse(text), Err(UrlError::Scheme), "{text}");
        }
    }

    #[test]
    fn t28_other_spellings_of_addresses_are_refused() {
        for host in [
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "127.1",
            "0177.0.0.1",
            "127.0.0.01",
            "127.0.0.1.",
            "1.2.3.4.5",
            "[::1",
            "::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "",
        ] {
            let parsed = HttpsUrl::parse(&format!("https://{host}/"));
            assert!(matches!(parsed, Err(UrlError::Host | UrlError::Port)), "{host}: {parsed:?}");
        }
    }

    #[test]
    fn hosts_and_ports_are_plain() {
        for host in
            ["a..b", ".a", "a.", "-a.b", "a-.b", "a b", "ä.example", "a%41", "a,b", &"a".repeat(64), &"a.".repeat(127)]
        {
            assert_eq!(HttpsUrl::parse(&format!("https://{host}")), Err(UrlError::Host), "{host}");
        }
        for port in ["0", "65536", "", "08443", "+1", "1a"] {
            assert_eq!(HttpsUrl::parse(&format!("https://h.example:{port}/")), Err(UrlError::Port), "{port}");
        }
    }

    #[test]
    fn paths_have_no_query_no_fragment_and_no_dot_segments() {
        for tail in ["?a", "/a?b=c", "#f", "/a#f", "/?"] {
            assert_eq!(HttpsUrl::parse(&format!("https://h.example{tail}")), Err(UrlError::QueryOrFragment), "{tail}");
        }
        for tail in [
            "/a b",
            "/a\r\nX: y",
            "/../a",
            "/a/./b",
            "/%2e%2E/a",
            "/%",
            "/%2",
            "/%zz",
            "\\a",
            "/a\\b",
            "/é",
            "/\"",
            "/a\u{0}",
        ] {
            assert_eq!(HttpsUrl::parse(&format!("https://h.example{tail}")), Err(UrlError::Path), "{tail:?}");
        }
        let long = format!("https://h.example/{}", "a".repeat(MAX_URL_BYTES));
        assert_eq!(HttpsUrl::parse(&long), Err(UrlError::TooLong));
    }
}
