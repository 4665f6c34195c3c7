//! The AWS key service, simulated: its wire protocol (JSON 1.1 over HTTPS, Signature Version 4), attestation documents
//! checked by our own verifier, key policies enforced, data keys encrypted to the attested recipient.

use super::envelope;
use super::policy::{self, Request};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_attest::{Document, Expectation, Measurements, NonceCheck, TrustAnchor, parse_unverified, verify};
use countersign_stack::certificates::ServerCertificate;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;

/// Oldest attestation document that the service takes, in milliseconds.
const MAX_DOCUMENT_AGE_MS: u64 = 300_000;

/// A key of the service.
pub struct Key {
    /// Who may do what with it.
    pub policy: Value,
    material: [u8; 32],
}

/// Whoever may sign calls.
#[derive(Clone)]
pub struct Caller {
    /// The principal of policies.
    pub arn: String,
    /// Access key id.
    pub id: String,
    /// Secret access key.
    pub secret: String,
}

/// The service.
pub struct SimulatedKms {
    /// Its port on the loopback.
    pub port: u16,
    /// Keys by ARN.
    pub keys: Mutex<BTreeMap<String, Key>>,
    /// Operations with how they ended, in order.
    pub calls: Mutex<Vec<(String, Result<(), String>)>>,
    /// Whether it answers with the data key in the clear, too, as for calls that are not attested.
    pub leaks: Mutex<bool>,
    callers: Vec<Caller>,
    anchor: TrustAnchor,
}

/// A refusal of the service: its exception, and what it says.
pub type Refused = (&'static str, String);

impl SimulatedKms {
    /// Starts it. `anchor` is whom attestation documents must lead to.
    pub fn start(
        certificate: &ServerCertificate,
        callers: Vec<Caller>,
        anchor: TrustAnchor,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let kms = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            keys: Mutex::default(),
            calls: Mutex::default(),
            leaks: Mutex::new(false),
            callers,
            anchor,
        });
        let (chain, key) = (certificate.certificate.clone(), certificate.key.clone());
        let app = Router::new().route("/", post(serve)).with_state(Arc::clone(&kms));
        let task = tokio::spawn(async move {
            let tls = RustlsConfig::from_pem_file(chain, key).await.unwrap();
            axum_server::from_tcp_rustls(listener, tls).unwrap().serve(app.into_make_service()).await.unwrap();
        });
        (kms, task)
    }

    /// Makes a key.
    pub fn create_key(&self, arn: &str, policy: Value) {
        let mut material = [0; 32];
        aws_lc_rs::rand::fill(&mut material).unwrap();
        self.keys.lock().unwrap().insert(arn.to_owned(), Key { policy, material });
    }

    /// One call of `caller`, whose signature was checked.
    pub fn call(&self, target: &str, caller: &Caller, body: &[u8]) -> Result<Value, Refused> {
        let body: Value = serde_json::from_slice(body).map_err(|e| ("SerializationException", e.to_string()))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let arn = text(&body["KeyId"]);
        let keys = self.keys.lock().unwrap();
        let key = keys.get(&arn).ok_or(("NotFoundException", format!("no key {arn}")))?;
        let operation = target.strip_prefix("TrentService.").unwrap_or_default();
        let document = match body.get("Recipient") {
            None => None,
            Some(recipient) => Some(self.recipient(recipient)?),
        };
        let context = body["EncryptionContext"].as_object().cloned().unwrap_or_default();
        let mut conditions = BTreeMap::new();
        for (name, value) in &context {
            conditions.insert(format!("kms:EncryptionContext:{name}"), vec![text(value)]);
        }
        if !context.is_empty() {
            conditions.insert("kms:EncryptionContextKeys".into(), context.keys().cloned().collect());
        }
        for (index, value) in document.iter().flat_map(|document| &document.pcrs) {
            conditions.insert(format!("kms:RecipientAttestation:PCR{index}"), vec![hex::encode(value)]);
        }
        let action = format!("kms:{operation}");
        let request = Request { principal: &caller.arn, action: &action, context: conditions };
        if !policy::allows(&key.policy, &request) {
            return Err(("AccessDeniedException", format!("{} is not authorized to perform {action}", caller.arn)));
        }
        let associated = serde_json::to_vec(&context).unwrap();
        let (data_key, wrapped) = match operation {
            "GenerateDataKey" => {
                let mut data_key = [0; 32];
                aws_lc_rs::rand::fill(&mut data_key).unwrap();
                (data_key.to_vec(), Some(wrap(&arn, &key.material, &associated, &data_key)))
            }
            "Decrypt" => {
                let blob = STANDARD.decode(text(&body["CiphertextBlob"])).unwrap_or_default();
                (unwrap(&arn, &key.material, &associated, &blob)?, None)
            }
            other => return Err(("UnsupportedOperationException", other.to_owned())),
        };
        let mut answer = json!({ "KeyId": arn, "KeyMaterialId": "1", "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" });
        if let Some(wrapped) = wrapped {
            answer["CiphertextBlob"] = json!(STANDARD.encode(wrapped));
        }
        match document {
            Some(document) => {
                let sealed = envelope::seal(&document.public_key.unwrap_or_default(), &data_key);
                let sealed = sealed.ok_or(("ValidationException", "attestation document: no RSA public key".into()))?;
                answer["CiphertextForRecipient"] = json!(STANDARD.encode(sealed))
            }
            None => answer["Plaintext"] = json!(STANDARD.encode(&data_key)),
        }
        if *self.leaks.lock().unwrap() {
            answer["Plaintext"] = json!(STANDARD.encode(&data_key));
        }
        Ok(answer)
    }

    fn recipient(&self, recipient: &Value) -> Result<Document, Refused> {
        let refused = |why: String| ("ValidationException", format!("attestation document: {why}"));
        if recipient["KeyEncryptionAlgorithm"] != "RSAES_OAEP_SHA_256" {
            return Err(refused("KeyEncryptionAlgorithm".into()));
        }
        let bytes = STANDARD.decode(recipient["AttestationDocument"].as_str().unwrap_or_default());
        let bytes = bytes.map_err(|error| refused(error.to_string()))?;
        let parsed = parse_unverified(&bytes).map_err(|error| refused(error.to_string()))?;
        let own = Measurements::of(parsed.for_display()).map_err(|error| refused(error.to_string()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let expectation = Expectation {
            anchor: &self.anchor,
            now_ms: now.try_into().unwrap(),
            max_age_ms: MAX_DOCUMENT_AGE_MS,
            nonce: NonceCheck::UncheckedStaticDocument,
            measurements: &[own],
        };
        verify(&bytes, &expectation).map_err(|error| refused(error.to_string()))
    }

    /// AWS Signature Version 4, computed anew (AWS IAM User Guide, *Create a signed AWS API request*).
    fn authenticate(&self, headers: &HeaderMap, body: &[u8]) -> Result<&Caller, Refused> {
        let refused = |why: &str| ("InvalidSignatureException", why.to_owned());
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let authorization = header("authorization");
        let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(|| refused("no signature"))?;
        let fields: BTreeMap<&str, &str> = rest.split(", ").filter_map(|field| field.split_once('=')).collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        let scope: Vec<&str> = field("Credential").split('/').collect();
        let [id, day, region, "kms", "aws4_request"] = scope[..] else { return Err(refused("the scope")) };
        let caller = self.callers.iter().find(|caller| caller.id == id).ok_or_else(|| refused("who is that"))?;
        let names: Vec<&str> = field("SignedHeaders").split(';').collect();
        for needed in ["content-type", "host", "x-amz-date", "x-amz-target"] {
            assert!(names.contains(&needed), "{needed} is not signed: {names:?}");
        }
        let canonical: String = names.iter().map(|name| format!("{name}:{}\n", header(name).trim())).collect();
        let hash = hex::encode(Sha256::digest(body));
        let request = format!("POST\n/\n\n{canonical}\n{}\n{hash}", names.join(";"));
        let date = header("x-amz-date");
        let signed = format!(
            "AWS4-HMAC-SHA256\n{date}\n{day}/{region}/kms/aws4_request\n{}",
            hex::encode(Sha256::digest(request.as_bytes()))
        );
        let mut key = format!("AWS4{}", caller.secret).into_bytes();
        for part in [day, region, "kms", "aws4_request", &signed] {
            key = hmac_sha256(&key, part.as_bytes());
        }
        if hex::encode(key) == field("Signature") { Ok(caller) } else { Err(refused("the signature does not match")) }
    }
}

/// HMAC (RFC 2104) with SHA-256.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
}

