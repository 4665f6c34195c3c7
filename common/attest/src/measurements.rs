use crate::AttestationError;
use crate::document::{Document, Pcr};
use std::fmt;

/// The measurements of one image. PCR0 covers the whole image, PCR1 kernel and boot files, PCR2 the application, PCR8
/// the certificate that signed the image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measurements {
    /// The whole image.
    pub pcr0: Pcr,
    /// Kernel and boot ramdisk.
    pub pcr1: Pcr,
    /// Application.
    pub pcr2: Pcr,
    /// Signing certificate of the image; `None` does not check it.
    pub pcr8: Option<Pcr>,
}

const ZERO: Pcr = [0; 48];

impl Measurements {
    /// The measurements that a document reports, for showing or pinning them. A PCR8 of zeros (unsigned image) is `None`.
    /// Errors where PCR0, PCR1 or PCR2 is missing.
    pub fn of(document: &Document) -> Result<Self, AttestationError> {
        let get = |pcr: u8| {
            document.pcrs.get(&pcr).copied().ok_or(AttestationError::PcrMissing { pcr, expected: "a value".into() })
        };
        let pcr8 = document.pcrs.get(&8).copied().filter(|value| *value != ZERO);
        Ok(Self { pcr0: get(0)?, pcr1: get(1)?, pcr2: get(2)?, pcr8 })
    }

    fn checked(&self) -> impl Iterator<Item = (u8, &Pcr)> {
        [(0, &self.pcr0), (1, &self.pcr1), (2, &self.pcr2)].into_iter().chain(self.pcr8.iter().map(|value| (8, value)))
    }

    fn first_difference(&self, document: &Document) -> Option<(u8, &Pcr)> {
        self.checked().find(|(pcr, value)| document.pcrs.get(pcr) != Some(*value))
    }
}

impl fmt::Debug for Measurements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_map();
        for (pcr, value) in self.checked() {
            shown.entry(&format_args!("PCR{pcr}"), &format_args!("{}", hex::encode(value)));
        }
        shown.finish()
    }
}

/// Accepted measurements have to be real ones: there is at least one set, and no zeros in any.
pub(crate) fn check_accepted(accepted: &[Measurements]) -> Result<(), AttestationError> {
    if accepted.is_empty() {
        return Err(AttestationError::NoMeasurements);
    }
    match accepted.iter().flat_map(Measurements::checked).find(|(_, value)| **value == ZERO) {
        Some((pcr, _)) => Err(AttestationError::ZerosExpected { pcr }),
        None => Ok(()),
    }
}

/// The document's PCRs equal one of the accepted sets. The error names the PCR at which the best set differs.
pub(crate) fn check(document: &Document, accepted: &[Measurements]) -> Result<(), AttestationError> {
    check_accepted(accepted)?;
    if let Some(pcr) = [0u8, 1, 2].into_iter().find(|pcr| document.pcrs.get(pcr) == Some(&ZERO)) {
        return Err(AttestationError::DebugMode { pcr });
    }
    let mut best: Option<(u8, Vec<String>)> = None;
    for set in accepted {
        let Some((pcr, expected)) = set.first_difference(document) else {
            return Ok(());
        };
        let expected = hex::encode(expected);
        match &mut best {
            Some((best_pcr, values)) if *best_pcr == pcr => values.push(expected),
            Some((best_pcr, _)) if *best_pcr > pcr => {}
            _ => best = Some((pcr, vec![expected])),
        }
    }
    let (pcr, values) = best.ok_or(AttestationError::NoMeasurements)?;
    let expected = values.join(" or ");
    Err(match document.pcrs.get(&pcr) {
        Some(got) => AttestationError::PcrMismatch { pcr, expected, got: hex::encode(got) },
        None => AttestationError::PcrMissing { pcr, expected },
    })
}
