//! A whole Countersign system on one machine, of real processes: a workspace, co-signers of an enclave process and a host
//! process each, callback handlers. For the quickstart and for end-to-end tests.

pub mod asking;
pub mod certificates;
pub mod client;
pub mod cosigner;
pub mod emulator;
pub mod error;
pub mod ethereum;
pub mod files;
pub mod group;
pub mod handler;
pub mod keys;
pub mod member;
pub mod process;
pub mod processes;
pub mod programs;
pub mod sockets;
pub mod stack;
pub mod system;
pub mod wait;
pub mod workspace;

pub use asking::Ask;
pub use client::{ApiError, Client};
pub use error::StackError;
pub use stack::{Approval, Material, Options, Pairing, Stack};
pub use system::{Setup, System};
