//! The flags that say what a callback handler is: the same for `add-user` and `callback set` and `callback update`.

use super::fit;
use super::handler_rules;
use crate::failure::Failure;
use crate::text_forms::{parse_duration, parse_network};
use crate::{certificate, pem};
use countersign_wire::command::{Handler, HandlerTls, Network, RetrySchedule};
use countersign_wire::limits::{
    MAX_ACTIVE_KEYS, MAX_DER_BYTES, MAX_HANDLER_DEADLINE_MS, MAX_NETWORKS, MAX_RETRY_EVERY_S, MAX_URL_BYTES,
    MIN_HANDLER_DEADLINE_MS, MIN_RETRY_EVERY_S,
};
use countersign_wire::{Bytes, List, Text};
use std::path::PathBuf;
use std::time::Duration;

/// Whole time for one call where no flag says another, in milliseconds.
const DEFAULT_DEADLINE_MS: u32 = 30_000;

/// Flags of a callback handler.
#[derive(clap::Args, Debug, Default)]
pub struct HandlerFlags {
    /// Base URL of the callback handler that approves
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// The handler's public key (PEM): RSA of 2048 bits or more, or P-256; twice while it changes, the newest last. Without
    /// one requests and answers are plain JSON
    #[arg(long, value_name = "FILE")]
    callback_key: Vec<PathBuf>,
    /// The only certificate authority to trust for the handler (PEM), instead of the public ones
    #[arg(long, value_name = "FILE")]
    callback_ca: Option<PathBuf>,
    /// SHA-256 of the public key (SubjectPublicKeyInfo) of the only certificate to trust for the handler; twice while it
    /// changes, the newest last
    #[arg(long, value_name = "HEX", value_parser = parse_pin)]
    callback_pin: Vec<Pin>,
    /// The same, taken from the handler's certificate (PEM); pins from certificates come after those in hexadecimal digits
    #[arg(long, value_name = "FILE")]
    callback_pin_certificate: Vec<PathBuf>,
    /// A non-public network in which the handler may be; repeatable
    #[arg(long, value_name = "CIDR", value_parser = parse_network)]
    callback_network: Vec<Network>,
    /// Whole time for one call of the handler, 1s to 2m [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = callback_timeout)]
    callback_timeout: Option<Duration>,
    /// How long after a RETRY the handler is asked again, 30s to 1h [default: 3m]
    #[arg(long, value_name = "TIME", value_parser = retry_every)]
    callback_retry_every: Option<u32>,
    /// How often it is asked again, 48 hours in all at most [default: 20]
    #[arg(long, value_name = "COUNT")]
    callback_retry_times: Option<u16>,
    /// Put `iat`, `nbf`, `exp` and `jti` into requests, for handlers that check them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    callback_dated_requests: Option<bool>,
    /// Sign requests with a key of this API user alone, instead of the one of the whole pairing
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    callback_own_request_key: Option<bool>,
}

/// SHA-256 of a SubjectPublicKeyInfo.
pub type Pin = [u8; 32];

/// 64 hexadecimal digits, in either case.
pub fn parse_pin(text: &str) -> Result<Pin, String> {
    let expected = "expected 64 hexadecimal digits: SHA-256 of the certificate's SubjectPublicKeyInfo (DER)";
    let bytes = hex::decode(text).map_err(|_| expected.to_owned())?;
    bytes.try_into().map_err(|_| expected.to_owned())
}

fn callback_timeout(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    let bounds = MIN_HANDLER_DEADLINE_MS..=MAX_HANDLER_DEADLINE_MS;
    if u32::try_from(duration.as_millis()).is_ok_and(|ms| bounds.contains(&ms)) {
        Ok(duration)
    } else {
        Err("expected 1s to 2m".to_owned())
    }
}

fn retry_every(text: &str) -> Result<u32, String> {
    let duration = parse_duration(text)?;
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let whole = duration.subsec_millis() == 0;
    if whole && (MIN_RETRY_EVERY_S..=MAX_RETRY_EVERY_S).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("expected whole seconds, 30s to 1h".to_owned())
    }
}

/// What the flags say, with the files that they name read.
pub struct Given {
    url: Option<Text<MAX_URL_BYTES>>,
    keys: Option<List<Bytes<MAX_DER_BYTES>, MAX_ACTIVE_KEYS>>,
    tls: Option<HandlerTls>,
    networks: Option<List<Network, MAX_NETWORKS>>,
    deadline_ms: Option<u32>,
    retry_every_s: Option<u32>,
    retry_times: Option<u16>,
    dated_requests: Option<bool>,
    own_request_key: Option<bool>,
}

impl Given {
    /// `before`, with what the flags say instead of what it says about the same.
    pub fn over(self, before: &Handler) -> Result<Handler, Failure> {
        let before = before.clone();
        let handler = Handler {
            url: self.url.unwrap_or(before.url),
            keys: self.keys.unwrap_or(before.keys),
            tls: self.tls.unwrap_or(before.tls),
            networks: self.networks.unwrap_or(before.networks),
            deadline_ms: self.deadline_ms.unwrap_or(before.deadline_ms),
            retry: RetrySchedule {
                every_s: self.retry_every_s.unwrap_or(before.retry.every_s),
                times: self.retry_times.unwrap_or(before.retry.times),
            },
            dated_requests: self.dated_requests.unwrap_or(before.dated_requests),
            own_request_key: self.own_request_key.unwrap_or(before.own_request_key),
        };
        handler_rules::check(&handler)?;
        Ok(handler)
    }
}

