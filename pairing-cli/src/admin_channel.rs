//! The connection: frames on a Unix socket, inside them the attested end-to-end channel, inside it one request at a time.
//! What the socket's other side could do is stop; everything has a deadline.

use crate::attested::{self, Demand};
use crate::failure::Failure;
use countersign_attest::TrustAnchor;
use countersign_channel::admin::{AdminChannel, AdminInitiator};
use countersign_channel::{ChannelError, DocumentVerifier};
use countersign_wire::admin::{AdminPacket, AdminRequest, AdminResponse};
use countersign_wire::{Bytes, Message, frame};
use rand_core::OsRng;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Time to connect.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Time for the enclave's half of the handshake, attestation included.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(20);
/// Time to hand over one request.
pub const SEND_DEADLINE: Duration = Duration::from_secs(20);
/// Packets of one answer; its 1 MiB fits into 17.
const MAX_PACKETS: usize = 64;

/// An open channel to an enclave whose document was accepted.
pub struct Connection {
    stream: UnixStream,
    channel: AdminChannel,
    response_deadline: Duration,
}

impl Connection {
    /// Connects to `socket` and has the enclave prove itself.
    pub async fn open(
        socket: &Path,
        anchor: &TrustAnchor,
        demand: &Demand<'_>,
        response_deadline: Duration,
    ) -> Result<Self, Failure> {
        let mut stream = connect(socket).await?;
        let handshake = handshake(&mut stream, demand);
        let deadline = HANDSHAKE_DEADLINE.min(response_deadline);
        let channel = timeout(deadline, handshake)
            .await
            .map_err(|_| silent("the attested handshake", deadline, BOOTING))?
            .map_err(|problem| problem.into_failure(anchor))?;
        Ok(Self { stream, channel, response_deadline })
    }

    /// What the enclave proved.
    pub fn proved(&self) -> &AdminChannel {
        &self.channel
    }

    /// Asks one thing. A refusal is a [`Failure`].
    pub async fn ask(&mut self, request: &AdminRequest) -> Result<AdminResponse, Failure> {
        let encoded = Zeroizing::new(request.encode());
        if encoded.len() > AdminRequest::MAX_BYTES {
            return Err(Failure::usage(
                format!("the request has {} bytes, at most {} fit", encoded.len(), AdminRequest::MAX_BYTES),
                "give fewer or smaller certificates and keys at once",
            ));
        }
        let packets = self.channel.transport.seal(&encoded).map_err(|e| Problem::from(e).into_failure_unattested())?;
        let sending = async {
            for (counter, sealed) in packets {
                let sealed = Bytes::new(sealed).map_err(|e| Problem::Protocol(e.to_string()))?;
                write_packet(&mut self.stream, &AdminPacket::Data { counter, sealed }).await?;
            }
            Ok::<(), Problem>(())
        };
        let sent = timeout(SEND_DEADLINE.min(self.response_deadline), sending).await;
        sent.map_err(|_| silent("the request to be taken", SEND_DEADLINE, REPEAT))?
            .map_err(Problem::into_failure_unattested)?;
        let answer = timeout(self.response_deadline, self.read_response()).await;
        match answer.map_err(|_| silent("an answer", self.response_deadline, REPEAT))? {
            Ok(AdminResponse::Refused(refusal)) => Err(Failure::Refused(refusal)),
            Ok(response) => Ok(response),
            Err(problem) => Err(problem.into_failure_unattested()),
        }
    }

    async fn read_response(&mut self) -> Result<AdminResponse, Problem> {
        for _ in 0..MAX_PACKETS {
            let AdminPacket::Data { counter, sealed } = read_packet(&mut self.stream).await? else {
                return Err(Problem::Protocol("expected a sealed answer, got a handshake message".to_owned()));
            };
            if let Some(plain) = self.channel.transport.open(counter, &sealed)? {
                return AdminResponse::decode(&plain).map_err(|e| Problem::Protocol(e.to_string()));
            }
        }
        Err(Problem::Protocol(format!("expected an answer in at most {MAX_PACKETS} packets")))
    }
}

/// Whether anybody listens at `socket`. Nothing is said.
pub async fn check_listens(socket: &Path) -> Result<(), Failure> {
    connect(socket).await.map(drop)
}

