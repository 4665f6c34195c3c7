use crate::warn;
use anyhow::{Context, Result, anyhow};
use cosigner_dev::{WithTestAuxInfo, test_primes};
use cosigner_enclave::exchange::PublicRoots;
use countersign_mpc::{Cggmp24, Primes, Scheme};
use std::sync::Arc;

/// Whose numbers and authorities are taken; says so where they are not the co-signer's own.
pub struct Material {
    /// Safe primes, instead of own ones.
    pub given_primes: Option<Primes>,
    /// The threshold scheme.
    pub scheme: Arc<dyn Scheme>,
    /// The authorities that count as public.
    pub public_roots: PublicRoots,
}

impl Material {
    /// The committed primes of this number, the committed auxiliary information, one more authority (PEM), as asked for.
    pub fn new(test_primes: Option<usize>, test_aux_info: bool, public_root: Option<&[u8]>) -> Result<Self> {
        Ok(Self {
            given_primes: test_primes.map(primes).transpose()?,
            scheme: scheme(test_aux_info),
            public_roots: public_roots(public_root)?,
        })
    }
}

fn primes(index: usize) -> Result<Primes> {
    warn("COMMITTED TEST PRIMES: everybody knows them, so keys made with them are nobody's secret");
    test_primes(index).context("the number of the test primes")
}

fn scheme(test_aux_info: bool) -> Arc<dyn Scheme> {
    if !test_aux_info {
        return Arc::new(Cggmp24);
    }
    warn("COMMITTED AUXILIARY INFORMATION: everybody knows it, so keys of groups of three are nobody's secret");
    Arc::new(WithTestAuxInfo(Cggmp24))
}

fn public_roots(more: Option<&[u8]>) -> Result<PublicRoots> {
    let Some(pem) = more else { return Ok(PublicRoots::default()) };
    warn("A PRIVATE AUTHORITY counts as a public one: whoever has its key can pass for any callback handler");
    PublicRoots::default().and(pem).map_err(|why| anyhow!("the public root: {why}"))
}
