//! Secret material as opaque bytes. It can be stored and handed to a machine; nothing prints it or copies it silently.

use std::fmt;
use zeroize::Zeroizing;

macro_rules! secret_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(Zeroizing<Vec<u8>>);

        impl $name {
            /// Wraps bytes that came from [`Self::expose`]. They are checked where they are used.
            pub fn from_vec(bytes: Vec<u8>) -> Self {
                Self(Zeroizing::new(bytes))
            }

            pub(crate) fn from_zeroizing(bytes: Zeroizing<Vec<u8>>) -> Self {
                Self(bytes)
            }

            /// The bytes, to be sealed.
            pub fn expose(&self) -> &[u8] {
                &self.0
            }

            /// A second copy: a plan owns its material, and a share serves many sessions.
            pub fn duplicate(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(<redacted>)"))
            }
        }
    };
}

secret_bytes! {
    /// Four safe primes of one party, for the auxiliary information of one signing group.
    Primes
}
secret_bytes! {
    /// One party's share of a key, with the public part of the key.
    KeyShareBytes
}
secret_bytes! {
    /// One party's auxiliary information of a signing group: its Paillier key, and all parties' public parameters.
    AuxInfoBytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_holds_no_secret() {
        let share = KeyShareBytes::from_vec(vec![0xAB; 4]);
        assert_eq!(format!("{share:?}"), "KeyShareBytes(<redacted>)");
        assert_eq!(share.duplicate().expose(), share.expose());
    }
}