fn wrap(arn: &str, material: &[u8; 32], associated: &[u8], data_key: &[u8]) -> Vec<u8> {
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, material).unwrap();
    let mut sealed = data_key.to_vec();
    let nonce = cipher.seal_in_place_append_tag(Aad::from(associated), &mut sealed).unwrap();
    [&[arn.len() as u8], arn.as_bytes(), nonce.as_ref(), &sealed].concat()
}

fn unwrap(arn: &str, material: &[u8; 32], associated: &[u8], blob: &[u8]) -> Result<Vec<u8>, Refused> {
    let invalid = || ("InvalidCiphertextException", String::new());
    let (&length, rest) = blob.split_first().ok_or_else(invalid)?;
    let (named, rest) = rest.split_at_checked(length.into()).ok_or_else(invalid)?;
    if named != arn.as_bytes() {
        return Err(("IncorrectKeyException", "the key id does not name the key of this ciphertext".into()));
    }
    let (nonce, sealed) = rest.split_first_chunk::<12>().ok_or_else(invalid)?;
    let mut sealed = sealed.to_vec();
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, material).unwrap();
    let opened = cipher.open_in_place(Nonce::from(nonce), Aad::from(associated), &mut sealed).map_err(|_| invalid())?;
    Ok(opened.to_vec())
}

async fn serve(State(kms): State<Arc<SimulatedKms>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let target = headers.get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let result = kms.authenticate(&headers, &body).and_then(|caller| kms.call(&target, caller, &body));
    let ended = result.as_ref().map(drop).map_err(|(kind, _)| (*kind).to_owned());
    kms.calls.lock().unwrap().push((target.trim_start_matches("TrentService.").to_owned(), ended));
    match result {
        Ok(answer) => (StatusCode::OK, answer.to_string()),
        Err((kind, message)) => (StatusCode::BAD_REQUEST, json!({ "__type": kind, "message": message }).to_string()),
    }
}
