# The functions on Google Cloud. Not yet applied in a project: checked offline by `terraform fmt -check` and checkov, which
# asks for keys of the customer's own and for access logs of the bucket only.
#
# The MQTT broker and its bridge to the topic `batches` are not part of it (docs/clouds.md).

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0"
    }
  }
}

variable "project" {
  type        = string
  description = "Id of the project."
}

variable "region" {
  type        = string
  description = "Region of the functions, the table and the archive."
}

variable "zone" {
  type        = string
  description = "Zone of the Bigtable cluster, in the region."
}

variable "source_bucket" {
  type        = string
  description = "Bucket with the zip of the functions' source."
}

variable "source_object" {
  type        = string
  description = "Name of the zip: this folder's main.py and requirements.txt, and the packages cloud_functions and wire."
}

variable "mqtt_host" {
  type        = string
  description = "Name of the MQTT broker, on which acknowledgements are published."
}

variable "mqtt_ca_secret" {
  type        = string
  description = "Secret with the certificates that sign the broker's."
}

variable "mqtt_cert_secret" {
  type        = string
  description = "Secret with the functions' certificate at the broker."
}

variable "mqtt_key_secret" {
  type        = string
  description = "Secret with the key of the functions' certificate."
}

variable "bridge_service_account" {
  type        = string
  description = "Service account with which the broker's bridge publishes to the topic of batches."
}

variable "retention_days" {
  type        = number
  default     = 90
  description = "Days for which roll-ups and reports stay in the table."
}

provider "google" {
  project = var.project
  region  = var.region
}

locals {
  secrets = {
    "ca.pem"   = var.mqtt_ca_secret
    "cert.pem" = var.mqtt_cert_secret
    "key.pem"  = var.mqtt_key_secret
  }
  functions = toset(["ingest", "compact"])
  # The name of a service that Cloud Run accepts as the audience of a token.
  urls = {
    for name in local.functions :
    name => "https://strandline-${name}-${data.google_project.current.number}.${var.region}.run.app"
  }
}

data "google_project" "current" {}

# Identities: one for the functions, one that Pub/Sub and the scheduler use to call them.

resource "google_service_account" "functions" {
  account_id   = "strandline-functions"
  display_name = "Strandline: the functions"
}

resource "google_service_account" "callers" {
  account_id   = "strandline-callers"
  display_name = "Strandline: subscription and scheduler"
}

# Telemetry: one table with a family for items that stay and one for those that expire at the time of their cells.

resource "google_bigtable_instance" "strandline" {
  name                = "strandline"
  deletion_protection = true

  cluster {
    cluster_id   = "strandline"
    zone         = var.zone
    storage_type = "SSD"

    autoscaling_config {
      min_nodes  = 1
      max_nodes  = 3
      cpu_target = 60
    }
  }
}

resource "google_bigtable_table" "telemetry" {
  name                = "telemetry"
  instance_name       = google_bigtable_instance.strandline.name
  deletion_protection = "PROTECTED"

  column_family {
    family = "p"
  }

  column_family {
    family = "x"
  }
}

resource "google_bigtable_gc_policy" "expiry" {
  instance_name = google_bigtable_instance.strandline.name
  table         = google_bigtable_table.telemetry.name
  column_family = "x"
  gc_rules      = jsonencode({ rules = [{ max_age = "1s" }] })
}

resource "google_bigtable_table_iam_member" "telemetry" {
  instance_name = google_bigtable_instance.strandline.name
  table         = google_bigtable_table.telemetry.name
  role          = "roles/bigtable.user"
  member        = google_service_account.functions.member
}

# The archive.

resource "google_storage_bucket" "archive" {
  name                        = "${var.project}-strandline-archive"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 30
    }
    action {
      type = "Delete"
    }
  }
}

resource "google_storage_bucket_iam_member" "archive" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectUser"
  member = google_service_account.functions.member
}

# Batches: published by the bridge, pushed to the function.

resource "google_pubsub_topic" "batches" {
  name = "strandline-batches"
}

resource "google_pubsub_topic_iam_member" "bridge" {
  topic  = google_pubsub_topic.batches.name
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:${var.bridge_service_account}"
}

resource "google_pubsub_topic" "dead_letters" {
  name                       = "strandline-dead-letters"
  message_retention_duration = "2678400s"
}

resource "google_pubsub_subscription" "dead_letters" {
  name                       = "strandline-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "dead_letters" {
  topic  = google_pubsub_topic.dead_letters.name
  role   = "roles/pubsub.publisher"
  member = google_service_account.functions.member
}

resource "google_pubsub_subscription" "ingest" {
  name                       = "strandline-ingest"
  topic                      = google_pubsub_topic.batches.id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = google_cloudfunctions2_function.strandline["ingest"].service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.callers.email
      audience              = local.urls["ingest"]
    }
  }

  retry_policy {
    minimum_backoff = "1s"
    maximum_backoff = "300s"
  }

  expiration_policy {
    ttl = ""
  }
}

# The functions.

resource "google_secret_manager_secret_iam_member" "broker" {
  for_each  = local.secrets
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.functions.member
}

resource "google_cloudfunctions2_function" "strandline" {
  for_each = local.functions
  name     = "strandline-${each.key}"
  location = var.region

  build_config {
    runtime     = "python313"
    entry_point = each.key
    source {
      storage_source {
        bucket = var.source_bucket
        object = var.source_object
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.functions.email
    ingress_settings                 = "ALLOW_INTERNAL_ONLY"
    available_memory                 = each.key == "compact" ? "2Gi" : "512Mi"
    timeout_seconds                  = each.key == "compact" ? 600 : 60
    max_instance_count               = each.key == "compact" ? 1 : 100
    max_instance_request_concurrency = 1

    environment_variables = {
      PROJECT              = var.project
      BIGTABLE_INSTANCE    = google_bigtable_instance.strandline.name
      TELEMETRY_TABLE      = google_bigtable_table.telemetry.name
      ARCHIVE_BUCKET       = google_storage_bucket.archive.name
      DEAD_LETTERS_TOPIC   = google_pubsub_topic.dead_letters.name
      PUSH_AUDIENCE        = local.urls[each.key]
      PUSH_SERVICE_ACCOUNT = google_service_account.callers.email
      RETENTION_DAYS       = tostring(var.retention_days)
      MQTT_HOST            = var.mqtt_host
      MQTT_CA_FILE         = "/secrets/ca/ca.pem"
      MQTT_CERT_FILE       = "/secrets/cert/cert.pem"
      MQTT_KEY_FILE        = "/secrets/key/key.pem"
    }

    dynamic "secret_volumes" {
      for_each = local.secrets
      content {
        mount_path = "/secrets/${trimsuffix(secret_volumes.key, ".pem")}"
        project_id = var.project
        secret     = secret_volumes.value
        versions {
          version = "latest"
          path    = secret_volumes.key
        }
      }
    }
  }
}

resource "google_cloud_run_v2_service_iam_member" "callers" {
  for_each = local.functions
  name     = google_cloudfunctions2_function.strandline[each.key].name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.callers.member
}

resource "google_cloud_scheduler_job" "compact" {
  name             = "strandline-compact"
  schedule         = "12 * * * *"
  attempt_deadline = "620s"

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.strandline["compact"].service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.callers.email
      audience              = local.urls["compact"]
    }
  }
}

output "batches_topic" {
  value       = google_pubsub_topic.batches.id
  description = "Topic to which the broker's bridge publishes."
}
