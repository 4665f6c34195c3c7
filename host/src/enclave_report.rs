//! The enclave's own counters as Prometheus text. Names, labels and values come over the border, so nothing of them is
//! written that could break the text or add lines to it.

use countersign_wire::host_link::Counter;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// What every name starts with.
const PREFIX: &str = "countersign_enclave_";

/// The last report, sanitised. How much it can be is limited by the protocol.
#[derive(Debug, Default)]
pub struct EnclaveReport(BTreeMap<String, Metric>);

#[derive(Debug)]
struct Metric {
    monotonic: bool,
    values: BTreeMap<Option<(String, String)>, u64>,
}

impl EnclaveReport {
    /// Takes the counters over. Of two with one name and label the later counts; of two kinds under one name the first.
    pub fn new(counters: &[Counter]) -> Self {
        let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
        for counter in counters {
            let mut name = identifier(&counter.name);
            if counter.monotonic && name.ends_with("_total") {
                name.truncate(name.len() - "_total".len());
            }
            let label = counter.label.as_ref().map(|(name, value)| (identifier(name), value.as_str().to_owned()));
            let metric =
                metrics.entry(name).or_insert_with(|| Metric { monotonic: counter.monotonic, values: BTreeMap::new() });
            if metric.monotonic == counter.monotonic {
                metric.values.insert(label, counter.value);
            }
        }
        Self(metrics)
    }

    /// Appends the text.
    pub fn encode(&self, out: &mut String) -> fmt::Result {
        for (name, metric) in &self.0 {
            let (kind, suffix) = if metric.monotonic { ("counter", "_total") } else { ("gauge", "") };
            writeln!(out, "# HELP {PREFIX}{name} Reported by the enclave.")?;
            writeln!(out, "# TYPE {PREFIX}{name} {kind}")?;
            for (label, value) in &metric.values {
                write!(out, "{PREFIX}{name}{suffix}")?;
                if let Some((label, text)) = label {
                    write!(out, "{{{label}=\"{}\"}}", escaped(text))?;
                }
                writeln!(out, " {value}")?;
            }
        }
        Ok(())
    }
}

/// Letters, digits and underscores, not starting with a digit.
fn identifier(text: &str) -> String {
    let mut name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    name
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push('_'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::Text;

    fn counter(name: &str, label: Option<(&str, &str)>, value: u64, monotonic: bool) -> Counter {
        let label = label.map(|(n, v)| (Text::new(n).unwrap(), Text::new(v).unwrap()));
        Counter { name: Text::new(name).unwrap(), label, value, monotonic }
    }

    fn text(counters: &[Counter]) -> String {
        let mut out = String::new();
        EnclaveReport::new(counters).encode(&mut out).unwrap();
        out
    }

    #[test]
    fn counters_and_gauges_are_grouped_by_name() {
        let text = text(&[
            counter("signed_total", Some(("algorithm", "ecdsa")), 3, true),
            counter("keys", None, 7, false),
            counter("signed_total", Some(("algorithm", "eddsa")), 4, true),
        ]);
        assert_eq!(
            text,
            "# HELP countersign_enclave_keys Reported by the enclave.\n\
             # TYPE countersign_enclave_keys gauge\n\
             countersign_enclave_keys 7\n\
             # HELP countersign_enclave_signed Reported by the enclave.\n\
             # TYPE countersign_enclave_signed counter\n\
             countersign_enclave_signed_total{algorithm=\"ecdsa\"} 3\n\
             countersign_enclave_signed_total{algorithm=\"eddsa\"} 4\n"
        );
    }

    #[test]
    fn names_and_values_cannot_break_the_text() {
        let text = text(&[counter("1 x\ny{", Some(("l\"", "a\"}\n# EOF\\")), 1, false)]);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.ends_with("countersign_enclave__1_x_y_{l_=\"a\\\"}\\n# EOF\\\\\"} 1\n"), "{text}");
    }
}
