//! The enclave's own counters as Prometheus text. Names, labels and values come over the border, so nothing of them is
//! written that could break the text, add lines to it, or say one thing twice.

mod escape;
mod histogram;

use countersign_wire::host_link::{Counter, CounterValue};
use escape::{escaped, label_name, metric_name};
use histogram::Histogram;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

/// What every name starts with.
const PREFIX: &str = "countersign_enclave_";
/// Most lines of values. What an enclave of ours reports is far less.
const MAX_LINES: usize = 20_000;

/// The last report, sanitised.
#[derive(Debug, Default)]
pub struct EnclaveReport {
    metrics: BTreeMap<String, Metric>,
    /// Names of values that are taken: two metrics never share one.
    names: BTreeSet<String>,
    lines: usize,
}

#[derive(Debug)]
struct Metric {
    kind: Kind,
    values: BTreeMap<Labels, Value>,
}

/// In the order of their names, each name once.
type Labels = BTreeMap<String, String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug)]
enum Value {
    Number(u64),
    Histogram(Histogram),
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    /// What follows a metric's name in the names of its values.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Kind::Counter => &["_total"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
        }
    }
}

impl Value {
    fn lines(&self) -> usize {
        match self {
            Value::Number(_) => 1,
            Value::Histogram(histogram) => histogram.lines(),
        }
    }
}

impl EnclaveReport {
    /// Takes the counters over. Of two with one name and the same labels the later counts; of two kinds under one name,
    /// and of two metrics whose values would have the same name, the first.
    pub fn new(counters: &[Counter]) -> Self {
        let mut report = Self::default();
        for counter in counters {
            let (kind, value) = match &counter.value {
                CounterValue::Total(value) => (Kind::Counter, Value::Number(*value)),
                CounterValue::Gauge(value) => (Kind::Gauge, Value::Number(*value)),
                CounterValue::Histogram { buckets, count, sum_ms } => {
                    (Kind::Histogram, Value::Histogram(Histogram::new(buckets, *count, *sum_ms)))
                }
            };
            let mut name = metric_name(&counter.name);
            if kind == Kind::Counter && name.ends_with("_total") {
                name.truncate(name.len() - "_total".len());
            }
            let mut labels = Labels::new();
            for (name, value) in counter.labels.iter() {
                labels.entry(label_name(name)).or_insert_with(|| value.as_str().to_owned());
            }
            report.add(name, kind, labels, value);
        }
        report
    }

    fn add(&mut self, name: String, kind: Kind, labels: Labels, value: Value) {
        let lines = self.lines.saturating_add(value.lines());
        if lines > MAX_LINES {
            return;
        }
        if !self.metrics.contains_key(&name) {
            let mut names: Vec<String> = kind.suffixes().iter().map(|suffix| format!("{name}{suffix}")).collect();
            names.push(name.clone());
            if names.iter().any(|name| self.names.contains(name)) {
                return;
            }
            self.names.extend(names);
        }
        let metric = self.metrics.entry(name).or_insert_with(|| Metric { kind, values: BTreeMap::new() });
        if metric.kind == kind {
            self.lines = lines;
            metric.values.insert(labels, value);
        }
    }

