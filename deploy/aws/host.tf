data "aws_subnet" "host" {
  id = var.subnet_id
}

data "aws_ssm_parameter" "ami" {
  count = var.ami_id == null ? 1 : 0
  name  = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

resource "aws_instance" "host" {
  ami                         = var.ami_id != null ? var.ami_id : nonsensitive(data.aws_ssm_parameter.ami[0].value)
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  associate_public_ip_address = var.public_ip
  vpc_security_group_ids      = [aws_security_group.host.id]
  iam_instance_profile        = aws_iam_instance_profile.host.name

  # Everything of the instance but the sealed state follows from user data, so another release is another instance.
  user_data_base64            = base64gzip(local.user_data)
  user_data_replace_on_change = true

  enclave_options {
    enabled = true
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  root_block_device {
    volume_type           = "gp3"
    volume_size           = var.root_volume_gib
    encrypted             = true
    delete_on_termination = true
  }

  # The policy accepts the image before the image starts.
  depends_on = [
    aws_kms_key.sealing,
    aws_iam_role_policy.key_elsewhere,
    aws_iam_role_policy.release,
    aws_iam_role_policy_attachment.session_manager,
    aws_vpc_security_group_egress_rule.dns,
    aws_vpc_security_group_egress_rule.extra,
    aws_vpc_security_group_egress_rule.https,
  ]
}

# The sealed state outlives every instance.
resource "aws_ebs_volume" "data" {
  availability_zone = data.aws_subnet.host.availability_zone
  type              = "gp3"
  size              = var.data_volume_gib
  encrypted         = true
  tags              = { Name = "${var.name}-data" }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_volume_attachment" "data" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.data.id
  instance_id = aws_instance.host.id
  # Never detached under a host that writes.
  stop_instance_before_detaching = true
}
