//! A distribution of times in Prometheus form: cumulative, in seconds, and consistent whatever was reported.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// A histogram that adds up.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds in milliseconds, and how many were at most that.
    cumulative: Vec<(u32, u64)>,
    count: u64,
    sum_ms: u64,
}

impl Histogram {
    /// Of how many were at most each bound and above the one before. Bounds in another order are put in order; all are
    /// at least as many as those in buckets.
    pub fn new(buckets: &[(u32, u64)], count: u64, sum_ms: u64) -> Self {
        let mut by_bound: BTreeMap<u32, u64> = BTreeMap::new();
        for (bound, count) in buckets {
            let all = by_bound.entry(*bound).or_default();
            *all = all.saturating_add(*count);
        }
        let mut sum = 0u64;
        let cumulative: Vec<(u32, u64)> = by_bound
            .into_iter()
            .map(|(bound, count)| {
                sum = sum.saturating_add(count);
                (bound, sum)
            })
            .collect();
        Self { cumulative, count: count.max(sum), sum_ms }
    }

    /// How many lines it takes.
    pub fn lines(&self) -> usize {
        self.cumulative.len().saturating_add(3)
    }

    /// Appends its lines. `labels` are those of all of them, `name="value"` with commas in between.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn encode(&self, out: &mut String, name: &str, labels: &str) -> fmt::Result {
        let (before_le, all) = match labels {
            "" => (String::new(), String::new()),
            labels => (format!("{labels},"), format!("{{{labels}}}")),
        };
        for (bound, count) in &self.cumulative {
            writeln!(out, "{name}_bucket{{{before_le}le=\"{}\"}} {count}", seconds((*bound).into()))?;
        }
        writeln!(out, "{name}_bucket{{{before_le}le=\"+Inf\"}} {}", self.count)?;
        writeln!(out, "{name}_sum{all} {}", seconds(self.sum_ms))?;
        writeln!(out, "{name}_count{all} {}", self.count)
    }
}

/// Milliseconds as seconds, without zeros at the end.
fn seconds(ms: u64) -> String {
    let (whole, rest) = (ms / 1000, ms % 1000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}").trim_end_matches('0').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(buckets: &[(u32, u64)], count: u64) -> String {
        let mut out = String::new();
        Histogram::new(buckets, count, 1500).encode(&mut out, "h", "").unwrap();
        out
    }

    #[test]
    fn buckets_are_cumulative_whatever_their_order() {
        let expected = "h_bucket{le=\"0.01\"} 5\nh_bucket{le=\"1\"} 7\nh_bucket{le=\"+Inf\"} 9\nh_sum 1.5\nh_count 9\n";
        assert_eq!(text(&[(10, 5), (1000, 2)], 9), expected);
        assert_eq!(text(&[(1000, 1), (10, 5), (1000, 1)], 9), expected);
    }

    #[test]
    fn all_are_never_fewer_than_those_in_buckets() {
        assert!(text(&[(10, u64::MAX), (20, 5)], 1).ends_with(&format!("h_count {}\n", u64::MAX)));
        assert!(text(&[], 0).starts_with("h_bucket{le=\"+Inf\"} 0\n"));
    }

    #[test]
    fn milliseconds_are_written_as_seconds() {
        for (ms, text) in [(0, "0"), (5, "0.005"), (250, "0.25"), (1000, "1"), (62_005, "62.005"), (30_000, "30")] {
            assert_eq!(seconds(ms), text);
        }
    }
}
