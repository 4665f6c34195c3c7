//! The name of a KMS key.

use super::KmsError;

/// A key of the service, named by its ARN: `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`. An alias is none: whoever may change
/// it could have it name another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsKey {
    arn: String,
    region: String,
    suffix: &'static str,
}

impl KmsKey {
    /// Takes an ARN apart.
    ///
    /// # Errors
    /// [`KmsError::Key`].
    pub fn parse(arn: &str) -> Result<Self, KmsError> {
        let refused = || KmsError::Key { got: arn.chars().take(200).collect() };
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "kms", region, account, resource] = parts[..] else { return Err(refused()) };
        let suffix = match partition {
            "aws" | "aws-us-gov" => "amazonaws.com",
            "aws-cn" => "amazonaws.com.cn",
            _ => return Err(refused()),
        };
        let id = resource.strip_prefix("key/").ok_or_else(refused)?;
        let is_word = |text: &str, max: usize| {
            (1..=max).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !text.starts_with('-')
                && !text.ends_with('-')
        };
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if !is_word(region, 32) || !is_account || !is_word(id, 64) {
            return Err(refused());
        }
        Ok(Self { arn: arn.to_owned(), region: region.to_owned(), suffix })
    }

    /// As it was given.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Its region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The service's host name in that region.
    pub fn host(&self) -> String {
        format!("kms.{}.{}", self.region, self.suffix)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_region_of_the_arn_says_where_the_service_is() {
        let host = |arn: &str| KmsKey::parse(arn).map(|key| key.host());
        let key = "key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let at = |partition: &str, region: &str| host(&format!("arn:{partition}:kms:{region}:111122223333:{key}"));
        assert_eq!(at("aws", "eu-central-1").unwrap(), "kms.eu-central-1.amazonaws.com");
        assert_eq!(at("aws-us-gov", "us-gov-west-1").unwrap(), "kms.us-gov-west-1.amazonaws.com");
        assert_eq!(at("aws-cn", "cn-north-1").unwrap(), "kms.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn what_is_no_key_s_arn_is_refused() {
        for bad in [
            "",
            "file:0011223344556677",
            "arn:aws:kms:eu-central-1:111122223333:alias/countersign",
            "arn:aws:kms:eu-central-1:111122223333:key/",
            "arn:aws:kms:eu-central-1:1111:key/a",
            "arn:aws:kms::111122223333:key/a",
            "arn:aws:kms:evil.example/:111122223333:key/a",
            "arn:aws:kms:eu-central-1:111122223333:key/a:b",
            "arn:aws:s3:eu-central-1:111122223333:key/a",
            "arn:aws-other:kms:eu-central-1:111122223333:key/a",
            "arn:aws:kms:eu-central-1.evil:111122223333:key/a",
        ] {
            assert!(matches!(KmsKey::parse(bad), Err(KmsError::Key { .. })), "{bad}");
        }
    }
}
