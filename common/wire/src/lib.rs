//! Types and codec of every message that crosses a border of a Countersign system.
//!
//! No I/O, no async, no clock. Everything is encoded with Borsh, whose encoding is canonical: one value has exactly
//! one encoding, so that what is hashed or signed is unambiguous. Every top-level message starts with a version byte
//! and has a named size limit that is checked before anything is allocated.
//!
//! | border | module |
//! |---|---|
//! | enclave and its own host, over vsock or a Unix socket | [`frame`], [`host_link`], [`dial`], [`aws_signature`] |
//! | host and workspace, over the outbound WebSocket | [`relay`] |
//! | co-signer and workspace, inside the relay | [`ceremony`], [`transaction`], [`callback`], [`agreement`] |
//! | co-signer and co-signer, inside the relay | [`peer`] |
//! | operator's CLI and enclave, through the host's admin socket | [`admin`], [`command`], [`status`] |
//! | enclave and the workspace's pairing endpoints, over HTTPS | [`pairing_http`] |

pub mod admin;
pub mod agreement;
pub mod aws_signature;
pub mod bounded;
pub mod callback;
pub mod ceremony;
pub mod certificate;
pub mod command;
pub mod dial;
pub mod evm;
pub mod frame;
pub mod group;
pub mod host_link;
pub mod ids;
pub mod key;
pub mod limits;
pub mod message;
pub mod pairing_http;
pub mod peer;
pub mod refusal;
pub mod relay;
pub mod signed;
pub mod status;
pub mod transaction;

pub use bounded::{Bytes, List, OutOfBounds, Text};
pub use message::{DecodeError, Message};
pub use signed::{SignatureError, Signed, SigningIdentity};
