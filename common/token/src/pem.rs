//! PEM (RFC 7468): one block, one label, nothing after it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;
use zeroize::Zeroizing;

/// The bytes of the only block, which must have this label. Text before the block is allowed (RFC 7468, section 2).
pub(crate) fn decode(text: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut lines = text.lines().map(str::trim_end).skip_while(|line| !line.starts_with("-----BEGIN "));
    if lines.next() != Some(begin.as_str()) {
        return None;
    }
    let mut body = Zeroizing::new(String::new());
    for line in lines.by_ref() {
        if line == end {
            return lines.all(str::is_empty).then(|| STANDARD.decode(body.as_bytes()).ok().map(Zeroizing::new))?;
        }
        body.push_str(line);
    }
    None
}

/// One block in lines of 64 characters.
pub(crate) fn encode(bytes: &[u8], label: &str) -> String {
    let body = STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII: every index is a character border.
        let (line, more) = rest.split_at(rest.len().min(64));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
        rest = more;
    }
    let _ = writeln!(text, "-----END {label}-----");
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_block_round_trips_and_other_texts_are_none() {
        let bytes: Vec<u8> = (0..200).collect();
        let text = encode(&bytes, "PUBLIC KEY");
        assert!(text.lines().all(|l| l.len() <= 64));
        assert_eq!(*decode(&text, "PUBLIC KEY").unwrap(), bytes);
        assert_eq!(*decode(&format!("a comment\n{}\n\n", text.replace('\n', "\r\n")), "PUBLIC KEY").unwrap(), bytes);
        assert!(decode(&text, "PRIVATE KEY").is_none());
        assert!(decode(&format!("{text}{text}"), "PUBLIC KEY").is_none(), "two blocks");
        assert!(decode(text.trim_end().trim_end_matches('-'), "PUBLIC KEY").is_none(), "no end");
        assert!(decode("", "PUBLIC KEY").is_none());
    }
}
