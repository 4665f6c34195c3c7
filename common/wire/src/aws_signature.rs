//! A call of the AWS key service is signed by the host, which owns the credentials: the enclave opens a connection with
//! [`crate::host_link::Opening::SignAwsCall`], says what it calls, and gets the headers that prove who calls (AWS Signature
//! Version 4). The call itself goes over a stream of its own, in TLS that ends inside the enclave; the host sees the hash
//! of its body.

use crate::limits::MAX_DETAIL_BYTES;
use crate::{Text, message};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// What is called: `POST /`, signed over the headers `content-type`, `host`, `x-amz-target`, and those of the answer.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AwsCall {
    /// The region that the signature is for.
    pub region: Text<32>,
    /// The service's host name.
    pub host: Text<128>,
    /// `Content-Type`.
    pub content_type: Text<64>,
    /// `X-Amz-Target`: the operation.
    pub target: Text<64>,
    /// SHA-256 of the body.
    pub body_sha256: [u8; 32],
}

message!(AwsCall, "countersign/aws-call", 1, 512);

/// From the host.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AwsSignature {
    /// Exactly these headers are added.
    Headers {
        /// `Authorization`.
        authorization: Text<1024>,
        /// `X-Amz-Date`.
        date: Text<32>,
        /// `X-Amz-Security-Token`; empty where the credentials have none.
        security_token: Text<8192>,
    },
    /// The host has no credentials, or they could not be read.
    Failed {
        /// Why.
        detail: Text<MAX_DETAIL_BYTES>,
    },
}

message!(AwsSignature, "countersign/aws-signature", 1, 10 * 1024);

impl fmt::Debug for AwsSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Headers { .. } => f.write_str("Headers(<redacted>)"),
            Self::Failed { detail } => f.debug_struct("Failed").field("detail", detail).finish(),
        }
    }
}