async fn connect(socket: &Path) -> Result<UnixStream, Failure> {
    let cannot = |reason: String| Failure::Connect { socket: socket.to_owned(), reason };
    timeout(CONNECT_DEADLINE, UnixStream::connect(socket))
        .await
        .map_err(|_| cannot(format!("no connection within {} s", CONNECT_DEADLINE.as_secs())))?
        .map_err(|e| cannot(e.to_string()))
}

/// The failure for an answer of another kind than the question.
pub fn unexpected(expected: &str) -> Failure {
    Failure::no_answer(
        format!("expected {expected}, got an answer to another question"),
        "this command and the co-signer may be of different versions",
    )
}

async fn handshake(stream: &mut UnixStream, verifier: &dyn DocumentVerifier) -> Result<AdminChannel, Problem> {
    let (mut initiator, message1) = AdminInitiator::start(&mut OsRng)?;
    let noise = Bytes::new(message1).map_err(|e| Problem::Protocol(e.to_string()))?;
    write_packet(stream, &AdminPacket::Handshake1 { noise }).await?;
    let AdminPacket::Handshake2 { instance, noise } = read_packet(stream).await? else {
        return Err(Problem::Protocol("expected the second handshake message, got another packet".to_owned()));
    };
    let channel = initiator.finish(&noise, verifier)?;
    if channel.instance != instance {
        return Err(Problem::Channel(ChannelError::Binding {
            field: "instance",
            expected: channel.instance.to_string(),
            got: instance.to_string(),
        }));
    }
    Ok(channel)
}

async fn write_packet(stream: &mut UnixStream, packet: &AdminPacket) -> Result<(), Problem> {
    let payload = packet.encode();
    let header = frame::header(payload.len()).map_err(|e| Problem::Protocol(e.to_string()))?;
    stream.write_all(&header).await.map_err(Problem::Io)?;
    stream.write_all(&payload).await.map_err(Problem::Io)?;
    stream.flush().await.map_err(Problem::Io)
}

async fn read_packet(stream: &mut UnixStream) -> Result<AdminPacket, Problem> {
    let mut header = [0u8; frame::HEADER_BYTES];
    stream.read_exact(&mut header).await.map_err(Problem::Io)?;
    let len = frame::payload_len(&header).map_err(|e| Problem::Protocol(e.to_string()))?;
    if len > AdminPacket::MAX_BYTES {
        let max = AdminPacket::MAX_BYTES;
        return Err(Problem::Protocol(format!("expected a packet of at most {max} bytes, got {len}")));
    }
    let mut payload = vec![0u8; len];
    stream.read_exact(&mut payload).await.map_err(Problem::Io)?;
    AdminPacket::decode(&payload).map_err(|e| Problem::Protocol(e.to_string()))
}

/// What went wrong on the way.
#[derive(Debug)]
enum Problem {
    Io(std::io::Error),
    Protocol(String),
    Channel(ChannelError),
}

impl From<ChannelError> for Problem {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

impl Problem {
    fn into_failure(self, anchor: &TrustAnchor) -> Failure {
        match self {
            Self::Channel(ChannelError::Document(error)) => attested::refused(&error, anchor),
            other => other.into_failure_unattested(),
        }
    }

    fn into_failure_unattested(self) -> Failure {
        const SOCKET: &str = "check that --socket names the admin socket of a cosigner-host whose enclave is up, of the \
            same version. An enclave that has just started takes a few seconds; one that ends says why in the log of its host";
        match self {
            Self::Io(error) => Failure::no_answer(format!("the connection was closed: {error}"), SOCKET),
            Self::Protocol(detail) => {
                Failure::no_answer(format!("the other side speaks something else: {detail}"), SOCKET)
            }
            Self::Channel(error) => Failure::untrusted(
                format!("the admin channel does not hold: {error}"),
                "something between this machine and the enclave alters, repeats or answers messages: try again; if this \
                 repeats, do not use this host",
            ),
        }
    }
}

/// What to do where nothing was sent yet.
const BOOTING: &str = "look at the log of the co-signer's host, where an enclave that ends says why: it does not answer before it opened its \
     sealed state";
/// What to do where a command may have been carried out.
const REPEAT: &str = "look at the log of the co-signer's host; before you repeat a command, see with `cosigner get-status` \
    whether it was carried out";

fn silent(what: &str, deadline: Duration, hint: &str) -> Failure {
    Failure::no_answer(format!("waited {} s for {what}", deadline.as_secs_f32()), hint)
}
