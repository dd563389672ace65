# The functions on Google Cloud. Not yet applied in a project.
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

variable "api_issuer" {
  type        = string
  description = "Issuer of the tokens of people: https://securetoken.google.com/PROJECT for Identity Platform."
}

variable "api_audience" {
  type        = string
  description = "Audience of the tokens of people: the id of the project for Identity Platform."
}

variable "role_claim" {
  type        = string
  default     = "role"
  description = "Claim of the tokens with the role: viewer, operator or admin."
}

variable "channel_secrets" {
  type        = set(string)
  default     = []
  description = "Names of the secrets that channels of webhooks refer to as secretsmanager:NAME."
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
  # What starts each function; people call the API.
  pushed     = toset(["ingest", "alerting", "notify"])
  scheduled  = { watch = "* * * * *", compact = "12 * * * *" }
  functions  = setunion(local.pushed, keys(local.scheduled), ["api"])
  publishing = toset(["changes", "dead-letters", "alerts", "events"])
  channels   = toset(["sns", "email", "webhook", "eventbridge", "mqtt", "stepfunctions"])
  # The name of a service that Cloud Run accepts as the audience of a token.
  urls = {
    for name in local.functions :
    name => "https://strandline-${name}-${data.google_project.current.number}.${var.region}.run.app"
  }
}

data "google_project" "current" {}

locals {
  pubsub = "serviceAccount:service-${data.google_project.current.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

# Identities: one for the functions, one that Pub/Sub and the scheduler use to call them.

resource "google_service_account" "functions" {
  account_id   = "strandline-functions"
  display_name = "Strandline: the functions"
}

resource "google_service_account" "callers" {
  account_id   = "strandline-callers"
  display_name = "Strandline: subscription and scheduler"
}

# Tables: a family for items that stay, one for those that expire at the time of their cells, one for changes.

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

resource "google_bigtable_table" "strandline" {
  for_each            = toset(["telemetry", "alerts"])
  name                = each.key
  instance_name       = google_bigtable_instance.strandline.name
  deletion_protection = "PROTECTED"

  column_family {
    family = "p"
  }

  column_family {
    family = "x"
  }

  column_family {
    family = "c"
  }
}

resource "google_bigtable_gc_policy" "expiry" {
  for_each      = google_bigtable_table.strandline
  instance_name = google_bigtable_instance.strandline.name
  table         = each.value.name
  column_family = "x"
  gc_rules      = jsonencode({ rules = [{ max_age = "1s" }] })
}

resource "google_bigtable_table_iam_member" "functions" {
  for_each      = google_bigtable_table.strandline
  instance_name = google_bigtable_instance.strandline.name
  table         = each.value.name
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

# Topics of the functions: changes for alerting, dead letters, and events for other programs.

resource "google_pubsub_topic" "strandline" {
  for_each                   = local.publishing
  name                       = "strandline-${each.key}"
  message_retention_duration = each.key == "dead-letters" ? "2678400s" : null
}

resource "google_pubsub_topic_iam_member" "functions" {
  for_each = google_pubsub_topic.strandline
  topic    = each.value.name
  role     = "roles/pubsub.publisher"
  member   = google_service_account.functions.member
}

resource "google_pubsub_subscription" "dead_letters" {
  name                       = "strandline-dead-letters"
  topic                      = google_pubsub_topic.strandline["dead-letters"].id
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}

# Deliveries: a topic for each type of channel, so that one that fails delays no other.

resource "google_pubsub_topic" "channels" {
  for_each = local.channels
  name     = "strandline-channel-${each.key}"
}

resource "google_pubsub_topic_iam_member" "channels" {
  for_each = google_pubsub_topic.channels
  topic    = each.value.name
  role     = "roles/pubsub.publisher"
  member   = google_service_account.functions.member
}

# Pub/Sub itself moves what was not delivered to the dead letters, and must be allowed to.

resource "google_pubsub_topic_iam_member" "pubsub" {
  topic  = google_pubsub_topic.strandline["dead-letters"].name
  role   = "roles/pubsub.publisher"
  member = local.pubsub
}

resource "google_pubsub_subscription_iam_member" "pubsub" {
  for_each     = google_pubsub_subscription.channels
  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub
}

resource "google_pubsub_subscription" "channels" {
  for_each                   = google_pubsub_topic.channels
  name                       = each.value.name
  topic                      = each.value.id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = google_cloudfunctions2_function.strandline["notify"].service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.callers.email
      audience              = local.urls["notify"]
    }
  }

  retry_policy {
    minimum_backoff = "5s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.strandline["dead-letters"].id
    max_delivery_attempts = 20
  }

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription" "pushed" {
  for_each = {
    ingest   = google_pubsub_topic.batches.id
    alerting = google_pubsub_topic.strandline["changes"].id
  }
  name                       = "strandline-${each.key}"
  topic                      = each.value
  ack_deadline_seconds       = 60
  message_retention_duration = each.key == "ingest" ? "604800s" : "3600s"

  push_config {
    push_endpoint = google_cloudfunctions2_function.strandline[each.key].service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.callers.email
      audience              = local.urls[each.key]
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

resource "google_secret_manager_secret_iam_member" "channels" {
  for_each  = var.channel_secrets
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
    ingress_settings                 = each.key == "api" ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY"
    available_memory                 = each.key == "compact" ? "2Gi" : each.key == "api" ? "1Gi" : "512Mi"
    timeout_seconds                  = contains(keys(local.scheduled), each.key) ? 600 : 60
    max_instance_count               = contains(keys(local.scheduled), each.key) ? 1 : 100
    max_instance_request_concurrency = 1

    environment_variables = {
      PROJECT              = var.project
      BIGTABLE_INSTANCE    = google_bigtable_instance.strandline.name
      TELEMETRY_TABLE      = google_bigtable_table.strandline["telemetry"].name
      ALERTS_TABLE         = google_bigtable_table.strandline["alerts"].name
      ARCHIVE_BUCKET       = google_storage_bucket.archive.name
      CHANGES_TOPIC        = google_pubsub_topic.strandline["changes"].name
      DEAD_LETTERS_TOPIC   = google_pubsub_topic.strandline["dead-letters"].name
      ALERTS_TOPIC         = google_pubsub_topic.strandline["alerts"].name
      EVENTS_TOPIC         = google_pubsub_topic.strandline["events"].name
      CHANNEL_TOPICS       = "strandline-channel-"
      PUSH_AUDIENCE        = local.urls[each.key]
      PUSH_SERVICE_ACCOUNT = google_service_account.callers.email
      API_ISSUER           = var.api_issuer
      API_AUDIENCE         = var.api_audience
      ROLE_CLAIM           = var.role_claim
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
  for_each = setsubtract(local.functions, ["api"])
  name     = google_cloudfunctions2_function.strandline[each.key].name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.callers.member
}

# The API verifies the tokens of people itself.

resource "google_cloud_run_v2_service_iam_member" "people" {
  name     = google_cloudfunctions2_function.strandline["api"].name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"
}

resource "google_cloud_scheduler_job" "strandline" {
  for_each         = local.scheduled
  name             = "strandline-${each.key}"
  schedule         = each.value
  attempt_deadline = "620s"

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.strandline[each.key].service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.callers.email
      audience              = local.urls[each.key]
    }
  }
}

output "api_url" {
  value       = google_cloudfunctions2_function.strandline["api"].service_config[0].uri
  description = "Address of the API."
}

output "batches_topic" {
  value       = google_pubsub_topic.batches.id
  description = "Topic to which the broker's bridge publishes."
}
