//! The broker daemon on an enclave's parent machine. It stores sealed blobs, keeps one outbound WebSocket a pairing,
//! dials streams for the enclave and carries the admin channel. It knows no key, no policy and no token but the
//! short-lived access tokens of the links, and decides nothing: the enclave trusts it for availability alone.
//!
//! | where would I look for | module |
//! |---|---|
//! | what can be configured, and every default | [`config`] |
//! | starting and stopping | [`daemon`] |
//! | accepting the enclave's connections | `enclave_listener` |
//! | the control connection | `control` |
//! | sealed blobs on disk | `storage` |
//! | streams dialled for the enclave | `dial` |
//! | signatures for calls of the AWS key service | `aws` |
//! | the way through an HTTP proxy | `proxy` |
//! | WebSockets to workspaces | `links` |
//! | the socket for the operator's command line | `admin_socket` |
//! | how the host is, as the enclave is told | `health` |
//! | `/metrics` and `/healthz` | `http`, `metrics`, `enclave_report` |

pub mod config;
pub mod daemon;

mod activity;
mod admin_socket;
mod aws;
mod control;
mod dial;
mod enclave_listener;
mod enclave_report;
mod framing;
mod health;
mod http;
mod links;
mod lock;
mod metrics;
mod network;
mod open_files;
mod outbox;
mod proxy;
mod rate;
mod ready_file;
mod share;
mod socket_file;
mod storage;
mod stream;