impl HandlerFlags {
    /// Whether no flag says anything.
    pub fn is_empty(&self) -> bool {
        let Self { callback_url, callback_key, callback_ca, callback_pin, callback_pin_certificate, .. } = self;
        let Self { callback_network, callback_timeout, callback_retry_every, callback_retry_times, .. } = self;
        let Self { callback_dated_requests, callback_own_request_key, .. } = self;
        callback_url.is_none()
            && callback_key.is_empty()
            && callback_ca.is_none()
            && callback_pin.is_empty()
            && callback_pin_certificate.is_empty()
            && callback_network.is_empty()
            && callback_timeout.is_none()
            && callback_retry_every.is_none()
            && callback_retry_times.is_none()
            && callback_dated_requests.is_none()
            && callback_own_request_key.is_none()
    }

    /// The handler that the flags describe as a whole; `None` where they describe none.
    pub fn whole(&self) -> Result<Option<Handler>, Failure> {
        if self.is_empty() {
            return Ok(None);
        }
        let given = self.read()?;
        if given.url.is_none() {
            return Err(Failure::usage("a handler is described without its URL", "give --callback-url, too"));
        }
        let nothing_yet = Handler {
            url: Text::default(),
            keys: List::default(),
            tls: HandlerTls::PublicRoots,
            networks: List::default(),
            deadline_ms: DEFAULT_DEADLINE_MS,
            retry: RetrySchedule::default(),
            dated_requests: false,
            own_request_key: false,
        };
        given.over(&nothing_yet).map(Some)
    }

    /// Reads the files, and refuses what contradicts itself whatever the handler was before.
    pub fn read(&self) -> Result<Given, Failure> {
        let url = self.callback_url.clone().map(|url| fit(Text::new(url), "--callback-url")).transpose()?;
        let mut keys = Vec::new();
        for file in &self.callback_key {
            keys.push(fit(Bytes::new(pem::read_public_key(file, "--callback-key")?), "--callback-key")?);
        }
        Ok(Given {
            url,
            keys: if keys.is_empty() { None } else { Some(at_most_two(keys, "--callback-key")?) },
            tls: self.tls()?,
            networks: match self.callback_network.as_slice() {
                [] => None,
                networks => Some(fit(List::new(networks.to_vec()), "--callback-network")?),
            },
            // At most two minutes, as the flag's parser says.
            deadline_ms: self.callback_timeout.map(|t| u32::try_from(t.as_millis()).unwrap_or(u32::MAX)),
            retry_every_s: self.callback_retry_every,
            retry_times: self.callback_retry_times,
            dated_requests: self.callback_dated_requests,
            own_request_key: self.callback_own_request_key,
        })
    }

    fn tls(&self) -> Result<Option<HandlerTls>, Failure> {
        let mut pins = self.callback_pin.clone();
        for file in &self.callback_pin_certificate {
            pins.push(certificate::pin_of_file(file, "--callback-pin-certificate")?);
        }
        match (&self.callback_ca, pins.is_empty()) {
            (Some(_), false) => Err(Failure::usage(
                "--callback-ca and a pin are given: TLS trusts either a certificate authority or pinned certificates",
                "give --callback-ca alone, or --callback-pin (--callback-pin-certificate) alone",
            )),
            (Some(file), true) => {
                let root = pem::read_certificate(file, "--callback-ca")?;
                Ok(Some(HandlerTls::Root(fit(Bytes::new(root), "--callback-ca")?)))
            }
            (None, false) => Ok(Some(HandlerTls::Pinned(at_most_two(pins, "--callback-pin")?))),
            (None, true) => Ok(None),
        }
    }
}

fn at_most_two<T>(items: Vec<T>, flag: &str) -> Result<List<T, MAX_ACTIVE_KEYS>, Failure> {
    List::new(items).map_err(|e| {
        Failure::usage(
            format!("{flag}: {e}"),
            format!("at most {MAX_ACTIVE_KEYS} are active at once: the present one and the next"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_timeout_has_bounds() {
        assert_eq!(callback_timeout("30s"), Ok(Duration::from_secs(30)));
        assert!(callback_timeout("0s").is_err() && callback_timeout("121s").is_err());
    }

    #[test]
    fn a_retry_comes_after_whole_seconds_within_bounds() {
        assert_eq!((retry_every("30s"), retry_every("1h")), (Ok(30), Ok(3600)));
        for bad in ["29s", "3601s", "30500ms", "2h"] {
            assert!(retry_every(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pin_is_64_hexadecimal_digits() {
        assert_eq!(parse_pin(&"aB".repeat(32)), Ok([0xab; 32]));
        for bad in ["", "ab", &"ab".repeat(33), &"zz".repeat(32)] {
            assert!(parse_pin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flag_alone_describes_something() {
        assert!(HandlerFlags::default().is_empty());
        let one = HandlerFlags { callback_own_request_key: Some(false), ..HandlerFlags::default() };
        assert!(!one.is_empty() && one.whole().is_err());
    }
}
