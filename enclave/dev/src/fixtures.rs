use crate::DevError;
use countersign_mpc::{AuxInfoBytes, Primes};

/// See `fixtures/README.md`.
const PRIMES: [&[u8]; 6] = [
    include_bytes!("../fixtures/primes-0.cbor"),
    include_bytes!("../fixtures/primes-1.cbor"),
    include_bytes!("../fixtures/primes-2.cbor"),
    include_bytes!("../fixtures/primes-3.cbor"),
    include_bytes!("../fixtures/primes-4.cbor"),
    include_bytes!("../fixtures/primes-5.cbor"),
];
const AUX_INFO: [&[u8]; 3] = [
    include_bytes!("../fixtures/aux-3-0.cbor"),
    include_bytes!("../fixtures/aux-3-1.cbor"),
    include_bytes!("../fixtures/aux-3-2.cbor"),
];

/// Committed safe primes number `index`, from 0 to 5. Everybody knows them: whatever is made with them is no secret.
pub fn test_primes(index: usize) -> Result<Primes, DevError> {
    Ok(Primes::from_vec(fixture("test primes", &PRIMES, index)?))
}

/// Committed auxiliary information of party `index`, from 0 to 2, of one group of three that used the primes 0 to 2.
/// Everybody knows it, too.
pub fn test_aux_info(index: usize) -> Result<AuxInfoBytes, DevError> {
    Ok(AuxInfoBytes::from_vec(fixture("test auxiliary information", &AUX_INFO, index)?))
}

fn fixture(what: &'static str, all: &[&[u8]], index: usize) -> Result<Vec<u8>, DevError> {
    match all.get(index) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => Err(DevError::NoFixture { what, count: all.len(), index }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_mpc::public::aux_commitment;
    use std::collections::BTreeSet;

    #[test]
    fn the_auxiliary_information_is_that_of_one_group() {
        let commitments: BTreeSet<[u8; 32]> =
            (0..3).map(|index| aux_commitment(&test_aux_info(index).unwrap()).unwrap()).collect();
        assert_eq!(commitments.len(), 1);
        assert!(matches!(test_aux_info(3), Err(DevError::NoFixture { count: 3, index: 3, .. })));
    }

    #[test]
    fn each_party_has_other_primes() {
        let primes: BTreeSet<Vec<u8>> = (0..6).map(|index| test_primes(index).unwrap().expose().to_vec()).collect();
        assert_eq!(primes.len(), 6);
        assert!(matches!(test_primes(6), Err(DevError::NoFixture { count: 6, index: 6, .. })));
    }
}
