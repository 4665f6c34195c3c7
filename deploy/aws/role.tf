data "aws_iam_policy_document" "host_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

# The key's policy names this role. KMS remembers which role that was, not its name: after the role was made anew, the
# policy has to be put again, by the administrator.
resource "aws_iam_role" "host" {
  name               = "${var.name}-host"
  description        = "Countersign host"
  assume_role_policy = data.aws_iam_policy_document.host_trust.json
}

resource "aws_iam_instance_profile" "host" {
  name = "${var.name}-host"
  role = aws_iam_role.host.name
}

resource "aws_iam_role_policy_attachment" "session_manager" {
  role       = aws_iam_role.host.name
  policy_arn = "${local.arn_prefix}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

data "aws_iam_policy_document" "release" {
  statement {
    actions = ["s3:GetObject"]
    resources = [
      for name in ["enclave.eif", "cosigner-host"] :
      "${local.arn_prefix}:s3:::${var.release_bucket}/${var.release_prefix}/${name}"
    ]
  }
}

resource "aws_iam_role_policy" "release" {
  name   = "release"
  role   = aws_iam_role.host.id
  policy = data.aws_iam_policy_document.release.json
}

# In one account the key's policy alone permits its use; across accounts IAM wants the word of the host's side, too.
data "aws_iam_policy_document" "key_elsewhere" {
  count = local.key_is_elsewhere ? 1 : 0
  statement {
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [for key in aws_kms_key.sealing : key.arn]
  }
}

resource "aws_iam_role_policy" "key_elsewhere" {
  count  = local.key_is_elsewhere ? 1 : 0
  name   = "sealing-key"
  role   = aws_iam_role.host.id
  policy = data.aws_iam_policy_document.key_elsewhere[0].json
}
