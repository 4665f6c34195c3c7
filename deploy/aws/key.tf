locals {
  key_account      = split(":", var.administrator_arn)[4]
  key_is_elsewhere = local.key_account != data.aws_caller_identity.host.account_id

  measurements = [for file in var.measurements_files : jsondecode(file(file))]
  pcrs = {
    for register in ["pcr0", "pcr1", "pcr2"] :
    register => distinct([for image in local.measurements : lower(try(image[register], ""))])
  }
  key_policy = templatefile("${path.module}/kms-policy.json", {
    host_role_arn     = aws_iam_role.host.arn
    administrator_arn = var.administrator_arn
    pcr0              = jsonencode(local.pcrs.pcr0)
    pcr1              = jsonencode(local.pcrs.pcr1)
    pcr2              = jsonencode(local.pcrs.pcr2)
    instances         = jsonencode(var.instances)
  })
}

moved {
  from = aws_kms_key.sealing
  to   = aws_kms_key.sealing["1"]
}

# It wraps the root key of the sealed state. Without it the state is noise, for ever: there is no alias to mistake, no
# replica, and Terraform refuses to delete it.
resource "aws_kms_key" "sealing" {
  for_each                = toset(var.sealing_keys)
  provider                = aws.key
  description             = "Countersign: sealing key ${each.key} of a co-signer"
  multi_region            = false
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = local.key_policy

  lifecycle {
    prevent_destroy = true
    precondition {
      condition     = alltrue([for pcr in flatten(values(local.pcrs)) : can(regex("^[0-9a-f]{96}$", pcr))])
      error_message = "Expected pcr0, pcr1 and pcr2 of 96 hexadecimal digits in each of measurements_files."
    }
    precondition {
      # Such an enclave can be read from outside.
      condition     = alltrue([for pcr in flatten(values(local.pcrs)) : !can(regex("^0*$", pcr))])
      error_message = "Expected no zeros in measurements_files: they mean an enclave in debug mode."
    }
    precondition {
      # KMS would refuse it, too, but would not say whom it expected.
      condition = (
        data.aws_caller_identity.key.account_id == local.key_account &&
        try(split("/", data.aws_caller_identity.key.arn)[1], "") == reverse(split("/", var.administrator_arn))[0]
      )
      error_message = "Expected a session of administrator_arn: open one, and name it by administrator_profile."
    }
  }
}
