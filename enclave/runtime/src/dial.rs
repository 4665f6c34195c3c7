//! Opens a stream to somewhere else: the host resolves and dials, the enclave checks every address before it is dialled
//! (threats T28, T29).

use crate::exchange::{Progress, Step};
use crate::frames::{LinkError, read_message, write_message};
use crate::limits::MAX_DIAL_ATTEMPTS;
use crate::transport::{Capped, Transport, connect};
use cosigner_core::{AddressRule, ExchangeFailure};
use countersign_wire::Text;
use countersign_wire::dial::{DialAnswer, DialRequest, DialStep};
use countersign_wire::host_link::Opening;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// Where to, and how long it may take.
pub(crate) struct Destination<'a> {
    /// A name or a literal address.
    pub(crate) host: &'a str,
    /// TCP port.
    pub(crate) port: u16,
    /// Which addresses may be dialled.
    pub(crate) rule: &'a AddressRule,
    /// Until when. Whoever set it watches over it.
    pub(crate) deadline: Instant,
}

/// Opens a stream, and says to which address. Tries the allowed addresses in order, at most [`MAX_DIAL_ATTEMPTS`]; each
/// but the last gets its part of the time that is left.
///
/// # Errors
/// [`ExchangeFailure`]: `Dns`, `AddressDenied`, `Connect` or `Unavailable`.
pub(crate) async fn dial<T: Transport>(
    transport: &T,
    destination: &Destination<'_>,
    progress: &mut Progress,
) -> Result<(Capped<T::Stream>, IpAddr), ExchangeFailure> {
    let Destination { host, port, rule, deadline } = *destination;
    let (addresses, resolver) = match literal_address(host) {
        Some(address) => (vec![address], None),
        None => {
            progress.begin(Step::Resolve);
            let mut stream = open(transport).await?;
            (resolve(&mut stream, host).await?, Some(stream))
        }
    };
    let mut addresses = allowed(host, addresses, rule)?;
    addresses.truncate(MAX_DIAL_ATTEMPTS);
    progress.begin(Step::Connect);

    // The first attempt goes over the connection that resolved the name; a failed attempt ends its connection.
    let mut ready = resolver;
    let mut failure = ExchangeFailure::Connect("no attempt was made".into());
    for (attempt, address) in addresses.iter().enumerate() {
        let attempts_left = addresses.len().saturating_sub(attempt);
        let (mut stream, is_new) = match ready.take() {
            Some(stream) => (stream, false),
            None => (open(transport).await?, true),
        };
        let asked = async {
            if is_new && literal_address(host).is_none() {
                // The host picks the way out by the name that it heard on the same stream. Its answer is not looked at:
                // the addresses are those that were checked.
                resolve(&mut stream, host).await.map_err(|error| ExchangeFailure::Connect(error.to_string()))?;
            }
            ask_to_connect(&mut stream, *address, port).await
        };
        let answer = match attempts_left {
            // The last one may use all the time that is left.
            1 => asked.await,
            _ => timeout_at(share_of(deadline, attempts_left), asked)
                .await
                .unwrap_or_else(|_| Err(ExchangeFailure::Connect(format!("{address} port {port} does not answer")))),
        };
        match answer {
            Ok(()) => return Ok((stream, *address)),
            Err(ExchangeFailure::Connect(reason)) => failure = ExchangeFailure::Connect(reason),
            Err(other) => return Err(other),
        }
    }
    Err(failure)
}

/// The address, if `host` is one: IPv4, or IPv6 with or without brackets.
pub(crate) fn literal_address(host: &str) -> Option<IpAddr> {
    let plain = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    plain.parse().ok()
}

fn share_of(deadline: Instant, attempts_left: usize) -> Instant {
    let now = Instant::now();
    let parts = u32::try_from(attempts_left.max(1)).unwrap_or(u32::MAX);
    let share = deadline.saturating_duration_since(now).checked_div(parts).unwrap_or(Duration::ZERO);
    now.checked_add(share).unwrap_or(deadline)
}