    /// Appends the text.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn encode(&self, out: &mut String) -> fmt::Result {
        for (name, metric) in &self.metrics {
            writeln!(out, "# HELP {PREFIX}{name} Reported by the enclave.")?;
            writeln!(out, "# TYPE {PREFIX}{name} {}", metric.kind.as_str())?;
            for (labels, value) in &metric.values {
                let labels = text_of(labels)?;
                match value {
                    Value::Histogram(histogram) => histogram.encode(out, &format!("{PREFIX}{name}"), &labels)?,
                    Value::Number(value) => {
                        let suffix = metric.kind.suffixes().concat();
                        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
                        writeln!(out, "{PREFIX}{name}{suffix}{labels} {value}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// `name="value",…`
fn text_of(labels: &Labels) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for (name, value) in labels {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{name}=\"{}\"", escaped(value))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::{List, Text};

    fn counter(name: &str, labels: &[(&str, &str)], value: CounterValue) -> Counter {
        let labels = labels.iter().map(|(n, v)| (Text::new(*n).unwrap(), Text::new(*v).unwrap())).collect();
        Counter { name: Text::new(name).unwrap(), labels: List::new(labels).unwrap(), value }
    }

    fn histogram(buckets: &[(u32, u64)], count: u64, sum_ms: u64) -> CounterValue {
        CounterValue::Histogram { buckets: List::new(buckets.to_vec()).unwrap(), count, sum_ms }
    }

    fn text(counters: &[Counter]) -> String {
        let mut out = String::new();
        EnclaveReport::new(counters).encode(&mut out).unwrap();
        out
    }

    #[test]
    fn each_kind_is_written_in_its_form_and_grouped_by_name() {
        let text = text(&[
            counter("callbacks_total", &[("user", "u1"), ("result", "approved")], CounterValue::Total(3)),
            counter("keys", &[], CounterValue::Gauge(7)),
            counter("callback_seconds", &[("user", "u1")], histogram(&[(5, 2), (2500, 1)], 4, 62_005)),
            counter("callbacks_total", &[("result", "failed"), ("user", "u1")], CounterValue::Total(4)),
        ]);
        assert_eq!(
            text,
            "# HELP countersign_enclave_callback_seconds Reported by the enclave.\n\
             # TYPE countersign_enclave_callback_seconds histogram\n\
             countersign_enclave_callback_seconds_bucket{user=\"u1\",le=\"0.005\"} 2\n\
             countersign_enclave_callback_seconds_bucket{user=\"u1\",le=\"2.5\"} 3\n\
             countersign_enclave_callback_seconds_bucket{user=\"u1\",le=\"+Inf\"} 4\n\
             countersign_enclave_callback_seconds_sum{user=\"u1\"} 62.005\n\
             countersign_enclave_callback_seconds_count{user=\"u1\"} 4\n\
             # HELP countersign_enclave_callbacks Reported by the enclave.\n\
             # TYPE countersign_enclave_callbacks counter\n\
             countersign_enclave_callbacks_total{result=\"approved\",user=\"u1\"} 3\n\
             countersign_enclave_callbacks_total{result=\"failed\",user=\"u1\"} 4\n\
             # HELP countersign_enclave_keys Reported by the enclave.\n\
             # TYPE countersign_enclave_keys gauge\n\
             countersign_enclave_keys 7\n"
        );
    }

    #[test]
    fn names_and_values_cannot_break_the_text() {
        let labels = [("l\"", "a\"}\n# EOF\\"), ("__name__", "other"), ("l{", "again")];
        let text = text(&[counter("1 x\ny{", &labels, CounterValue::Gauge(1))]);
        assert_eq!(text.lines().count(), 3, "{text}");
        let line = "countersign_enclave__1_x_y_{l_=\"a\\\"}\\n# EOF\\\\\",label_name__=\"other\"} 1\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn a_label_cannot_pass_for_a_bound_of_a_histogram() {
        let text = text(&[counter("h", &[("le", "7")], histogram(&[(1000, 1)], 1, 500))]);
        assert!(text.contains("h_bucket{label_le=\"7\",le=\"1\"} 1\n"), "{text}");
    }

    #[test]
    fn no_value_is_written_twice() {
        let text = text(&[
            counter("a", &[], CounterValue::Total(1)),
            counter("a_total", &[], CounterValue::Gauge(2)),
            counter("a", &[], CounterValue::Gauge(3)),
            counter("h", &[], histogram(&[], 1, 1)),
            counter("h_count", &[], CounterValue::Gauge(4)),
            counter("g_sum", &[], CounterValue::Gauge(5)),
            counter("g", &[], histogram(&[], 1, 1)),
            counter("a", &[], CounterValue::Total(6)),
        ]);
        let mut names: Vec<&str> = text.lines().filter_map(|line| line.split_once(' ')).map(|(name, _)| name).collect();
        names.retain(|name| *name != "#");
        let distinct: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(distinct.len(), names.len(), "{text}");
        assert!(text.contains("countersign_enclave_a_total 6\n") && text.contains("_g_sum 5\n"), "{text}");
        assert_eq!(text.matches("# TYPE").count(), 3, "{text}");
    }

    #[test]
    fn a_report_has_so_many_lines_and_no_more() {
        let flood: Vec<Counter> =
            (0..MAX_LINES).map(|n| counter("h", &[("n", &n.to_string())], histogram(&[(1, 1); 16], 1, 1))).collect();
        let lines = text(&flood).lines().count();
        assert!((MAX_LINES / 2..=MAX_LINES + 2).contains(&lines), "{lines}");
    }
}
