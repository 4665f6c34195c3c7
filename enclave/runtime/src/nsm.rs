//! The Nitro Security Module: attestation documents, randomness, time and measurements of this enclave.

use crate::clock::ReadClock;
use crate::entropy::ReadEntropy;
use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Request, Response};
use aws_nitro_enclaves_nsm_api::driver::{nsm_exit, nsm_init, nsm_process_request};
use cosigner_core::Attestor;
use countersign_attest::parse_unverified;
use countersign_channel::AttestorError;
use countersign_wire::command::Measurements;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;
use zeroize::Zeroizing;

const DEVICE: &str = "/dev/nsm";
const KERNEL_POOL: &str = "/dev/random";
/// Answers of the module that go into the kernel's pool.
const KERNEL_POOL_SEEDS: usize = 4;

type Pcr = [u8; 48];

/// The security module did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NsmError {
    /// There is none.
    #[error("there is no Nitro Security Module ({DEVICE}): this program runs only inside an enclave")]
    NoDevice,
    /// It refused.
    #[error("the security module refused {request}: {code:?}")]
    Refused {
        /// What it was asked for.
        request: &'static str,
        /// What it said.
        code: ErrorCode,
    },
    /// Its answer belongs to another request, or has another size.
    #[error("the security module, asked for {request}: expected {expected}, got something else")]
    Answer {
        /// What it was asked for.
        request: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// The kernel's pool took nothing.
    #[error("{KERNEL_POOL}: {0}")]
    KernelPool(#[from] std::io::Error),
    /// The enclave's memory can be read from outside.
    #[error("PCR{0} is all zero: the enclave runs in debug mode, in which this program does not start")]
    DebugMode(u8),
}

/// An open security module. Clones share it.
#[derive(Clone)]
pub struct Nsm(Arc<Device>);

struct Device(i32);

impl Drop for Device {
    fn drop(&mut self) {
        nsm_exit(self.0);
    }
}

impl Nsm {
    /// Opens the device.
    ///
    /// # Errors
    /// [`NsmError::NoDevice`] outside an enclave.
    pub fn open() -> Result<Self, NsmError> {
        match nsm_init() {
            descriptor if descriptor >= 0 => Ok(Self(Arc::new(Device(descriptor)))),
            _ => Err(NsmError::NoDevice),
        }
    }

    fn ask(&self, request: Request) -> Response {
        nsm_process_request(self.0.0, request)
    }

    /// Measurements of this enclave.
    ///
    /// # Errors
    /// [`NsmError::DebugMode`] if the enclave is in debug mode.
    pub fn measurements(&self) -> Result<Measurements, NsmError> {
        let pcr = |index: u16| pcr_of(self.ask(Request::DescribePCR { index }));
        measurements(pcr(0)?, pcr(1)?, pcr(2)?, pcr(8)?)
    }

    /// Mixes the module's randomness into the kernel's pool, from which the TLS library draws.
    ///
    /// # Errors
    /// The module gave none, or the kernel took none.
    pub fn feed_kernel_pool(&self) -> Result<(), NsmError> {
        let mut pool = OpenOptions::new().write(true).open(KERNEL_POOL)?;
        for _ in 0..KERNEL_POOL_SEEDS {
            let random = random_of(self.ask(Request::GetRandom))?;
            pool.write_all(&random)?;
        }
        Ok(())
    }

    fn attest(&self, nonce: &[u8], user_data: &[u8], public_key: &[u8]) -> Result<Vec<u8>, NsmError> {
        let field = |value: &[u8]| (!value.is_empty()).then(|| value.to_vec().into());
        document_of(self.ask(Request::Attestation {
            user_data: field(user_data),
            nonce: field(nonce),
            public_key: field(public_key),
        }))
    }
}

impl Attestor for Nsm {
    fn document(&mut self, nonce: &[u8], user_data: &[u8], public_key: &[u8]) -> Result<Vec<u8>, AttestorError> {
        self.attest(nonce, user_data, public_key).map_err(|error| AttestorError { detail: error.to_string() })
    }
}

impl ReadClock for Nsm {
    fn unix_ms(&mut self) -> Result<u64, String> {
        let document = self.attest(&[], &[], &[]).map_err(|error| error.to_string())?;
        // It came from our own device, through our own kernel: a signature could not add to that.
        let document = parse_unverified(&document).map_err(|error| error.to_string())?;
        Ok(document.for_display().timestamp_ms)
    }
}

impl ReadEntropy for Nsm {
    fn seed(&mut self) -> Result<Zeroizing<[u8; 32]>, String> {
        let random = random_of(self.ask(Request::GetRandom)).map_err(|error| error.to_string())?;
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(random.first_chunk::<32>().ok_or("fewer than 32 random bytes")?);
        Ok(seed)
    }
}

fn random_of(response: Response) -> Result<Zeroizing<Vec<u8>>, NsmError> {
    const REQUEST: &str = "random bytes";
    match response {
        Response::GetRandom { random } if random.len() >= 32 => Ok(Zeroizing::new(random)),
        Response::Error(code) => Err(NsmError::Refused { request: REQUEST, code }),
        _ => Err(NsmError::Answer { request: REQUEST, expected: "at least 32 bytes" }),
    }
}

fn pcr_of(response: Response) -> Result<Pcr, NsmError> {
    const REQUEST: &str = "a PCR";
    let wrong = NsmError::Answer { request: REQUEST, expected: "48 bytes" };
    match response {
        Response::DescribePCR { data, .. } => Pcr::try_from(data).map_err(|_| wrong),
        Response::Error(code) => Err(NsmError::Refused { request: REQUEST, code }),
        _ => Err(wrong),
    }
}

fn document_of(response: Response) -> Result<Vec<u8>, NsmError> {
    const REQUEST: &str = "an attestation document";
    match response {
        Response::Attestation { document } => Ok(document),
        Response::Error(code) => Err(NsmError::Refused { request: REQUEST, code }),
        _ => Err(NsmError::Answer { request: REQUEST, expected: "a document" }),
    }
}

fn measurements(pcr0: Pcr, pcr1: Pcr, pcr2: Pcr, pcr8: Pcr) -> Result<Measurements, NsmError> {
    const ZERO: Pcr = [0; 48];
    if let Some(index) = [(0, pcr0), (1, pcr1), (2, pcr2)].iter().find(|(_, pcr)| *pcr == ZERO).map(|(index, _)| *index)
    {
        return Err(NsmError::DebugMode(index));
    }
    Ok(Measurements { pcr0, pcr1, pcr2, pcr8: (pcr8 != ZERO).then_some(pcr8) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn t38_an_enclave_in_debug_mode_does_not_start() {
        let one = [1; 48];
        let zero = [0; 48];
        assert!(matches!(measurements(zero, zero, zero, zero), Err(NsmError::DebugMode(0))));
        assert!(matches!(measurements(one, one, zero, one), Err(NsmError::DebugMode(2))));
        assert_eq!(measurements(one, one, one, zero).unwrap().pcr8, None);
        assert_eq!(measurements(one, one, one, one).unwrap().pcr8, Some(one));
    }

    #[test]
    fn t44_few_random_bytes_are_none() {
        assert!(matches!(random_of(Response::GetRandom { random: vec![7; 31] }), Err(NsmError::Answer { .. })));
        assert!(matches!(random_of(Response::Error(ErrorCode::InternalError)), Err(NsmError::Refused { .. })));
        assert!(matches!(random_of(Response::LockPCR), Err(NsmError::Answer { .. })));
        assert!(random_of(Response::GetRandom { random: vec![7; 32] }).is_ok());
    }

    #[test]
    fn an_answer_to_something_else_is_an_error() {
        assert!(matches!(pcr_of(Response::LockPCR), Err(NsmError::Answer { .. })));
        assert!(matches!(
            pcr_of(Response::DescribePCR { lock: true, data: vec![1; 47] }),
            Err(NsmError::Answer { .. })
        ));
        assert_eq!(pcr_of(Response::DescribePCR { lock: true, data: vec![1; 48] }).unwrap(), [1; 48]);
        assert!(matches!(document_of(Response::LockPCR), Err(NsmError::Answer { .. })));
    }

    #[test]
    fn outside_an_enclave_there_is_no_module() {
        if !std::path::Path::new(DEVICE).exists() {
            assert!(matches!(Nsm::open(), Err(NsmError::NoDevice)));
        }
    }
}