/// The addresses that may be dialled, each once, in the order in which they came.
fn allowed(host: &str, addresses: Vec<IpAddr>, rule: &AddressRule) -> Result<Vec<IpAddr>, ExchangeFailure> {
    let mut good = Vec::new();
    let mut denied = Vec::new();
    for address in addresses {
        if !rule.allows(address) {
            denied.push(address.to_string());
        } else if !good.contains(&address) {
            good.push(address);
        }
    }
    match (good.is_empty(), denied.is_empty()) {
        (false, _) => Ok(good),
        (true, true) => Err(ExchangeFailure::Dns(format!("{host} has no address"))),
        (true, false) => Err(ExchangeFailure::AddressDenied(denied.join(", "))),
    }
}

async fn open<T: Transport>(transport: &T) -> Result<Capped<T::Stream>, ExchangeFailure> {
    let mut stream = connect(transport).await.map_err(|error| lost(&error.into()))?;
    write_message(&mut stream, &Opening::Dial).await.map_err(|error| lost(&error))?;
    Ok(stream)
}

async fn resolve(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
) -> Result<Vec<IpAddr>, ExchangeFailure> {
    let name = Text::new(host).map_err(|error| ExchangeFailure::Dns(format!("not a DNS name: {error}")))?;
    match ask(stream, &DialRequest::Resolve { name }).await? {
        DialAnswer::Resolved { addresses } => Ok(addresses.iter().map(|address| IpAddr::from(*address)).collect()),
        DialAnswer::Failed { step, detail } => Err(failed(step, &detail)),
        DialAnswer::Connected => Err(ExchangeFailure::Unavailable("the host answered Connected to Resolve".into())),
    }
}

async fn ask_to_connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    address: IpAddr,
    port: u16,
) -> Result<(), ExchangeFailure> {
    match ask(stream, &DialRequest::Connect { address: address.into(), port }).await? {
        DialAnswer::Connected => Ok(()),
        DialAnswer::Failed { step, detail } => Err(failed(step, &format!("{address} port {port}: {detail}"))),
        DialAnswer::Resolved { .. } => {
            Err(ExchangeFailure::Unavailable("the host answered Resolved to Connect".into()))
        }
    }
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &DialRequest,
) -> Result<DialAnswer, ExchangeFailure> {
    write_message(stream, request).await.map_err(|error| lost(&error))?;
    stream.flush().await.map_err(|error| lost(&error.into()))?;
    read_message(stream).await.map_err(|error| lost(&error))
}

fn failed(step: DialStep, detail: &str) -> ExchangeFailure {
    // The host chose these words: nothing in them may look like another line of a log.
    let detail = detail.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match step {
        DialStep::Resolve => ExchangeFailure::Dns(detail),
        DialStep::Connect => ExchangeFailure::Connect(detail),
        DialStep::Limit => ExchangeFailure::Unavailable(detail),
    }
}

fn lost(error: &LinkError) -> ExchangeFailure {
    ExchangeFailure::Unavailable(format!("the host does not dial: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::command::Network;
    use countersign_wire::dial::Address;

    #[test]
    fn literal_addresses_are_not_names() {
        assert_eq!(literal_address("192.0.2.7"), Some(IpAddr::from([192, 0, 2, 7])));
        assert_eq!(literal_address("[2001:db8::1]"), literal_address("2001:db8::1"));
        for name in ["example.com", "127.1", "0x7f000001", "[::1", "2130706433"] {
            assert_eq!(literal_address(name), None, "{name}");
        }
    }

    #[test]
    fn t28_what_the_rule_denies_is_left_out_and_named() {
        let loopback = Network { address: Address::V4([127, 0, 0, 0]), prefix: 8 };
        let rule = AddressRule { networks: vec![loopback] };
        let local = IpAddr::from([127, 0, 0, 1]);
        let metadata = IpAddr::from([169, 254, 169, 254]);
        assert_eq!(allowed("a", vec![metadata, local, local], &rule), Ok(vec![local]));
        assert_eq!(allowed("a", vec![metadata], &rule), Err(ExchangeFailure::AddressDenied("169.254.169.254".into())));
        assert!(matches!(allowed("a", vec![], &rule), Err(ExchangeFailure::Dns(_))));
    }

    #[test]
    fn the_hosts_words_cannot_break_a_log_line() {
        assert_eq!(failed(DialStep::Resolve, "no\nERROR x"), ExchangeFailure::Dns("no ERROR x".into()));
    }
}
