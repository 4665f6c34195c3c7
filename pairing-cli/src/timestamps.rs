//! Unix times in milliseconds, as people read them (UTC).

use std::time::{SystemTime, UNIX_EPOCH};

/// This machine's time, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `2025-01-06 16:07:05Z`. Years after 9999 are shown as milliseconds.
pub fn utc(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, in_day) = (seconds / 86_400, seconds % 86_400);
    if days > 2_932_896 {
        return format!("{ms} ms");
    }
    // Days to date, Gregorian, counted from 1 March of year 0 so that leap days come last.
    let from_zero = days + 719_468;
    let (era, day_of_era) = (from_zero / 146_097, from_zero % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", in_day / 3600, in_day / 60 % 60, in_day % 60)
}

/// `2025-01-06`.
pub fn date(ms: u64) -> String {
    let whole = utc(ms);
    match whole.split_once(' ') {
        Some((date, time)) if time != "ms" => date.to_owned(),
        _ => whole,
    }
}

/// A measured time in microseconds as milliseconds: `1.2 ms`.
pub fn millis(us: u32) -> String {
    let tenths = (u64::from(us) + 50) / 100;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

/// `3 d 4 h`, `5 min`, `12 s`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        assert_eq!(utc(0), "1970-01-01 00:00:00Z");
        assert_eq!(utc(951_782_399_999), "2000-02-28 23:59:59Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(utc(1_736_179_625_000), "2025-01-06 16:07:05Z");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01 00:00:00Z");
        assert_eq!(utc(253_402_300_799_000), "9999-12-31 23:59:59Z");
        assert_eq!(utc(u64::MAX), format!("{} ms", u64::MAX));
    }

    #[test]
    fn a_date_is_the_day_alone() {
        assert_eq!(date(1_736_179_625_000), "2025-01-06");
        assert_eq!(date(u64::MAX), format!("{} ms", u64::MAX));
    }

    #[test]
    fn measured_times_have_one_decimal() {
        let shown: Vec<String> = [0, 49, 50, 1_234, 12_000, 30_149_960].into_iter().map(millis).collect();
        assert_eq!(shown, ["0.0 ms", "0.0 ms", "0.1 ms", "1.2 ms", "12.0 ms", "30150.0 ms"]);
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(span(12_345), "12 s");
        assert_eq!(span(300_000), "5 min");
        assert_eq!(span(3 * 86_400_000 + 4 * 3_600_000), "3 d 4 h");
    }
}
