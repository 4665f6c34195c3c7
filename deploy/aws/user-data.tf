locals {
  files = "${path.module}/instance"

  # Path on the instance, mode and content of each file; then countersign-install does the rest.
  instance_files = {
    "/etc/countersign/host.toml" = {
      mode    = "0644"
      content = templatefile("${local.files}/host.toml.tftpl", { enclave_cid = local.enclave_cid })
    }
    "/etc/countersign/enclave.env" = {
      mode = "0644"
      content = templatefile("${local.files}/enclave.env.tftpl", {
        enclave_cid        = local.enclave_cid
        enclave_cpus       = var.enclave_cpus
        enclave_memory_mib = var.enclave_memory_mib
      })
    }
    "/etc/countersign/allocator.yaml" = {
      mode = "0644"
      content = templatefile("${local.files}/allocator.yaml.tftpl", {
        enclave_cpus       = var.enclave_cpus
        enclave_memory_mib = var.enclave_memory_mib
      })
    }
    "/etc/countersign/install.env" = {
      mode = "0644"
      content = templatefile("${local.files}/install.env.tftpl", {
        region         = var.region
        release        = "s3://${var.release_bucket}/${var.release_prefix}"
        enclave_sha256 = var.enclave_sha256
        host_sha256    = var.host_sha256
        data_volume    = aws_ebs_volume.data.id
      })
    }
    "/etc/countersign/nsswitch.conf" = { mode = "0644", content = file("${local.files}/nsswitch.conf") }
    "/etc/logrotate.d/countersign"   = { mode = "0644", content = file("${local.files}/logrotate") }
    "/etc/systemd/journald.conf.d/countersign.conf" = {
      mode    = "0644"
      content = file("${local.files}/journald.conf.d/countersign.conf")
    }
    "/etc/systemd/system/cosigner-host.service" = {
      mode    = "0644"
      content = file("${local.files}/cosigner-host.service")
    }
    "/etc/systemd/system/cosigner-enclave.service" = {
      mode    = "0644"
      content = file("${local.files}/cosigner-enclave.service")
    }
    "/etc/systemd/system/cosigner-tunnel.socket" = {
      mode    = "0644"
      content = file("${local.files}/cosigner-tunnel.socket")
    }
    "/etc/systemd/system/cosigner-tunnel.service" = {
      mode    = "0644"
      content = file("${local.files}/cosigner-tunnel.service")
    }
    "/usr/local/libexec/countersign/run-enclave" = {
      mode    = "0755"
      content = file("${local.files}/run-enclave")
    }
    "/usr/local/sbin/countersign-install" = {
      mode    = "0755"
      content = file("${local.files}/countersign-install")
    }
  }

  cloud_config = {
    write_files = [
      for path, file in local.instance_files :
      { path = path, permissions = file.mode, owner = "root:root", content = file.content }
    ]
    runcmd = [["/usr/local/sbin/countersign-install"]]
  }

  # JSON is YAML, and quotes everything.
  user_data = join("\n", ["#cloud-config", jsonencode(local.cloud_config), ""])
}
