resource "aws_security_group" "host" {
  name_prefix = "${var.name}-host-"
  description = "Countersign host: nothing in, HTTPS out"
  vpc_id      = var.vpc_id
  lifecycle {
    create_before_destroy = true
  }
}

# Workspaces, callback handlers, KMS, S3, Systems Manager, packages. The last four may be VPC endpoints instead.
resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }
  security_group_id = aws_security_group.host.id
  description       = "HTTPS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.key == "ipv4" ? each.value : null
  cidr_ipv6         = each.key == "ipv6" ? each.value : null
}

resource "aws_vpc_security_group_egress_rule" "extra" {
  for_each          = var.extra_egress
  security_group_id = aws_security_group.host.id
  description       = each.key
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = strcontains(each.value.cidr, ":") ? null : each.value.cidr
  cidr_ipv6         = strcontains(each.value.cidr, ":") ? each.value.cidr : null
}

resource "aws_vpc_security_group_egress_rule" "dns" {
  for_each          = { for pair in setproduct(["tcp", "udp"], var.dns_servers) : join(" ", pair) => pair }
  security_group_id = aws_security_group.host.id
  description       = "Name servers"
  ip_protocol       = each.value[0]
  from_port         = 53
  to_port           = 53
  cidr_ipv4         = each.value[1]
}
