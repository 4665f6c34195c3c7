use countersign_attest::Measurements;
use countersign_stack::emulator::Image;
use serde_json::Value;

/// What `deploy/image/build` says that an image measures.
///
/// # Errors
/// The file is not there, or has no registers.
pub fn measured(image: &Image) -> Result<Measurements, String> {
    let path = image.measurements();
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let json: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let register = |name: &str| {
        let mut value = [0; 48];
        let text = json[name].as_str().unwrap_or_default();
        hex::decode_to_slice(text, &mut value).map(|()| value).map_err(|error| format!("{name}: {error}"))
    };
    Ok(Measurements { pcr0: register("pcr0")?, pcr1: register("pcr1")?, pcr2: register("pcr2")?, pcr8: None })
}
