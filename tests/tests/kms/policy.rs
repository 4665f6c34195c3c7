//! As much of the evaluation of a KMS key policy as `deploy/aws/kms-policy.json` uses (AWS IAM User Guide, *Policy
//! evaluation logic*; *IAM JSON policy elements: Condition operators*): denied unless allowed, and a denial decides. An
//! operator or element that is not known here is an error, not a no.

use serde_json::Value;
use std::collections::BTreeMap;

/// The policy of the repository.
const TEMPLATE: &str = include_str!("../../../deploy/aws/kms-policy.json");

/// A request, as the service sees it.
pub struct Request<'a> {
    /// ARN of who asks.
    pub principal: &'a str,
    /// `kms:Decrypt`…
    pub action: &'a str,
    /// Condition keys and their values; a key that is not there is not in the request.
    pub context: BTreeMap<String, Vec<String>>,
}

/// The policy with its variables filled in.
pub fn filled(host: &str, administrator: &str, pcrs: [&str; 3], instances: &[&str]) -> Value {
    let list = |values: &[&str]| serde_json::to_string(values).unwrap();
    let text = TEMPLATE
        .replace("${host_role_arn}", host)
        .replace("${administrator_arn}", administrator)
        .replace("${pcr0}", &list(&pcrs[..1]))
        .replace("${pcr1}", &list(&pcrs[1..2]))
        .replace("${pcr2}", &list(&pcrs[2..]))
        .replace("${instances}", &list(instances));
    assert!(!text.contains("${"), "a variable is not filled in: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Whether `policy` allows it.
pub fn allows(policy: &Value, request: &Request<'_>) -> bool {
    let applying: Vec<&str> = policy["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|statement| applies(statement, request))
        .map(|statement| statement["Effect"].as_str().unwrap())
        .collect();
    applying.contains(&"Allow") && !applying.contains(&"Deny")
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap()).collect(),
        other => panic!("expected strings, got {other}"),
    }
}

fn applies(statement: &Value, request: &Request<'_>) -> bool {
    for member in statement.as_object().unwrap().keys() {
        let known = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
        assert!(known.contains(&member.as_str()), "{member} is not known here");
    }
    assert_eq!(statement["Resource"], "*", "the policy is the key's own");
    let principals = strings(&statement["Principal"]["AWS"]);
    if !principals.iter().any(|named| *named == "*" || *named == request.principal) {
        return false;
    }
    let action = strings(&statement["Action"]).iter().any(|pattern| is_like(pattern, request.action));
    let conditions = statement.get("Condition").and_then(Value::as_object);
    action && conditions.into_iter().flatten().all(|(operator, keys)| holds(operator, keys, request))
}

fn holds(operator: &str, keys: &Value, request: &Request<'_>) -> bool {
    keys.as_object().unwrap().iter().all(|(key, values)| {
        let (values, got) = (strings(values), request.context.get(key));
        let any = |is: fn(&str, &str) -> bool| {
            got.is_some_and(|got| got.iter().any(|one| values.iter().any(|value| is(value, one))))
        };
        match operator {
            "StringEqualsIgnoreCase" => any(|value, one| value.eq_ignore_ascii_case(one)),
            // A key that is not in the request differs from every value.
            "StringNotEqualsIgnoreCase" => !any(|value, one| value.eq_ignore_ascii_case(one)),
            "StringLike" => any(is_like),
            "StringNotLike" => !any(is_like),
            // Holds for a key that is not in the request, too.
            "ForAllValues:StringEquals" => got.into_iter().flatten().all(|one| values.contains(&one.as_str())),
            other => panic!("{other} is not known here"),
        }
    })
}

/// `*` at the end, or nothing special.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HOST: &str = "arn:aws:iam::111122223333:role/host";
    const ADMINISTRATOR: &str = "arn:aws:iam::111122223333:role/administrator";

    fn request<'a>(principal: &'a str, action: &'a str, pcr0: Option<&str>, instance: Option<&str>) -> Request<'a> {
        let key = |name: &str, value: Option<&str>| value.map(|value| (name.to_owned(), vec![value.to_owned()]));
        let context = [
            key("kms:RecipientAttestation:PCR0", pcr0),
            key("kms:RecipientAttestation:PCR1", Some("b1")),
            key("kms:RecipientAttestation:PCR2", Some("c2")),
            key("kms:EncryptionContext:countersign:instance", instance),
            key("kms:EncryptionContextKeys", instance.map(|_| "countersign:instance")),
        ];
        Request { principal, action, context: context.into_iter().flatten().collect() }
    }

    /// What IAM policies of the account, or a later statement, might allow changes nothing about what is denied.
    #[test]
    fn t42_what_the_policy_denies_stays_denied_whatever_else_is_allowed() {
        let mut policy = filled(HOST, ADMINISTRATOR, ["a0", "b1", "c2"], &["6f"]);
        let everything = json!({ "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "kms:*", "Resource": "*" });
        policy["Statement"].as_array_mut().unwrap().push(everything);
        let allowed = |principal, action, pcr0, instance| allows(&policy, &request(principal, action, pcr0, instance));
        for principal in [HOST, ADMINISTRATOR, "arn:aws:iam::111122223333:root"] {
            for action in ["kms:Decrypt", "kms:GenerateDataKey"] {
                assert!(allowed(principal, action, Some("a0"), Some("6f")), "nothing else stands in the way");
                assert!(!allowed(principal, action, None, Some("6f")), "unattested");
                assert!(!allowed(principal, action, Some("a1"), Some("6f")), "another image");
                assert!(!allowed(principal, action, Some("a0"), Some("70")), "another instance");
                assert!(!allowed(principal, action, Some("a0"), None), "no instance");
            }
            for action in [
                "kms:Encrypt",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:GenerateDataKeyPair",
                "kms:GenerateDataKeyPairWithoutPlaintext",
                "kms:CreateGrant",
                "kms:ImportKeyMaterial",
                "kms:ReplicateKey",
            ] {
                assert!(!allowed(principal, action, Some("a0"), Some("6f")), "{action}");
            }
        }
        for action in
            ["kms:PutKeyPolicy", "kms:DisableKey", "kms:ScheduleKeyDeletion", "kms:CreateAlias", "kms:RetireGrant"]
        {
            assert!(!allowed(HOST, action, Some("a0"), Some("6f")), "{action}");
            assert!(allowed(ADMINISTRATOR, action, None, None), "{action}");
        }
    }

    #[test]
    fn t42_the_policy_alone_allows_the_host_two_calls_of_the_whole_image() {
        let policy = filled(HOST, ADMINISTRATOR, ["a0", "b1", "c2"], &["6f"]);
        let good = || request(HOST, "kms:Decrypt", Some("a0"), Some("6f"));
        assert!(allows(&policy, &good()));
        for register in ["PCR0", "PCR1", "PCR2"] {
            for other in [None, Some("ff")] {
                let mut request = good();
                let name = format!("kms:RecipientAttestation:{register}");
                match other {
                    Some(other) => request.context.insert(name, vec![other.to_owned()]),
                    None => request.context.remove(&name),
                };
                assert!(!allows(&policy, &request), "{register} {other:?}");
            }
        }
        let mut larger = good();
        let members = vec!["countersign:instance".to_owned(), "another".to_owned()];
        larger.context.insert("kms:EncryptionContextKeys".into(), members);
        assert!(!allows(&policy, &larger));
        for principal in [ADMINISTRATOR, "arn:aws:iam::111122223333:root"] {
            assert!(!allows(&policy, &Request { principal, ..good() }));
        }
    }
}
