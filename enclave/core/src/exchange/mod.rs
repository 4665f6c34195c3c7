//! What the core itself decides about HTTPS exchanges: where one may go.

pub mod address;
pub mod url;
