output "sealing_key_arn" {
  description = "For --sealing-key of `cosigner init` and `cosigner rotate-sealing-key`: the last of sealing_keys."
  value       = aws_kms_key.sealing[reverse(var.sealing_keys)[0]].arn
}

output "host_role_arn" {
  description = "The host's role: the only one that may have the key used, by the measured images."
  value       = aws_iam_role.host.arn
}

output "instance_id" {
  description = "The EC2 instance. It is another one after each upgrade."
  value       = aws_instance.host.id
}

output "ami_id" {
  description = "The image that the instance runs. Set ami_id to it, so that only you decide when it is replaced."
  value       = aws_instance.host.ami
}

output "data_volume_id" {
  description = "The volume of the sealed state."
  value       = aws_ebs_volume.data.id
}

output "key_policy" {
  description = "What `aws kms get-key-policy` must say, but for spaces and order."
  value       = local.key_policy
}

output "tunnel" {
  description = "Opens the tunnel to the admin socket, on port 9465 of the operator's workstation; leave it running."
  value = join(" ", [
    "aws ssm start-session --region ${var.region} --target ${aws_instance.host.id}",
    "--document-name AWS-StartPortForwardingSession",
    "--parameters portNumber=9465,localPortNumber=9465",
  ])
}

output "socket" {
  description = "Makes a socket for `cosigner` of the tunnel; leave it running."
  value       = "socat UNIX-LISTEN:$HOME/.countersign.sock,fork,mode=600,unlink-early TCP:127.0.0.1:9465"
}

output "next" {
  description = "What comes next."
  value = (
    var.instances == tolist(["*"])
    ? "Claim the co-signer, set instances to what `cosigner init` printed, apply: docs/deploy-aws.md, 6 and 7."
    : "The key is bound to ${join(", ", var.instances)}. Pair it: docs/deploy-aws.md, 8."
  )
}
