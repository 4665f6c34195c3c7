//! What tests of real enclave images share. The images run in QEMU's nitro-enclave machine, with its Nitro Security Module
//! and vsock; `tests/run` builds emulator and images before.

mod admin;
mod measured;
mod unpacked;

pub use admin::{Answer, knock};
pub use measured::measured;
pub use unpacked::unpacked;
