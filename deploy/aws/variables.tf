variable "name" {
  description = "Name of everything that is made here, and prefix where a name must be its own."
  type        = string
  default     = "countersign"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,31}$", var.name))
    error_message = "Expected 1 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "tags" {
  description = "Further tags of everything that is made here."
  type        = map(string)
  default     = {}
}

variable "region" {
  description = "Region of the instance and of the key."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "Expected a region such as eu-central-1."
  }
}

variable "vpc_id" {
  description = "VPC of the instance."
  type        = string
  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "Expected the id of a VPC: vpc-…"
  }
}

variable "subnet_id" {
  description = "Subnet of the instance, with a way out: a NAT gateway, or an internet gateway with public_ip."
  type        = string
  validation {
    condition     = startswith(var.subnet_id, "subnet-")
    error_message = "Expected the id of a subnet: subnet-…"
  }
}

variable "public_ip" {
  description = "Give the instance a public address, for a subnet without NAT. Nothing may connect to it either way."
  type        = bool
  default     = false
}

variable "extra_egress" {
  description = "What the host may reach beside port 443: such as a callback handler or a proxy on another port."
  type        = map(object({ cidr = string, port = number }))
  default     = {}
  validation {
    condition = alltrue([
      for rule in values(var.extra_egress) :
      can(cidrhost(rule.cidr, 0)) && rule.port >= 1 && rule.port <= 65535 && floor(rule.port) == rule.port
    ])
    error_message = "Expected { name = { cidr = \"10.0.0.0/8\", port = 8443 } }."
  }
}

variable "dns_servers" {
  description = "Networks of name servers of your own. The VPC's resolver needs no rule: nothing filters it."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for cidr in var.dns_servers : can(cidrnetmask(cidr))])
    error_message = "Expected IPv4 networks such as 10.0.0.2/32."
  }
}

variable "administrator_arn" {
  description = "Role that may change the key's policy. WHOEVER CAN TAKE IT ON OWNS THE SHARES: docs/deploy-aws.md."
  type        = string
  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", var.administrator_arn))
    error_message = "Expected the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME: no session, no user, no root."
  }
}

variable "administrator_profile" {
  description = "AWS profile with an open session of administrator_arn; null: the credentials that make all else."
  type        = string
  default     = null
}

variable "measurements_files" {
  description = "measurements.json of each image that may open the shares: verified or built by you."
  type        = list(string)
  validation {
    condition     = length(var.measurements_files) > 0 && length(var.measurements_files) <= 8
    error_message = "Expected 1 to 8 files."
  }
  validation {
    condition     = alltrue([for file in var.measurements_files : can(jsondecode(file(file)))])
    error_message = "Expected paths of JSON files: {\"pcr0\": \"…\", \"pcr1\": \"…\", \"pcr2\": \"…\"}."
  }
}

variable "sealing_keys" {
  description = "Names of the KMS keys that seal the state, the newest last. More than one only while a rotation is under way."
  type        = list(string)
  default     = ["1"]
  validation {
    condition = (
      length(var.sealing_keys) > 0 && length(var.sealing_keys) <= 4 &&
      length(distinct(var.sealing_keys)) == length(var.sealing_keys)
    )
    error_message = "Expected 1 to 4 different names."
  }
}

variable "instances" {
  description = "Co-signer instances (hex) that may use the key. [\"*\"] until `cosigner init` printed one."
  type        = list(string)
  default     = ["*"]
  validation {
    condition = (
      var.instances == tolist(["*"]) ||
      length(var.instances) > 0 && alltrue([for id in var.instances : can(regex("^[0-9a-f]{64}$", id))])
    )
    error_message = "Expected [\"*\"], or instances of 64 lower-case hexadecimal digits."
  }
}

variable "release_bucket" {
  description = "Bucket with the release objects, not encrypted under a KMS key of yours, which the host may not use."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.release_bucket))
    error_message = "Expected the name of a bucket."
  }
}

variable "release_prefix" {
  description = "Where in the bucket enclave.eif and cosigner-host are: such as countersign/0.1.0."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", var.release_prefix))
    error_message = "Expected a prefix of letters, digits, dots, hyphens, underscores; no slash at either end."
  }
}

variable "enclave_sha256" {
  description = "SHA-256 of enclave.eif."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.enclave_sha256))
    error_message = "Expected 64 lower-case hexadecimal digits."
  }
}

variable "host_sha256" {
  description = "SHA-256 of cosigner-host."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.host_sha256))
    error_message = "Expected 64 lower-case hexadecimal digits."
  }
}

variable "instance_type" {
  description = "An x86_64 type with 4 vCPUs or more that supports Nitro Enclaves."
  type        = string
  default     = "m6i.xlarge"
  validation {
    condition = (
      can(regex("^[a-z]+[0-9]+[a-z-]*\\.([0-9]*x)large$", var.instance_type)) &&
      !can(regex("^(t[0-9]|[a-z]+[0-9]+g)", var.instance_type))
    )
    error_message = "Expected a type such as m6i.xlarge; not burstable, not metal, not Graviton."
  }
}

variable "ami_id" {
  description = "Amazon Linux 2023 image. null: the newest, so that an apply replaces the instance for a new one."
  type        = string
  default     = null
  validation {
    condition     = var.ami_id == null || can(regex("^ami-[0-9a-f]+$", var.ami_id))
    error_message = "Expected ami-… or null."
  }
}

variable "enclave_memory_mib" {
  description = "Memory taken from the instance for the enclave, in MiB."
  type        = number
  default     = 4096
  validation {
    condition     = var.enclave_memory_mib >= 1024 && floor(var.enclave_memory_mib / 2) * 2 == var.enclave_memory_mib
    error_message = "Expected an even number of 1024 or more: it is given in pages of 2 MiB."
  }
}

variable "enclave_cpus" {
  description = "vCPUs taken from the instance for the enclave: whole cores, never all."
  type        = number
  default     = 2
  validation {
    condition     = var.enclave_cpus >= 2 && floor(var.enclave_cpus / 2) * 2 == var.enclave_cpus
    error_message = "Expected an even number of 2 or more."
  }
}

variable "root_volume_gib" {
  description = "Size of the system's volume, in GiB."
  type        = number
  default     = 20
  validation {
    condition     = var.root_volume_gib >= 10
    error_message = "Expected 10 or more."
  }
}

variable "data_volume_gib" {
  description = "Size of the volume of the sealed state, in GiB. It can grow, never shrink."
  type        = number
  default     = 50
  validation {
    condition     = var.data_volume_gib >= 20
    error_message = "Expected 20 or more."
  }
}
