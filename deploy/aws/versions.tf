terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }
  }
}

# The account of the instance.
provider "aws" {
  region = var.region
  default_tags {
    tags = local.tags
  }
}

# The account of the key, as its administrator: nobody else may make the key under its policy, read it or change it.
provider "aws" {
  alias   = "key"
  region  = var.region
  profile = var.administrator_profile
  default_tags {
    tags = local.tags
  }
}

data "aws_partition" "current" {}

data "aws_caller_identity" "host" {}

data "aws_caller_identity" "key" {
  provider = aws.key
}

locals {
  tags        = merge({ Name = var.name }, var.tags)
  arn_prefix  = "arn:${data.aws_partition.current.partition}"
  enclave_cid = 16
}
