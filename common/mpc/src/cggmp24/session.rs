//! What the scheme is told as its execution id: a hash of the caller's id and of everything that selects what is run. Two
//! parties that do not mean exactly the same cannot complete a protocol with each other.

use crate::failure::Failure;
use crate::plan::ExecutionId;
use borsh::BorshSerialize;
use countersign_wire::key::DerivationPath;
use countersign_wire::message::digest_of;

#[derive(BorshSerialize)]
pub(crate) enum Session<'a> {
    AuxInfo { parties: u16 },
    Keygen { parties: u16, threshold: u16 },
    Sign { key: &'a [u8; 32], aux: &'a [u8; 32], signers: &'a [u16], path: &'a DerivationPath, digest: &'a [u8; 32] },
}

impl Session<'_> {
    pub(crate) fn id(&self, execution: ExecutionId) -> Result<[u8; 32], Failure> {
        let encoding = borsh::to_vec(&(execution.0, self)).map_err(|e| Failure::internal(e.to_string()))?;
        Ok(digest_of("countersign/mpc-session", &encoding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t14_every_field_changes_the_execution_id_that_the_scheme_sees() {
        let path = |index| DerivationPath::new(vec![44, index]).unwrap();
        let (here, there) = (path(0), path(1));
        let sign = |key, aux, signers, path, digest| Session::Sign { key, aux, signers, path, digest };
        let (zero, one) = ([0; 32], [1; 32]);
        let sessions = [
            Session::AuxInfo { parties: 2 },
            Session::AuxInfo { parties: 3 },
            Session::Keygen { parties: 3, threshold: 2 },
            Session::Keygen { parties: 3, threshold: 3 },
            sign(&zero, &zero, &[0, 1], &here, &zero),
            sign(&one, &zero, &[0, 1], &here, &zero),
            sign(&zero, &one, &[0, 1], &here, &zero),
            sign(&zero, &zero, &[0, 2], &here, &zero),
            sign(&zero, &zero, &[0, 1], &there, &zero),
            sign(&zero, &zero, &[0, 1], &here, &one),
        ];
        let ids: std::collections::BTreeSet<[u8; 32]> = sessions
            .iter()
            .flat_map(|session| [0, 1].map(|fill| session.id(ExecutionId([fill; 32])).unwrap()))
            .collect();
        assert_eq!(ids.len(), 2 * sessions.len());
    }
}
