//! What an operator must know who names a sealing key: whoever may edit its policy owns what it seals.

use crate::console::Console;
use crate::text_forms::printable;

/// Says whose key it is, where its name tells: `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
pub fn tell(console: &Console, sealing_key: &str) {
    let mut parts = sealing_key.split(':');
    if let (Some("arn"), Some(account)) = (parts.next(), parts.nth(3)) {
        console.note(&format!(
            "sealing key {} is of AWS account {}: whoever administers it owns the shares. Name it as its administrator told \
             you, not as the co-signer's host does",
            printable(sealing_key),
            printable(account)
        ));
    }
}
