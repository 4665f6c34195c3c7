//! Which handlers make sense. The enclave decides what it accepts; a mistake that shows here shows before anybody is asked
//! for a passphrase.

use crate::failure::Failure;
use countersign_wire::command::{Handler, HandlerTls, RetrySchedule};
use countersign_wire::limits::MAX_RETRY_SERIES_S;

/// Refuses what contradicts itself.
pub fn check(handler: &Handler) -> Result<(), Failure> {
    if !handler.url.starts_with("https://") && !handler.url.starts_with("http://") {
        return Err(Failure::usage("--callback-url: expected https://…", "give the handler's base URL"));
    }
    let Some(mode) = handler.mode() else {
        return Err(Failure::usage(
            "neither key nor pin nor certificate authority: nothing would say that it is the handler who answers",
            "give --callback-key (its public key), --callback-pin or --callback-pin-certificate, or --callback-ca; or a key \
             together with one of the others",
        ));
    };
    if !mode.has_tokens() && handler.dated_requests {
        return Err(without_tokens(
            "--callback-dated-requests: requests without a key are plain JSON and carry no dates",
        ));
    }
    if !mode.has_tokens() && handler.own_request_key {
        return Err(without_tokens("--callback-own-request-key: requests without a key are plain JSON and not signed"));
    }
    if let [first, second] = &*handler.keys
        && first == second
    {
        return Err(Failure::usage("--callback-key: the same key is given twice", "give it once"));
    }
    if let HandlerTls::Pinned(pins) = &handler.tls
        && let [first, second] = &**pins
        && first == second
    {
        return Err(Failure::usage("--callback-pin: the same pin is given twice", "give it once"));
    }
    check_retry(handler.retry)
}

fn without_tokens(message: &str) -> Failure {
    Failure::usage(message, "give --callback-key, too, or leave it away")
}

fn check_retry(retry: RetrySchedule) -> Result<(), Failure> {
    let whole = u64::from(retry.every_s) * u64::from(retry.times);
    if whole > MAX_RETRY_SERIES_S {
        return Err(Failure::usage(
            format!(
                "the handler would be asked again every {} s, {} times: {whole} s in all, at most {MAX_RETRY_SERIES_S} s (48 \
                 hours) are allowed",
                retry.every_s, retry.times
            ),
            "give a shorter --callback-retry-every or fewer --callback-retry-times",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::{Bytes, List, Text};

    fn handler(keys: &[u8], tls: HandlerTls) -> Handler {
        let keys = keys.iter().map(|k| Bytes::new([*k; 4]).unwrap()).collect();
        Handler {
            url: Text::new("https://h.example").unwrap(),
            keys: List::new(keys).unwrap(),
            tls,
            networks: List::default(),
            deadline_ms: 30_000,
            retry: RetrySchedule::default(),
            dated_requests: false,
            own_request_key: false,
        }
    }

    fn pinned(pins: &[u8]) -> HandlerTls {
        HandlerTls::Pinned(List::new(pins.iter().map(|p| [*p; 32]).collect()).unwrap())
    }

    fn root() -> HandlerTls {
        HandlerTls::Root(Bytes::new([9; 4]).unwrap())
    }

    #[test]
    fn all_five_modes_make_sense() {
        for good in [
            handler(&[1], HandlerTls::PublicRoots),
            handler(&[], pinned(&[1])),
            handler(&[], root()),
            handler(&[1, 2], pinned(&[1, 2])),
            handler(&[1], root()),
        ] {
            assert_eq!(check(&good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let tokens = handler(&[1], HandlerTls::PublicRoots);
        let json = handler(&[], root());
        let retry = |every_s, times| Handler { retry: RetrySchedule { every_s, times }, ..tokens.clone() };
        assert_eq!(check(&retry(3_600, 48)), Ok(()));
        for bad in [
            handler(&[], HandlerTls::PublicRoots),
            Handler { url: Text::new("ftp://h").unwrap(), ..tokens.clone() },
            Handler { dated_requests: true, ..json.clone() },
            Handler { own_request_key: true, ..json },
            handler(&[1, 1], HandlerTls::PublicRoots),
            handler(&[], pinned(&[1, 1])),
            retry(3_600, 49),
            retry(30, 5_761),
        ] {
            assert!(matches!(check(&bad), Err(Failure::Usage { .. })), "{bad:?}");
        }
    }
}
